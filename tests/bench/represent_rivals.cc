#include "tests/bench/represent_rivals.h"

#include <torch/nn/modules/rnn.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <tuple>
#include <utility>

namespace perfvec::bench {
namespace {

class TorchRival : public Rival {
 public:
  explicit TorchRival(const Work& work)
      : Rival(work),
        lstm_(torch::nn::LSTMOptions(work.columns, kWidth).num_layers(2)) {
    torch::NoGradGuard no_grad;
    for (auto& parameter : lstm_->named_parameters()) {
      const compute::Tensor& from =
          work.model->tensors().at("lstm." + parameter.key());
      std::memcpy(parameter.value().data_ptr<float>(), from.values.data(),
                  parameter.value().nbytes());
    }
    lstm_->eval();
  }
  std::string name() const override { return "libtorch nn::LSTM"; }

 protected:
  void Start(int lanes) override {
    torch::InferenceMode inference;
    lanes_ = lanes;
    hidden_ = torch::zeros({2, lanes, kWidth});
    cell_ = torch::zeros({2, lanes, kWidth});
  }
  void ZeroLane(int lane) override {
    torch::InferenceMode inference;
    hidden_.select(1, lane).zero_();
    cell_.select(1, lane).zero_();
  }
  void Forward(const std::vector<float>& input, int steps,
               std::vector<double>* sum) override {
    torch::InferenceMode inference;
    const torch::Tensor x = torch::from_blob(const_cast<float*>(input.data()),
                                             {steps, lanes_, work_.columns});
    torch::Tensor output;
    std::tuple<torch::Tensor, torch::Tensor> state;
    std::tie(output, state) =
        lstm_->forward(x, std::make_tuple(hidden_, cell_));
    std::tie(hidden_, cell_) = state;
    if (sum == nullptr) return;
    const torch::Tensor total =
        output.relu().sum(0).sum(0, false, torch::kDouble);
    for (int k = 0; k < kWidth; ++k) (*sum)[k] += total.data_ptr<double>()[k];
  }

 private:
  torch::nn::LSTM lstm_;
  int lanes_ = 0;
  torch::Tensor hidden_, cell_;
};

// One instruction on 16 independent registers, with zeros.
#define PERFVEC_LOOP(instruction)                                             \
  asm volatile(                                                               \
      "vzeroall\n"                                                            \
      "vpxord %%zmm30, %%zmm30, %%zmm30\n"                                    \
      "1: .irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" instruction         \
      " %%zmm30, %%zmm30, %%zmm\\r\n"                                         \
      ".endr\n"                                                               \
      "dec %0\n"                                                              \
      "jnz 1b\n"                                                              \
      : "+r"(count)                                                           \
      :                                                                       \
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

template <class F>
double Rate(double flop, const F& loop) {
  constexpr long kCount = 2000000;
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const Time t = Measure([&] { loop(kCount); });
    best = std::max(best, 1e-9 * flop * 16 * kCount / t.cpu);
  }
  return best;
}

}  // namespace

Time Now() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return {
      std::chrono::duration<double>(
          std::chrono::steady_clock::now().time_since_epoch())
          .count(),
      static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec)};
}

std::vector<double> Rival::Run(int batch, int steps) {
  std::vector<double> sum(kWidth, 0.0);
  const int segments = static_cast<int>(work_.instructions / kLength);
  const size_t columns = static_cast<size_t>(work_.columns);
  std::vector<float> input;
  for (int first = 0; first < segments; first += batch) {
    const int lanes = std::min(batch, segments - first);
    Start(lanes);
    // Pieces end where the warm-up ends and where segment 0 starts.
    for (int begin = 0; begin < kWarmUp + kLength;) {
      const int limit = begin < kWarmUp ? kWarmUp : kWarmUp + kLength;
      const int end = std::min(begin + steps, limit);
      input.assign(static_cast<size_t>(end - begin) * lanes * columns, 0.0f);
      float* to = input.data();
      for (int t = begin; t < end; ++t) {
        for (int i = 0; i < lanes; ++i, to += columns) {
          const int64_t row = int64_t{first + i} * kLength - kWarmUp + t;
          if (row < 0) continue;
          std::memcpy(to, &work_.inputs[static_cast<size_t>(row) * columns],
                      columns * sizeof(float));
        }
      }
      if (begin == kWarmUp && first == 0) ZeroLane(0);
      Forward(input, end - begin, begin >= kWarmUp ? &sum : nullptr);
      begin = end;
    }
  }
  return sum;
}

std::unique_ptr<Rival> MakeTorchRival(const Work& work) {
  return std::make_unique<TorchRival>(work);
}

double SgemmGflops(int threads) {
  torch::InferenceMode inference;
  constexpr int kSize = 1536;
  const torch::Tensor a = torch::ones({kSize, kSize});
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    const Time t = Measure([&] { at::mm(a, a); });
    best = std::max(best, 2e-9 * kSize * kSize * kSize * threads / t.cpu);
  }
  return best;
}

Peak MeasurePeak() {
  Peak peak;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    peak.fma = Rate(32, [](long count) { PERFVEC_LOOP("vfmadd231ps"); });
  }
  if (__builtin_cpu_supports("avx512bf16")) {
    peak.bf16 = Rate(64, [](long count) { PERFVEC_LOOP("vdpbf16ps"); });
  }
#endif
  return peak;
}

}  // namespace perfvec::bench
