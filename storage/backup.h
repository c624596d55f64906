// Backups of a data directory: registry and chunks, taken while the server
// serves, verified before success, restored into a new directory.
//
// A backup is a directory laid out like a data directory (registry/, chunks/)
// with backup.json, written last: the SHA-256 of every registry file. Chunks
// check themselves. On the same file system, files are hard links and cost no
// space; against the loss of a disk, copy the directory elsewhere.
//
// Blocking: minutes for large data. Any thread.
//
//   auto made = CreateBackup(*registry, *chunks, "/backup/2024-05-01");
//   auto back = RestoreBackup("/backup/2024-05-01", "/var/lib/perfvec");
#ifndef PERFVEC_STORAGE_BACKUP_H_
#define PERFVEC_STORAGE_BACKUP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "storage/chunk_store.h"
#include "storage/registry.h"

namespace perfvec::storage {

// Where a data directory keeps its two parts.
std::string RegistryDirectory(const std::string& data_directory);
std::string ChunksDirectory(const std::string& data_directory);

struct BackupSummary {
  uint64_t files = 0;
  uint64_t size_bytes = 0;
};

// `directory` must not exist; on error it is removed again. Garbage collection
// waits meanwhile. The chunks are those of the registry's copy.
absl::StatusOr<BackupSummary> CreateBackup(Registry& registry,
                                           ChunkStore& chunks,
                                           const std::string& directory);

// Reads everything: each registry file against backup.json, the checksums
// within, and each chunk the registry names. DATA_LOSS names the file that is
// bad; FAILED_PRECONDITION: not a backup, or an unfinished one.
absl::StatusOr<BackupSummary> VerifyBackup(const std::string& directory);

// Verifies `from`, copies it, verifies the copy, and only then gives it the
// name `to`, which must be absent or empty. No server may run on `to`.
absl::StatusOr<BackupSummary> RestoreBackup(const std::string& from,
                                            const std::string& to);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_BACKUP_H_
