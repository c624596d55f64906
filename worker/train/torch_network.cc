#include "worker/train/torch_network.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformercoder.h>
#include <torch/nn/modules/transformerlayer.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <random>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

namespace nn = torch::nn;

// x [T][B][I] to outputs [T][B][H] before the ReLU. `state`: tensors
// [layers][B][H], read and replaced; empty for families without.
class Body : public nn::Module {
 public:
  virtual torch::Tensor Run(const torch::Tensor& x,
                            std::vector<torch::Tensor>& state) = 0;
  virtual int States() const { return 0; }
};

class MlpBody : public Body {
 public:
  MlpBody(const NetworkShape& s, int layers) {
    for (int l = 0; l < layers; ++l) {
      layers_->push_back(nn::Linear(l == 0 ? s.inputs : s.width, s.width));
    }
    register_module("layers", layers_);
  }
  torch::Tensor Run(const torch::Tensor& x,
                    std::vector<torch::Tensor>&) override {
    torch::Tensor y = x;
    for (size_t l = 0; l < layers_->size(); ++l) {
      if (l > 0) y = torch::relu(y);
      y = layers_[l]->as<nn::Linear>()->forward(y);
    }
    return y;
  }

 private:
  nn::ModuleList layers_;
};

class GruBody : public Body {
 public:
  explicit GruBody(const NetworkShape& s)
      : gru_(register_module(
            "gru",
            nn::GRU(nn::GRUOptions(s.inputs, s.width).num_layers(s.layers)))) {}
  int States() const override { return 1; }
  torch::Tensor Run(const torch::Tensor& x,
                    std::vector<torch::Tensor>& state) override {
    auto [y, h] = gru_->forward(x, state[0]);
    state[0] = h;
    return y;
  }

 private:
  nn::GRU gru_;
};

class LstmBody : public Body {
 public:
  LstmBody(const NetworkShape& s, bool both_directions)
      : both_directions_(both_directions),
        lstm_(register_module(
            "lstm",
            nn::LSTM(nn::LSTMOptions(s.inputs,
                                     both_directions ? s.width / 2 : s.width)
                         .num_layers(s.layers)
                         .bidirectional(both_directions)))) {}
  int States() const override { return both_directions_ ? 0 : 2; }
  torch::Tensor Run(const torch::Tensor& x,
                    std::vector<torch::Tensor>& state) override {
    if (both_directions_) return std::get<0>(lstm_->forward(x));
    auto [y, next] = lstm_->forward(x, std::make_tuple(state[0], state[1]));
    std::tie(state[0], state[1]) = next;
    return y;
  }

 private:
  const bool both_directions_;
  nn::LSTM lstm_;
};

class TransformerBody : public Body {
 public:
  explicit TransformerBody(const NetworkShape& s)
      : width_(s.width),
        input_(register_module("input", nn::Linear(s.inputs, s.width))),
        encoder_(register_module(
            "encoder", nn::TransformerEncoder(nn::TransformerEncoderOptions(
                           nn::TransformerEncoderLayerOptions(
                               s.width, s.width % 4 == 0 ? 4 : 1)
                               .dim_feedforward(4 * s.width)
                               .dropout(0),
                           s.layers)))) {}
  torch::Tensor Run(const torch::Tensor& x,
                    std::vector<torch::Tensor>&) override {
    const int64_t steps = x.size(0);
    const torch::Tensor mask = torch::full({steps, steps}, -INFINITY).triu(1);
    return encoder_->forward(input_->forward(x) + Positions(steps), mask);
  }

 private:
  // Vaswani et al. 2017, section 3.5.
  torch::Tensor Positions(int64_t steps) const {
    const torch::Tensor t = torch::arange(steps).to(torch::kFloat).unsqueeze(1);
    const torch::Tensor k = torch::arange(width_).to(torch::kFloat);
    const torch::Tensor angle =
        t * torch::exp((k / 2).floor() * (-2 * std::log(1e4) / width_));
    return torch::where((k.remainder(2) == 0).unsqueeze(0), angle.sin(),
                        angle.cos())
        .unsqueeze(1);
  }

  const int width_;
  nn::Linear input_;
  nn::TransformerEncoder encoder_;
};

class TorchNetwork : public Network {
 public:
  TorchNetwork(const NetworkShape& shape, std::shared_ptr<Body> body)
      : Network(shape), body_(std::move(body)) {
    size_t offset = 0;
    std::mt19937_64 random(shape.seed);
    const auto add = [&](const std::string& name, const torch::Tensor& t) {
      tensors_.push_back({name, t.sizes().vec(), offset});
      offset += t.numel();
      parameters_.resize(offset);
      const bool norm = absl::StrContains(name, "norm");
      const float scale =
          t.dim() < 2 ? 0 : 1 / std::sqrt(static_cast<float>(t.size(1)));
      std::uniform_real_distribution<float> uniform(-scale, scale);
      for (size_t i = offset - t.numel(); i < offset; ++i) {
        const bool one = norm && absl::EndsWith(name, "weight");
        parameters_[i] = t.dim() >= 2 ? uniform(random) : (one ? 1 : 0);
      }
    };
    for (const auto& p : body_->named_parameters()) {
      add(p.key(), p.value());
      torch_parameters_.push_back(p.value());
      if (shape.family != "lstm" && shape.family != "bilstm") continue;
      // As in LstmNetwork: a forget gate that starts open.
      const int64_t quarter = p.value().size(0) / 4;
      if (absl::StrContains(p.key(), "bias_ih")) {
        std::fill_n(parameters_.end() - 3 * quarter, quarter, 1.0f);
      }
    }
    table_offset_ = offset;
    torch_parameters_.push_back(torch::empty({shape.architectures, shape.width},
                                             torch::requires_grad()));
    add("architecture_vectors", torch_parameters_.back());
    gradients_.resize(offset);
  }

  void ResetLanes(int lanes) override {
    lanes_ = lanes;
    state_.assign(body_->States(),
                  torch::zeros({shape_.layers, lanes, shape_.width}));
    for (torch::Tensor& s : state_) s = s.clone();
  }
  void ResetLane(int lane) override {
    for (torch::Tensor& s : state_) s.select(1, lane).zero_();
  }
  std::vector<float> LaneState() const override {
    std::vector<float> all;
    for (const torch::Tensor& s : state_) {
      all.insert(all.end(), s.data_ptr<float>(),
                 s.data_ptr<float>() + s.numel());
    }
    return all;
  }
  void SetLaneState(const std::vector<float>& state, int lanes) override {
    ResetLanes(lanes);
    const float* from = state.data();
    for (torch::Tensor& s : state_) {
      std::copy_n(from, s.numel(), s.data_ptr<float>());
      from += s.numel();
    }
  }

  void Forward(const float* x, int steps, int lanes) override {
    relu_ = Run(x, steps, lanes);
    const torch::Tensor y = relu_.matmul(torch_parameters_.back().t());
    Copy(relu_, representations_);
    Copy(y, predictions_);
    output_ = y;
  }
  void Represent(const float* x, int steps, int lanes) override {
    torch::NoGradGuard no_grad;
    Copy(Run(x, steps, lanes), representations_);
  }

  void Backward(const std::vector<float>& d_predictions) override {
    for (torch::Tensor& p : torch_parameters_) p.mutable_grad().reset();
    output_.backward(torch::from_blob(const_cast<float*>(d_predictions.data()),
                                      output_.sizes()));
    output_.reset();
    relu_.reset();
    for (size_t i = 0; i < torch_parameters_.size(); ++i) {
      const torch::Tensor grad = torch_parameters_[i].grad().contiguous();
      std::copy_n(grad.data_ptr<float>(), grad.numel(),
                  &gradients_[tensors_[i].offset]);
    }
  }

 private:
  static void Copy(const torch::Tensor& from, std::vector<float>& to) {
    const torch::Tensor t = from.contiguous();
    to.assign(t.data_ptr<float>(), t.data_ptr<float>() + t.numel());
  }

  // Parameters may have been written since the call before.
  torch::Tensor Run(const float* x, int steps, int lanes) {
    at::set_num_threads(shape_.threads);
    {
      torch::NoGradGuard no_grad;
      for (size_t i = 0; i < torch_parameters_.size(); ++i) {
        torch::Tensor& p = torch_parameters_[i];
        std::copy_n(&parameters_[tensors_[i].offset], p.numel(),
                    p.data_ptr<float>());
      }
    }
    const torch::Tensor inputs =
        torch::from_blob(const_cast<float*>(x), {steps, lanes, shape_.inputs});
    const torch::Tensor y = body_->Run(inputs, state_);
    for (torch::Tensor& s : state_) s = s.detach().clone();
    const int64_t passed = shape_.passed;
    return torch::cat({inputs.narrow(-1, shape_.inputs - passed, passed),
                       torch::relu(y).narrow(-1, passed, y.size(-1) - passed)},
                      -1);
  }

  const std::shared_ptr<Body> body_;
  std::vector<torch::Tensor> torch_parameters_;  // in the order of tensors_
  std::vector<torch::Tensor> state_;
  torch::Tensor relu_, output_;
  int lanes_ = 0;
};

std::shared_ptr<Body> MakeBody(const NetworkShape& s) {
  if (s.family == "linear") return std::make_shared<MlpBody>(s, 1);
  if (s.family == "mlp") return std::make_shared<MlpBody>(s, s.layers);
  if (s.family == "gru") return std::make_shared<GruBody>(s);
  if (s.family == "lstm") return std::make_shared<LstmBody>(s, false);
  if (s.family == "bilstm") return std::make_shared<LstmBody>(s, true);
  if (s.family == "transformer") return std::make_shared<TransformerBody>(s);
  return nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakeTorchNetwork(
    const NetworkShape& shape) {
  if (shape.family == "bilstm" && shape.width % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "network bilstm: expected an even width, found ", shape.width));
  }
  try {
    auto body = MakeBody(shape);
    if (body == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "network: expected the family linear, mlp, gru, lstm, bilstm or "
          "transformer, found '",
          shape.family, "'"));
    }
    return std::make_unique<TorchNetwork>(shape, std::move(body));
  } catch (const std::exception& e) {
    return absl::InternalError(
        absl::StrCat("network ", shape.family, ": libtorch: ", e.what()));
  }
}

}  // namespace perfvec::train
