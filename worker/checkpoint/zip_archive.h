// The members of a zip archive in memory, which may come from a stranger.
//
// A thin shell over libzip that adds bounds: nothing is read that a caller did
// not allow for, so a small file cannot become a large one; members that
// together claim more bytes than the file has (overlapping ones) are refused
// at once. Sizes come from the central directory, contents are checked by CRC.
//
// One thread at a time. The bytes are borrowed.
//
//   ASSIGN archive = ZipArchive::Open(bytes, "model.pt");
//   ASSIGN text = archive->Read("archive/data.pkl", 1 << 20);
#ifndef PERFVEC_WORKER_CHECKPOINT_ZIP_ARCHIVE_H_
#define PERFVEC_WORKER_CHECKPOINT_ZIP_ARCHIVE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct zip;

namespace perfvec::checkpoint {

class ZipArchive {
 public:
  // DATA_LOSS for what is no zip archive, with `label` and libzip's reason.
  static absl::StatusOr<std::unique_ptr<ZipArchive>> Open(
      absl::string_view bytes, std::string label);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  const std::vector<std::string>& names() const { return names_; }
  bool Has(const std::string& name) const;

  // NOT_FOUND; RESOURCE_EXHAUSTED for a member of more than `max_bytes`;
  // DATA_LOSS for one that is encrypted, cut or damaged.
  absl::StatusOr<std::string> Read(const std::string& name,
                                   uint64_t max_bytes) const;

 private:
  ZipArchive(struct zip* archive, std::string label)
      : archive_(archive), label_(std::move(label)) {}

  struct zip* archive_;
  const std::string label_;
  std::vector<std::string> names_;
};

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_ZIP_ARCHIVE_H_
