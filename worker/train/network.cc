#include "worker/train/network.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/train/fused_lstm_network.h"
#include "worker/train/lstm_network.h"
#include "worker/train/torch_network.h"

namespace perfvec::train {

void Network::Pass(const float* x, size_t rows, float* representations) const {
  for (size_t row = 0; row < rows; ++row) {
    std::copy_n(x + (row + 1) * shape_.inputs - shape_.passed, shape_.passed,
                representations + row * shape_.width);
  }
}

absl::StatusOr<std::unique_ptr<Network>> MakeNetwork(
    const NetworkShape& shape) {
  const struct {
    const char* name;
    int value, most;
  } fields[] = {{"inputs", shape.inputs, 1 << 16},
                {"width", shape.width, 1 << 14},
                {"layers", shape.layers, 64},
                {"architectures", shape.architectures, 1 << 16},
                {"threads", shape.threads, 1024}};
  for (const auto& f : fields) {
    if (f.value < 1 || f.value > f.most) {
      return absl::InvalidArgumentError(
          absl::StrCat("network: expected ", f.name, " from 1 to ", f.most,
                       ", found ", f.value));
    }
  }
  if (shape.family == "lstm") {
    if (FusedLstmNetwork::Serves(shape)) {
      return std::make_unique<FusedLstmNetwork>(shape);
    }
    return std::make_unique<LstmNetwork>(shape);
  }
  return MakeTorchNetwork(shape);
}

absl::Status CheckServable(const NetworkShape& shape) {
  if (shape.family == "lstm") return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "network ", shape.family,
      ": only the family lstm can be saved as a foundation model that the "
      "service runs; the others are for comparison"));
}

}  // namespace perfvec::train
