#include "worker/features/reference_machines.h"

#include <cstring>
#include <utility>

namespace perfvec::compute {

ReferenceMachines::ReferenceMachines()
    : stores_memory_(kStoreRing * sizeof(Times)),
      stores_(stores_memory_.data<Times>()) {
  ReserveRegisters(1);
}

void ReferenceMachines::ReserveRegisters(size_t count) {
  if (count <= register_count_) return;
  count = std::max(count, register_count_ * 2);
  LargeBuffer larger(count * sizeof(Times));
  if (register_count_ != 0) {
    std::memcpy(larger.data<void>(), registers_,
                register_count_ * sizeof(Times));
  }
  registers_memory_ = std::move(larger);
  registers_ = registers_memory_.data<Times>();
  register_count_ = count;
}

}  // namespace perfvec::compute
