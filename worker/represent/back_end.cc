#include "worker/represent/back_end.h"

#include <utility>

#include "absl/strings/str_cat.h"
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
    cpu.precision = options.precision;
    return MakeCpuRepresenter(std::move(model), cpu);
  }
  if (options.precision == Precision::kBf16) {
    return absl::InvalidArgumentError(
        absl::StrCat("precision bf16: device \"", device,
                     "\" runs in fp32 only; use device cpu, or fp32"));
  }
  TorchOptions torch;
  torch.device = device == "libtorch-cpu" ? "cpu" : device;
  return MakeTorchRepresenter(std::move(model), torch);
}

}  // namespace perfvec::compute
