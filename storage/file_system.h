// The few file operations whose failures and order decide what survives a power
// loss: what the chunk store and backups write with. An interface so that tests
// can lose what was not synced, or fill the disk.
//
// FileSystem: any thread. WritableFile: one thread at a time.
//
//   auto file = FileSystem::Real()->NewFile("tmp/x");
//   status = (*file)->Append(bytes); status = (*file)->Sync();
//   status = fs->Rename("tmp/x", "x"); status = fs->SyncDirectory(".");
#ifndef PERFVEC_STORAGE_FILE_SYSTEM_H_
#define PERFVEC_STORAGE_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::storage {

class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes
  virtual absl::Status Append(absl::string_view bytes) = 0;
  // Lets the kernel begin to write, so that a later Sync() waits less.
  virtual void StartWriteback() = 0;
  // The file's content is durable; its name is with SyncDirectory(). After a
  // failure the content is undefined: remove the file, do not sync again.
  virtual absl::Status Sync() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  static FileSystem* Real();

  // ALREADY_EXISTS rather than overwrite.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> NewFile(
      const std::string& path) = 0;
  virtual absl::Status Rename(const std::string& from,
                              const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // OK if it is there; the parent must be.
  virtual absl::Status CreateDirectory(const std::string& path) = 0;
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
};

// The whole file. NOT_FOUND; RESOURCE_EXHAUSTED above `limit_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t limit_bytes);

// errno as a status that names `path` and, for a full disk, what to do.
absl::Status ErrnoStatus(int error, absl::string_view action,
                         const std::string& path);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_FILE_SYSTEM_H_
