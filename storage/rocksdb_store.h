// An OrderedStore in a RocksDB directory. Every write is one WriteBatch, synced
// to the write-ahead log before it returns. See ordered_store.h and, for what
// is promised after a crash, docs/storage_format.md.
//
// Any thread. One process at a time holds a directory (its LOCK file).
//
//   auto store = OpenRocksDbStore({.path = "/var/lib/perfvec/registry"});
#ifndef PERFVEC_STORAGE_ROCKSDB_STORE_H_
#define PERFVEC_STORAGE_ROCKSDB_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/ordered_store.h"

namespace rocksdb {
class Env;
}

namespace perfvec::storage {

struct RocksDbOptions {
  std::string path;
  bool create_if_missing = true;
  // Changes nothing on disk, not even a log; for backups.
  bool read_only = false;
  uint64_t block_cache_bytes = 64 << 20;
  uint64_t write_buffer_bytes = 64 << 20;
  // Only for bulk loading and its tests: a write returns before it is durable.
  bool sync_writes = true;
  // The file system, for fault injection; nullptr: the real one. Not owned.
  rocksdb::Env* env = nullptr;
};

// FAILED_PRECONDITION: the directory is in use, or is absent and may not be
// created. DATA_LOSS: a file is corrupt; the message names it.
absl::StatusOr<std::unique_ptr<OrderedStore>> OpenRocksDbStore(
    const RocksDbOptions& options);

// Reads every block of the store at `path`, which no process may have open, and
// compares the checksums.
absl::Status VerifyRocksDbStore(const std::string& path);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_ROCKSDB_STORE_H_
