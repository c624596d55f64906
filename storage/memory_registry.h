// A Registry in memory, for tests: same code as the durable one over another
// engine. See registry.h.
//
//   std::unique_ptr<Registry> registry = NewMemoryRegistry();
#ifndef PERFVEC_STORAGE_MEMORY_REGISTRY_H_
#define PERFVEC_STORAGE_MEMORY_REGISTRY_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "storage/registry.h"

namespace perfvec::storage {

// `now` gives create and update times; default: the clock.
std::unique_ptr<Registry> NewMemoryRegistry(
    std::function<absl::Time()> now = nullptr);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_MEMORY_REGISTRY_H_
