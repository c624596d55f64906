// The back end for this CPU: a fused LSTM kernel of our own, no LibTorch.
//
// A lane's result is the same to the last bit whatever the batch, the number of
// threads and the instruction set (AVX-512, AVX2 or neither).
//
// In bf16 the products' operands are rounded to 8 bits: twice as fast on a CPU
// that has the instruction (AVX512_BF16), another vector by a few 1e-4, as
// independent of batch and threads.
//
// Used by one thread at a time; starts its own for the length of a Run.
//
//   ASSIGN back_end = MakeCpuRepresenter(model, {.threads = 2});
#ifndef PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_
#define PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

enum class InstructionSet { kBest, kAvx512, kAvx2, kGeneric };

enum class Precision {
  kFp32,
  kBf16,
  kAuto,  // bf16 where the CPU has it, else fp32
};

// Whether this CPU (and its operating system) runs the kernel of that set.
bool CpuSupports(InstructionSet set);

// Whether it runs bf16 at speed. (kGeneric runs it anywhere, very slowly: the
// tests' judge.)
bool CpuSupportsBf16();

// "fp32", "bf16", "auto"; INVALID_ARGUMENT for others.
absl::StatusOr<Precision> ParsePrecision(absl::string_view name);

struct CpuOptions {
  int threads = 0;  // 0: one per processor this process may use
  InstructionSet instruction_set = InstructionSet::kBest;
  Precision precision = Precision::kFp32;
};

// INVALID_ARGUMENT for a negative number of threads, or a set or precision the
// CPU lacks.
absl::StatusOr<std::unique_ptr<Representer>> MakeCpuRepresenter(
    std::shared_ptr<const FoundationModel> model, const CpuOptions& options);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_CPU_REPRESENTER_H_
