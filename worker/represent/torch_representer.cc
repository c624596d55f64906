#include "worker/represent/torch_representer.h"

#include <torch/cuda.h>
#include <torch/nn/modules/rnn.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace perfvec::compute {
namespace {

// Steps run in one call: bounds the outputs held at once. Divides a window, and
// a segment with its warm-up but for a step.
constexpr int64_t kChunkSteps = 128;

absl::Status FromException(absl::string_view where, const std::exception& e) {
  return absl::InternalError(absl::StrCat("libtorch, ", where, ": ", e.what()));
}

class TorchRepresenter : public Representer {
 public:
  TorchRepresenter(std::shared_ptr<const FoundationModel> model,
                   torch::Device device, int lanes)
      : model_(std::move(model)),
        device_(device),
        lanes_(lanes),
        lstm_(Options(model_->manifest())) {
    torch::NoGradGuard no_grad;
    for (auto& parameter : lstm_->named_parameters()) {
      // FoundationModel has checked names, shapes and sizes.
      const Tensor& from = model_->tensors().at("lstm." + parameter.key());
      torch::Tensor& to = parameter.value();
      std::memcpy(to.data_ptr<float>(), from.values.data(), to.nbytes());
    }
    lstm_->to(device_);
    lstm_->eval();
  }

  const std::shared_ptr<const FoundationModel>& model() const override {
    return model_;
  }
  std::string Description() const override {
    return absl::StrCat("libtorch ", device_.str());
  }
  int PreferredLanes() const override { return lanes_; }

  absl::Status RunNetwork(const LaneBatch& batch, double* sums) override {
    const size_t width = static_cast<size_t>(model_->manifest().width);
    const std::vector<int64_t> output_rows = OutputRows(batch.lanes);
    try {
      for (size_t i = 0; i < batch.lanes.size();
           i += static_cast<size_t>(lanes_)) {
        const size_t n =
            std::min(batch.lanes.size() - i, static_cast<size_t>(lanes_));
        float* const outputs =
            batch.outputs == nullptr
                ? nullptr
                : batch.outputs + static_cast<size_t>(output_rows[i]) * width;
        RunLanes(batch.inputs, &batch.lanes[i], static_cast<int>(n),
                 sums + i * width, outputs);
      }
    } catch (const std::exception& e) {
      return FromException("running the network", e);
    }
    for (size_t i = 0; i < batch.lanes.size() * width; ++i) {
      if (!std::isfinite(sums[i])) {
        return absl::InternalError(
            absl::StrCat("model ", model_->manifest().name,
                         ": expected finite outputs, found ", sums[i],
                         " in unit ", i % width, "; an input was NaN"));
      }
    }
    return absl::OkStatus();
  }

 private:
  static torch::nn::LSTMOptions Options(const Manifest& m) {
    return torch::nn::LSTMOptions(static_cast<int64_t>(m.inputs.width()),
                                  m.width)
        .num_layers(m.layers)
        .bias(m.bias);
  }

  void RunLanes(const float* inputs, const Lane* lanes, int n, double* sums,
                float* outputs);

  const std::shared_ptr<const FoundationModel> model_;
  const torch::Device device_;
  const int lanes_;
  torch::nn::LSTM lstm_;
};

// All lanes start at step 0. Calls have the same shape whatever the lanes, and
// every lane's outputs are added in the same pieces: kChunkSteps steps, with
// those masked that do not count. The rows go to the device once; lanes pick
// theirs there.
void TorchRepresenter::RunLanes(const float* inputs, const Lane* lanes, int n,
                                double* sums, float* outputs) {
  torch::InferenceMode inference;
  const Manifest& m = model_->manifest();
  const int64_t columns = static_cast<int64_t>(m.inputs.width());
  // Of each lane, padding included: its first row, relative to `first_row`, and
  // the steps [from, to) that count.
  std::vector<int64_t> offsets(static_cast<size_t>(lanes_), 0);
  std::vector<int64_t> from(offsets), to(offsets);
  int64_t first_row = lanes[0].first_row, end_row = 0;
  int64_t first_counted = lanes[0].steps, end_step = 0;
  for (int i = 0; i < n; ++i) {
    first_row = std::min(first_row, lanes[i].first_row);
    end_row = std::max(end_row, lanes[i].first_row + lanes[i].steps);
    from[i] = lanes[i].steps - lanes[i].kept;
    to[i] = lanes[i].steps;
    first_counted = std::min(first_counted, from[i]);
    end_step = std::max(end_step, to[i]);
  }
  first_row = std::max<int64_t>(0, first_row);
  end_row = std::max(first_row, end_row);
  for (int i = 0; i < n; ++i) offsets[i] = lanes[i].first_row - first_row;

  const auto on_device = torch::TensorOptions(device_);
  auto upload = [&](const std::vector<int64_t>& values) {
    return torch::tensor(values).to(device_);
  };
  const torch::Tensor offset = upload(offsets);
  const torch::Tensor count_from = upload(from), count_to = upload(to);
  const int64_t zero_row = end_row - first_row;
  torch::Tensor rows = torch::zeros({zero_row + 1, columns}, on_device);
  rows.narrow(0, 0, zero_row)
      .copy_(torch::from_blob(const_cast<float*>(inputs) + first_row * columns,
                              {zero_row, columns}));

  torch::Tensor hidden = torch::zeros({m.layers, lanes_, m.width}, on_device);
  torch::Tensor cell = torch::zeros_like(hidden);
  torch::Tensor sum =
      torch::zeros({lanes_, m.width}, on_device.dtype(torch::kDouble));
  for (int64_t begin = 0; begin < end_step; begin += kChunkSteps) {
    const torch::Tensor step =
        torch::arange(begin, begin + kChunkSteps, on_device.dtype(torch::kLong))
            .unsqueeze(1);
    // A row below 0 lies before the trace; a step past the lane's last reads
    // anything.
    torch::Tensor row = (step + offset).clamp_max(zero_row);
    row = torch::where(row < 0, torch::full_like(row, zero_row), row);
    const torch::Tensor input = rows.index_select(0, row.flatten())
                                    .view({kChunkSteps, lanes_, columns});
    torch::Tensor output;
    std::tuple<torch::Tensor, torch::Tensor> state;
    std::tie(output, state) =
        lstm_->forward(input, std::make_tuple(hidden, cell));
    std::tie(hidden, cell) = state;
    if (begin + kChunkSteps <= first_counted) continue;
    const torch::Tensor counted = (step >= count_from)
                                      .logical_and(step < count_to)
                                      .to(torch::kFloat)
                                      .unsqueeze(2);
    output = output.relu();
    sum += (output * counted).sum(0, false, torch::kDouble);
    if (outputs == nullptr) continue;
    output = output.to(torch::kCPU);
    float* to_lane = outputs;
    for (int i = 0; i < n; to_lane += lanes[i].kept * m.width, ++i) {
      const int64_t first = std::max(begin, from[i]);
      const int64_t last = std::min(begin + kChunkSteps, to[i]);
      if (first >= last) continue;
      const torch::Tensor of_lane = output.select(1, i)
                                        .slice(0, first - begin, last - begin)
                                        .contiguous();
      std::memcpy(
          to_lane + (first - from[i]) * m.width, of_lane.data_ptr<float>(),
          static_cast<size_t>((last - first) * m.width) * sizeof(float));
    }
  }
  sum = sum.to(torch::kCPU).contiguous();
  std::memcpy(
      sums, sum.data_ptr<double>(),
      static_cast<size_t>(n) * static_cast<size_t>(m.width) * sizeof(double));
}

}  // namespace

bool TorchFindsCuda() {
  try {
    return torch::cuda::is_available();
  } catch (const std::exception&) {
    return false;  // no CUDA driver is the same as no GPU
  }
}

absl::StatusOr<std::unique_ptr<Representer>> MakeTorchRepresenter(
    std::shared_ptr<const FoundationModel> model, const TorchOptions& options) {
  torch::Device device(torch::kCPU);
  try {
    device = torch::Device(options.device);
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(
        absl::StrCat("device \"", options.device,
                     "\": expected one such as cpu, cuda or cuda:1"));
  }
  try {
    if (device.is_cuda() &&
        (!TorchFindsCuda() ||
         device.index() >= static_cast<int>(torch::cuda::device_count()))) {
      return absl::UnavailableError(absl::StrCat(
          "device \"", options.device,
          "\": this LibTorch finds no such GPU; use cpu, or a LibTorch built "
          "with CUDA on a machine that has one"));
    }
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setBenchmarkCuDNN(false);
    const int lanes =
        options.lanes > 0 ? options.lanes : (device.is_cpu() ? 64 : 1024);
    return std::make_unique<TorchRepresenter>(std::move(model), device, lanes);
  } catch (const std::exception& e) {
    return FromException(absl::StrCat("device ", options.device), e);
  }
}

}  // namespace perfvec::compute
