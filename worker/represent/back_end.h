// The one choice of back end, by the name of a device.
//
//   ASSIGN back_end = MakeRepresenter(model, {.device = "auto"});
//   back_end->Description();   // "cpu avx512 x2"
#ifndef PERFVEC_WORKER_REPRESENT_BACK_END_H_
#define PERFVEC_WORKER_REPRESENT_BACK_END_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

struct BackEndOptions {
  // "auto": cuda where LibTorch finds a GPU, else cpu. "cpu": our own kernel.
  // "cuda", "cuda:1": LibTorch. "libtorch-cpu": LibTorch on the CPU, to
  // compare.
  std::string device = "auto";
  int threads = 0;  // of the CPU kernel; 0: one per processor
  // LibTorch runs in fp32 only; kBf16 there is refused.
  Precision precision = Precision::kFp32;
};

// INVALID_ARGUMENT for an unknown device or number of threads, or a precision
// it lacks; UNAVAILABLE for a device that is not there.
absl::StatusOr<std::unique_ptr<Representer>> MakeRepresenter(
    std::shared_ptr<const FoundationModel> model,
    const BackEndOptions& options);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_BACK_END_H_
