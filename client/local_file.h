// A local file that is read front to back, or from an offset, in pieces.
// Internal to client/; one thread per object.
//
//   auto file = LocalFile::Open("lbm.pvt");
//   auto digest = Sha256(*file, [](uint64_t done) { return true; });
#ifndef PERFVEC_CLIENT_LOCAL_FILE_H_
#define PERFVEC_CLIENT_LOCAL_FILE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::client {

class LocalFile {
 public:
  // NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (not a regular file).
  static absl::StatusOr<LocalFile> Open(const std::string& path);
  ~LocalFile();
  LocalFile(LocalFile&& other) noexcept;
  LocalFile(const LocalFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size_bytes() const { return size_bytes_; }

  // `size` bytes at `offset` into *data. DATA_LOSS: the file has become
  // shorter since it was opened.
  absl::Status Read(uint64_t offset, size_t size, std::string* data) const;

 private:
  LocalFile(std::string path, int descriptor, uint64_t size_bytes)
      : path_(std::move(path)),
        descriptor_(descriptor),
        size_bytes_(size_bytes) {}

  std::string path_;
  int descriptor_;
  uint64_t size_bytes_;
};

// Lowercase hex SHA-256 of the whole file. `progress` is told of the bytes
// read so far, each MiB; CANCELLED if it returns false.
absl::StatusOr<std::string> Sha256(
    const LocalFile& file, const std::function<bool(uint64_t)>& progress);

// The whole of a file of at most `limit_bytes` (INVALID_ARGUMENT beyond).
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t limit_bytes);

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_LOCAL_FILE_H_
