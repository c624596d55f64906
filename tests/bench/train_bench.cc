// Rows "train_bf16" and "train_fp32": one update of LSTM-2-256 over 150 inputs
// and 77 architectures, from features to new parameters: encoding, forward,
// loss, backward, Adam.
//
// Rival: LibTorch used plainly, nn::LSTM, mse_loss, autograd and optim::Adam in
// single precision, from inputs already encoded. Both do the same shapes on the
// same number of threads. Rates are by processor time (of all threads
// together); with --wall by the clock, for an idle machine.
//
// "share_of_product_rate" is ours over what a product of the same operands,
// 2048 cubed, reaches in the same run (sgemm, or oneDNN's bf16 through
// LibTorch), counting products only, 3 times the forward's less the gradient of
// the inputs.
//
//   train_bench [--pairs N] [--lanes N] [--steps N] [--threads N] [--wall]
#include <cblas.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/bench/pairs.h"
#include "worker/model/input_encoding.h"
#include "worker/train/adam.h"
#include "worker/train/loss.h"
#include "worker/train/lstm_kernels.h"
#include "worker/train/network.h"

namespace perfvec::train {
namespace {

constexpr int kInputs = 150, kWidth = 256, kLayers = 2, kArchitectures = 77;

struct Setting {
  int pairs = 21, lanes = 64, steps = 96, threads = 1;
  bool wall = false;
  double Seconds() const {
    if (wall) {
      return std::chrono::duration<double>(
                 std::chrono::steady_clock::now().time_since_epoch())
          .count();
    }
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
  }
  size_t rows() const { return size_t(lanes) * steps; }
};

// Every kind of column in about the shares a trained model has.
compute::InputEncoding Encoding() {
  using Transform = compute::InputColumn::Transform;
  compute::InputEncoding encoding;
  for (int i = 0; i < kInputs; ++i) {
    compute::InputColumn c;
    c.feature = i % encoding.feature_count;
    c.value = i % 7;
    if (i >= encoding.feature_count) {
      c.transform = i % 2 == 0 ? Transform::kBit : Transform::kEquals;
    } else if (i >= 18 && i <= 22) {
      c.transform = Transform::kLog2OnePlus;
    }
    encoding.columns.push_back(c);
  }
  return encoding;
}

struct Work {
  compute::InputEncoding encoding = Encoding();
  std::vector<float> features, inputs, target, keep, weights;
};

Work MakeWork(const Setting& s) {
  Work w;
  std::mt19937_64 random(1);
  w.features.resize(s.rows() * w.encoding.feature_count);
  for (float& f : w.features) f = random() % 8;
  w.inputs.resize(s.rows() * kInputs);
  w.encoding.Encode(w.features.data(), s.rows(), w.inputs.data());
  w.target.resize(s.rows() * kArchitectures);
  for (float& t : w.target) t = (random() % 1024) / 512.0f;
  w.keep.assign(s.rows(), 1.0f);
  w.weights.assign(size_t(s.lanes) * kArchitectures, 1.0f);
  return w;
}

class Ours {
 public:
  Ours(const Setting& s, const Work& work, bool bf16)
      : s_(s),
        work_(work),
        inputs_(work.inputs.size()),
        derivative_(work.target.size()) {
    auto net = MakeNetwork(
        {kInputs, kWidth, kLayers, kArchitectures, 1, "lstm", bf16, s.threads});
    if (!net.ok()) {
      std::fprintf(stderr, "%s\n", net.status().ToString().c_str());
      std::exit(1);
    }
    net_ = *std::move(net);
    net_->ResetLanes(s.lanes);
    adam_ = std::make_unique<Adam>(net_->parameters().size());
  }
  void Update() {
    work_.encoding.Encode(work_.features.data(), s_.rows(), inputs_.data());
    net_->Forward(inputs_.data(), s_.steps, s_.lanes);
    ComputeLoss({}, s_.steps, s_.lanes, kArchitectures,
                net_->predictions().data(), work_.target.data(),
                work_.keep.data(), work_.weights.data(), derivative_.data());
    net_->Backward(derivative_);
    double square = 0;
    for (float g : net_->gradients()) square += double{g} * g;
    adam_->Step(net_->gradients(), std::sqrt(square), options_,
                net_->table_offset(), &net_->parameters());
  }

 private:
  const Setting& s_;
  const Work& work_;
  TrainOptions options_;
  std::vector<float> inputs_, derivative_;
  std::unique_ptr<Network> net_;
  std::unique_ptr<Adam> adam_;
};

class Rival {
 public:
  Rival(const Setting& s, const Work& work)
      : lstm_(torch::nn::LSTMOptions(kInputs, kWidth).num_layers(kLayers)),
        table_(torch::nn::LinearOptions(kWidth, kArchitectures).bias(false)),
        adam_(Parameters(), torch::optim::AdamOptions(1e-3)),
        x_(torch::from_blob(const_cast<float*>(work.inputs.data()),
                            {s.steps, s.lanes, kInputs})),
        y_(torch::from_blob(const_cast<float*>(work.target.data()),
                            {s.steps, s.lanes, kArchitectures})) {
    const torch::Tensor zero = torch::zeros({kLayers, s.lanes, kWidth});
    state_ = std::make_tuple(zero, zero.clone());
  }
  void Update() {
    adam_.zero_grad();
    auto [h, state] = lstm_->forward(x_, state_);
    state_ = std::make_tuple(std::get<0>(state).detach(),
                             std::get<1>(state).detach());
    torch::nn::functional::mse_loss(table_->forward(torch::relu(h)), y_)
        .backward();
    adam_.step();
  }

 private:
  std::vector<torch::Tensor> Parameters() {
    std::vector<torch::Tensor> all = lstm_->parameters();
    all.push_back(table_->weight);
    return all;
  }
  torch::nn::LSTM lstm_;
  torch::nn::Linear table_;
  torch::optim::Adam adam_;
  torch::Tensor x_, y_;
  std::tuple<torch::Tensor, torch::Tensor> state_;
};

// Instructions a second.
template <class Side>
double Rate(const Setting& s, Side& side) {
  const double begin = s.Seconds();
  side.Update();
  return s.rows() / (s.Seconds() - begin);
}

// Best of a few, FLOP/s.
double ProductRate(const Setting& s, bool bf16) {
  torch::NoGradGuard no_grad;
  constexpr int kSize = 2048;
  const auto type = bf16 ? torch::kBFloat16 : torch::kFloat;
  const torch::Tensor a = torch::ones({kSize, kSize}).to(type), b = a.clone();
  double best = 0;
  for (int i = 0; i < 6; ++i) {
    const double begin = s.Seconds();
    a.mm(b);
    best = std::max(best, 2.0 * kSize * kSize * kSize / (s.Seconds() - begin));
  }
  return best;
}

double FlopsPerInstruction() {
  const double inputs = 2.0 * 4 * kWidth * kInputs;
  const double forward = inputs +
                         2.0 * 4 * kWidth * kWidth * (2 * kLayers - 1) +
                         2.0 * kWidth * kArchitectures;
  return 3 * forward - inputs;
}

void Row(const Setting& s, const Work& work, bool bf16) {
  Ours ours(s, work, bf16);
  Rival rival(s, work);
  const double product = ProductRate(s, bf16);
  bench::PairOptions options;
  options.row = bf16 ? "train_bf16" : "train_fp32";
  options.unit = "instr/s";
  options.pairs = s.pairs;
  std::vector<double> rates;
  bench::RunPairs(
      options,
      [&] {
        rates.push_back(Rate(s, ours));
        return rates.back();
      },
      [&] { return Rate(s, rival); });
  nlohmann::json more = {
      {"row", options.row + "_product"},
      {"product_flops", product},
      {"share_of_product_rate",
       bench::Percentile(rates, 0.5) * FlopsPerInstruction() / product},
      {"lanes", s.lanes},
      {"steps", s.steps},
      {"threads", s.threads},
      {"clock", s.wall ? "wall" : "processor"}};
  std::printf("%s\n", more.dump().c_str());
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  Setting s;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--wall") {
      s.wall = true;
      continue;
    }
    const int value = i + 1 < argc ? std::atoi(argv[++i]) : 0;
    int* field = name == "--pairs"     ? &s.pairs
                 : name == "--lanes"   ? &s.lanes
                 : name == "--steps"   ? &s.steps
                 : name == "--threads" ? &s.threads
                                       : nullptr;
    if (field == nullptr || value < 1) {
      std::fprintf(stderr,
                   "train_bench [--pairs N] [--lanes N] [--steps N] "
                   "[--threads N] [--wall]\n");
      return 2;
    }
    *field = value;
  }
  at::set_num_threads(s.threads);
  openblas_set_num_threads(s.threads);
  const Work work = MakeWork(s);
  if (Avx512Bf16Kernels() != nullptr) Row(s, work, true);
  Row(s, work, false);
  return 0;
}

}  // namespace
}  // namespace perfvec::train

int main(int argc, char** argv) { return perfvec::train::Main(argc, argv); }
