// Directory-wide file operations for backups: list, link, copy, sync. Any
// thread; errors name the path.
//
//   PERFVEC_RETURN_IF_ERROR(CopyTree("/backup/a", "/var/lib/perfvec"));
#ifndef PERFVEC_STORAGE_FILE_COPY_H_
#define PERFVEC_STORAGE_FILE_COPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::storage {

// Names of the plain files of one directory, sorted.
absl::StatusOr<std::vector<std::string>> ListFiles(
    const std::string& directory);
absl::StatusOr<uint64_t> FileSize(const std::string& path);
std::string ParentDirectory(const std::string& path);

// ALREADY_EXISTS if there is something; the parent must be there.
absl::Status MakeNewDirectory(const std::string& path);
absl::Status RequireAbsentOrEmpty(const std::string& directory);
// A hard link, or a copy where the file systems differ; makes the parents of
// `to`. Not synced.
absl::Status LinkOrCopyFile(const std::string& from, const std::string& to);
// Copies (never links) all plain files under `from`. Not synced.
absl::Status CopyTree(const std::string& from, const std::string& to);
// Every file and directory under `directory`, and it, are durable.
absl::Status SyncTree(const std::string& directory);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_FILE_COPY_H_
