#include "storage/memory_registry.h"

#include "storage/kv_registry.h"
#include "storage/memory_store.h"

namespace perfvec::storage {

std::unique_ptr<Registry> NewMemoryRegistry(std::function<absl::Time()> now) {
  // An empty store in memory has nothing that could fail to open.
  return *KvRegistry::Open(NewMemoryStore(), std::move(now));
}

}  // namespace perfvec::storage
