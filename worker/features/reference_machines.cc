#include "worker/features/reference_machines.h"

namespace perfvec::compute {

ReferenceMachines::ReferenceMachines()
    : stores_memory_(kStoreRing * sizeof(Times)),
      stores_(stores_memory_.data<Times>()) {
  ReserveRegisters(1);
}

void ReferenceMachines::ReserveRegisters(size_t count) {
  registers_memory_.Reserve(count * sizeof(Times));
  registers_ = registers_memory_.data<Times>();
}

}  // namespace perfvec::compute
