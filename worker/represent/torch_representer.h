// The back end on LibTorch's nn::LSTM: CUDA, or the CPU for comparison.
//
// Results agree with the CPU kernel to float rounding, not to the bit: the
// order of additions is the library's. Every call has the same shape (batches
// are padded to a fixed number of lanes), so that on one machine a lane sees
// the same kernels in any batch; its bits are then the same as far as those
// kernels are deterministic, which is tested on the CPU only. TF32 is switched
// off.
//
// One thread at a time. The number of LibTorch's CPU threads is the process's.
//
//   ASSIGN back_end = MakeTorchRepresenter(model, {.device = "cuda"});
#ifndef PERFVEC_WORKER_REPRESENT_TORCH_REPRESENTER_H_
#define PERFVEC_WORKER_REPRESENT_TORCH_REPRESENTER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

struct TorchOptions {
  std::string device = "cpu";  // as LibTorch writes it: cpu, cuda, cuda:1
  int lanes = 0;               // a batch's lanes; 0: 64 on a CPU, 1024 else
};

// Whether this LibTorch has CUDA and this machine a GPU for it.
bool TorchFindsCuda();

// INVALID_ARGUMENT for a device LibTorch does not know, UNAVAILABLE for one
// this machine or this LibTorch has not.
absl::StatusOr<std::unique_ptr<Representer>> MakeTorchRepresenter(
    std::shared_ptr<const FoundationModel> model, const TorchOptions& options);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_TORCH_REPRESENTER_H_
