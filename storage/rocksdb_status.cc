#include "storage/rocksdb_status.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace perfvec::storage {

absl::Status FromRocksDb(const rocksdb::Status& status,
                         const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  const std::string words = status.ToString();
  const std::string found = absl::StrCat("registry '", path, "': ", words);
  if (status.IsNoSpace() || absl::StrContains(words, "No space left")) {
    return absl::ResourceExhaustedError(absl::StrCat(
        found, "; the disk of '", path, "' is full: free space on it"));
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(absl::StrCat(
        found,
        "; stop the server and restore the directory from a backup "
        "(perfvec-server restore)"));
  }
  if (status.IsIOError()) {
    if (absl::StrContains(words, "LOCK") || absl::StrContains(words, "lock ")) {
      return absl::FailedPreconditionError(
          absl::StrCat("registry '", path,
                       "': in use by another server process; stop it or give "
                       "this one its own data directory (",
                       words, ")"));
    }
    return absl::UnavailableError(
        absl::StrCat(found, "; check the disk, then restart the server"));
  }
  if (status.IsInvalidArgument()) return absl::FailedPreconditionError(found);
  if (status.IsAborted() || status.IsShutdownInProgress() || status.IsBusy() ||
      status.IsTryAgain() || status.IsTimedOut())
    return absl::UnavailableError(found);
  return absl::InternalError(found);
}

}  // namespace perfvec::storage
