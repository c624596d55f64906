// Row "represent": features to a program vector, stream mode, on the CPU, with
// a network of the real shape (LSTM-2-256 over 51 inputs, random weights).
//
// Rival: LibTorch's nn::LSTM over the same segments as one batch, with the
// batch size and the number of steps per call that are fastest here, found
// before the pairs. Both use every processor. Two more figures are of the same
// run: the share of the rate of a product (sgemm, 1536 cubed, by LibTorch's
// BLAS) that ours reaches, and the relative difference of the two vectors.
//
// Rates are by the wall clock; "ratio_by_cpu_time" says the same by processor
// time, which a busy machine disturbs less.
//
//   represent_bench [--pairs N] [--segments N] [--threads N]
#include <torch/nn/modules/rnn.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/bench/pairs.h"
#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/reference_lstm.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"

// LibTorch's BLAS here; its own number of threads is not LibTorch's.
extern "C" void openblas_set_num_threads(int) __attribute__((weak));

namespace perfvec::compute {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int kWarmUp = 255, kLength = 1024;

double Seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double ProcessorSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Time {
  double wall = 0, cpu = 0;
};
template <class F>
Time Measure(const F& f) {
  const double wall = Seconds(), cpu = ProcessorSeconds();
  f();
  return {Seconds() - wall, ProcessorSeconds() - cpu};
}

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "represent_bench: %s\n",
               value.status().ToString().c_str());
  std::exit(1);
}

// Everything both sides see: inputs already encoded.
struct Work {
  std::shared_ptr<const FoundationModel> model;
  std::vector<float> features;
  std::vector<float> inputs;
  int64_t instructions = 0;
};

Work MakeWork(int segments) {
  Work work;
  Manifest m = SmallManifest(2, 256);
  m.inputs.columns.resize(kFeatureCount);
  work.model =
      std::make_shared<const FoundationModel>(OrDie(RandomModel(m, kSeed)));
  work.instructions = int64_t{segments} * kLength;
  work.features = RandomFeatures(work.instructions, kSeed);
  work.inputs.resize(work.features.size());
  m.inputs.Encode(work.features.data(), work.instructions, work.inputs.data());
  return work;
}

// From features, so with encoding and the exact sum.
std::vector<double> Ours(const Work& work, Representer* back_end) {
  StreamRepresenter stream =
      OrDie(StreamRepresenter::Create(back_end, {0, work.instructions}, {}));
  const absl::Status s = stream.Feed(work.features.data(), work.instructions);
  if (!s.ok()) OrDie<int>(s);
  return OrDie(stream.Finish()).Vector();
}

// nn::LSTM over all segments, `batch` at a time, `steps` steps a call. Starts
// from encoded inputs, and adds in LibTorch's own order: all the easier for it.
class Rival {
 public:
  explicit Rival(const Work& work)
      : work_(work),
        lstm_(torch::nn::LSTMOptions(kFeatureCount, 256).num_layers(2)) {
    torch::NoGradGuard no_grad;
    for (auto& parameter : lstm_->named_parameters()) {
      const Tensor& from = work.model->tensors().at("lstm." + parameter.key());
      std::memcpy(parameter.value().data_ptr<float>(), from.values.data(),
                  parameter.value().nbytes());
    }
    lstm_->eval();
  }

  std::vector<double> Run(int batch, int steps) {
    torch::InferenceMode inference;
    torch::Tensor total = torch::zeros({256}, torch::kDouble);
    const int segments = static_cast<int>(work_.instructions / kLength);
    for (int first = 0; first < segments; first += batch) {
      total += RunBatch(first, std::min(batch, segments - first), steps);
    }
    const double* p = total.data_ptr<double>();
    return {p, p + 256};
  }

 private:
  torch::Tensor RunBatch(int first, int lanes, int steps) {
    torch::Tensor hidden = torch::zeros({2, lanes, 256});
    torch::Tensor cell = torch::zeros({2, lanes, 256});
    torch::Tensor sum = torch::zeros({256}, torch::kDouble);
    // Pieces end where the warm-up ends and where segment 0 starts.
    for (int begin = 0; begin < kWarmUp + kLength;) {
      const int limit = begin < kWarmUp ? kWarmUp : kWarmUp + kLength;
      const int end = std::min(begin + steps, limit);
      torch::Tensor input = torch::zeros({end - begin, lanes, kFeatureCount});
      float* to = input.data_ptr<float>();
      for (int t = begin; t < end; ++t) {
        for (int i = 0; i < lanes; ++i, to += kFeatureCount) {
          const int64_t row = int64_t{first + i} * kLength - kWarmUp + t;
          if (row < 0) continue;
          std::memcpy(to, &work_.inputs[row * kFeatureCount],
                      kFeatureCount * sizeof(float));
        }
      }
      if (begin == kWarmUp && first == 0) {
        hidden.select(1, 0).zero_();
        cell.select(1, 0).zero_();
      }
      torch::Tensor output;
      std::tuple<torch::Tensor, torch::Tensor> state;
      std::tie(output, state) =
          lstm_->forward(input, std::make_tuple(hidden, cell));
      std::tie(hidden, cell) = state;
      if (begin >= kWarmUp) {
        sum += output.relu().sum(0).sum(0, false, torch::kDouble);
      }
      begin = end;
    }
    return sum;
  }

  const Work& work_;
  torch::nn::LSTM lstm_;
};

// GFLOP/s of a large product by the BLAS under LibTorch, the best of three:
// what can be reached here now. By processor time per thread, as a product
// keeps all threads busy.
double GemmGflops(int threads) {
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

int Main(int pairs, int segments, int threads) {
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(threads);
  at::set_num_threads(threads);
  const Work work = MakeWork(segments);
  CpuOptions cpu_options;
  cpu_options.threads = threads;
  std::unique_ptr<Representer> back_end =
      OrDie(MakeCpuRepresenter(work.model, cpu_options));
  Rival rival(work);

  const std::vector<double> a = Ours(work, back_end.get());
  std::vector<double> b;
  int batch = 0, steps = 0;
  double best = 1e300;
  for (int try_batch : {48, 96, 192}) {
    if (try_batch > std::max(48, segments)) continue;
    for (int try_steps : {64, kLength}) {
      const Time t = Measure([&] { b = rival.Run(try_batch, try_steps); });
      if (t.cpu >= best) continue;
      best = t.cpu;
      batch = try_batch;
      steps = try_steps;
    }
  }
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }

  // 2 FLOP for each weight and step, and the warm-up's share.
  const double mflop = 2e-6 * 4 * 256 * (kFeatureCount + 3 * 256) *
                       (1 + double{kWarmUp} / kLength);
  const double k_instructions = 1e-3 * static_cast<double>(work.instructions);
  std::vector<double> ours_rates, rival_rates, cpu_ratios, gemm, shares;
  for (int i = -1; i < pairs; ++i) {  // the first warms up
    Time ours, other;
    for (int turn = 0; turn < 2; ++turn) {
      if ((turn == 0) == (i % 2 == 0)) {
        ours = Measure([&] { Ours(work, back_end.get()); });
      } else {
        other = Measure([&] { rival.Run(batch, steps); });
      }
    }
    if (i < 0) continue;
    ours_rates.push_back(k_instructions / ours.wall);
    rival_rates.push_back(k_instructions / other.wall);
    cpu_ratios.push_back(other.cpu / ours.cpu);
    gemm.push_back(GemmGflops(threads));
    shares.push_back(k_instructions * mflop * threads / ours.cpu / gemm.back());
  }
  bench::PairOptions options;
  options.row = "represent: features to program vector, stream, CPU";
  options.unit = "k instr/s";
  bench::PrintRow(options, ours_rates, rival_rates,
                  {{"kernel", back_end->Description()},
                   {"rival_batch", batch},
                   {"rival_steps", steps},
                   {"ratio_by_cpu_time", bench::Percentile(cpu_ratios, 0.5)},
                   {"mflop_per_instruction", mflop},
                   {"gemm_gflops", bench::Percentile(gemm, 0.5)},
                   {"share_of_gemm", bench::Percentile(shares, 0.5)},
                   {"share_of_gemm_low", bench::Percentile(shares, 0.1)},
                   {"share_of_gemm_high", bench::Percentile(shares, 0.9)},
                   {"relative_difference", std::sqrt(difference / norm)}});
  return 0;
}

}  // namespace
}  // namespace perfvec::compute

int main(int argc, char** argv) {
  int pairs = 21, segments = 96;
  int threads =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 1; i + 1 < argc; i += 2) {
    const int value = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--pairs") == 0) pairs = value;
    if (std::strcmp(argv[i], "--segments") == 0) segments = value;
    if (std::strcmp(argv[i], "--threads") == 0) threads = value;
  }
  return perfvec::compute::Main(pairs, segments, threads);
}
