#include "server/epoch.h"

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace perfvec::server {

absl::StatusOr<uint64_t> NextEpoch(const std::string& directory,
                                   absl::Time now) {
  storage::FileSystem& files = *storage::FileSystem::Real();
  const std::string path = directory + "/EPOCH";
  const std::string temporary = path + ".new";
  uint64_t epoch = absl::ToUnixSeconds(now);
  absl::StatusOr<std::string> text = storage::ReadFile(path, 64);
  if (text.ok()) {
    uint64_t before;
    if (!absl::SimpleAtoi(*text, &before)) {
      return absl::DataLossError(
          absl::StrCat(path, ": expected a number; remove the file"));
    }
    epoch = std::max(epoch, before + 1);
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  (void)files.Remove(temporary);
  {
    PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<storage::WritableFile> file,
                             files.NewFile(temporary));
    PERFVEC_RETURN_IF_ERROR(file->Append(absl::StrCat(epoch, "\n")));
    PERFVEC_RETURN_IF_ERROR(file->Sync());
  }
  PERFVEC_RETURN_IF_ERROR(files.Rename(temporary, path));
  PERFVEC_RETURN_IF_ERROR(files.SyncDirectory(directory));
  return epoch;
}

}  // namespace perfvec::server
