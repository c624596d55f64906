// An OrderedStore in memory, for tests and for throw-away servers: every value
// keeps the versions that a live snapshot may still see. See ordered_store.h.
//
//   std::unique_ptr<OrderedStore> store = NewMemoryStore();
#ifndef PERFVEC_STORAGE_MEMORY_STORE_H_
#define PERFVEC_STORAGE_MEMORY_STORE_H_

#include <memory>

#include "storage/ordered_store.h"

namespace perfvec::storage {

std::unique_ptr<OrderedStore> NewMemoryStore();

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_MEMORY_STORE_H_
