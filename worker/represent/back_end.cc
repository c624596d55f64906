#include "worker/represent/back_end.h"

#include <utility>

#include "worker/represent/cpu_representer.h"
#include "worker/represent/torch_representer.h"

namespace perfvec::compute {

absl::StatusOr<std::unique_ptr<Representer>> MakeRepresenter(
    std::shared_ptr<const FoundationModel> model,
    const BackEndOptions& options) {
  std::string device = options.device;
  if (device == "auto") device = TorchFindsCuda() ? "cuda" : "cpu";
  if (device == "cpu") {
    CpuOptions cpu;
    cpu.threads = options.threads;
    return MakeCpuRepresenter(std::move(model), cpu);
  }
  TorchOptions torch;
  torch.device = device == "libtorch-cpu" ? "cpu" : device;
  return MakeTorchRepresenter(std::move(model), torch);
}

}  // namespace perfvec::compute
