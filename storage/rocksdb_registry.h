// The durable Registry: RocksDB in one directory. See registry.h for the
// contract, docs/storage_format.md for the format.
//
//   auto registry = OpenRocksDbRegistry({.path = "/var/lib/perfvec/registry"});
#ifndef PERFVEC_STORAGE_ROCKSDB_REGISTRY_H_
#define PERFVEC_STORAGE_ROCKSDB_REGISTRY_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "storage/registry.h"
#include "storage/rocksdb_store.h"

namespace perfvec::storage {

// Errors: those of OpenRocksDbStore; FAILED_PRECONDITION for a directory of a
// newer schema version. `now` gives the times of records; default: the clock.
absl::StatusOr<std::unique_ptr<Registry>> OpenRocksDbRegistry(
    const RocksDbOptions& options, std::function<absl::Time()> now = nullptr);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_ROCKSDB_REGISTRY_H_
