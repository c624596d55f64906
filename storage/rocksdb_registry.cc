#include "storage/rocksdb_registry.h"

#include <utility>

#include "storage/kv_registry.h"
#include "storage/status_macros.h"

namespace perfvec::storage {

absl::StatusOr<std::unique_ptr<Registry>> OpenRocksDbRegistry(
    const RocksDbOptions& options, std::function<absl::Time()> now) {
  PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<OrderedStore> store,
                           OpenRocksDbStore(options));
  return KvRegistry::Open(std::move(store), std::move(now));
}

}  // namespace perfvec::storage
