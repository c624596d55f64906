// The back end for this CPU: a fused LSTM kernel of our own, no LibTorch.
//
// A lane's result is the same to the last bit whatever the batch, the number of
// threads and the instruction set (AVX-512, AVX2 or neither).
//
// Used by one thread at a time; starts its own for the length of a Run.
//
//   ASSIGN back_end = MakeCpuRepresenter(model, {.threads = 2});
#ifndef PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_
#define PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

enum class InstructionSet { kBest, kAvx512, kAvx2, kGeneric };

// Whether this CPU (and its operating system) runs the kernel of that set.
bool CpuSupports(InstructionSet set);

struct CpuOptions {
  int threads = 0;  // 0: one per processor this process may use
  InstructionSet instruction_set = InstructionSet::kBest;
};

// INVALID_ARGUMENT for a negative number of threads or a set the CPU lacks.
absl::StatusOr<std::unique_ptr<Representer>> MakeCpuRepresenter(
    std::shared_ptr<const FoundationModel> model, const CpuOptions& options);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_
