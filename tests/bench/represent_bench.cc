// Rows "represent": features to a program vector, stream mode, on the CPU, with
// a network of the real shape (LSTM-2-256, random weights), in fp32 and bf16,
// against LibTorch's nn::LSTM and oneDNN's LSTM primitive (fp32 and bf16) over
// the same segments, each with the batch and the number of steps per call that
// are fastest here, found before the pairs.
//
// Of the same run: the peak of registers alone, the rate of a large product
// (sgemm by LibTorch's BLAS; oneDNN's), the shares of them that ours reaches,
// and the relative difference of the two vectors.
//
// Rates are by the wall clock; "ratio_by_cpu_time" says the same by processor
// time, which a busy machine disturbs less. All by `threads` threads.
//
//   represent_bench [--pairs N] [--segments N] [--threads N] [--inputs N]
//                   [--rival START-OF-NAME|window] [--precision fp32|bf16]
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/pairs.h"
#include "tests/bench/represent_rivals.h"
#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/reference_lstm.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"
#include "worker/represent/torch_representer.h"

// LibTorch's BLAS here, and oneDNN's threads; their own numbers are not
// LibTorch's.
extern "C" void openblas_set_num_threads(int) __attribute__((weak));
extern "C" void omp_set_num_threads(int) __attribute__((weak));

namespace perfvec::bench {
namespace {

constexpr uint64_t kSeed = 1;

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "represent_bench: %s\n",
               value.status().ToString().c_str());
  std::exit(1);
}

// Columns as models of ours have them: the features, then bits of them.
compute::Manifest WideManifest(int columns) {
  using compute::kFeatureCount;
  compute::Manifest m = compute::SmallManifest(2, kWidth);
  m.inputs.columns.resize(std::min<int>(columns, kFeatureCount));
  for (int i = kFeatureCount; i < columns; ++i) {
    compute::InputColumn column;
    column.feature = i % kFeatureCount;
    column.transform = compute::InputColumn::Transform::kBit;
    column.value = static_cast<float>(i / kFeatureCount - 1);
    m.inputs.columns.push_back(column);
  }
  return m;
}

Work MakeWork(int segments, int columns) {
  Work work;
  const compute::Manifest m = WideManifest(columns);
  work.model = std::make_shared<const compute::FoundationModel>(
      OrDie(compute::RandomModel(m, kSeed)));
  work.columns = columns;
  work.instructions = int64_t{segments} * kLength;
  work.features = compute::RandomFeatures(work.instructions, kSeed);
  work.inputs.resize(static_cast<size_t>(work.instructions * columns));
  m.inputs.Encode(work.features.data(), work.instructions, work.inputs.data());
  return work;
}

// From features, so with encoding and the exact sum.
std::vector<double> Ours(const Work& work, compute::Representer* back_end) {
  auto stream = OrDie(
      compute::StreamRepresenter::Create(back_end, {0, work.instructions}, {}));
  const absl::Status s = stream.Feed(work.features.data(), work.instructions);
  if (!s.ok()) OrDie<int>(s);
  return OrDie(stream.Finish()).Vector();
}

struct Options {
  int pairs = 21, segments = 96, threads = 1, inputs = 132;
  std::string rival, precision;
};

// The batch and steps that are fastest.
struct Tuning {
  int batch = 0, steps = 0;
};
Tuning Tune(Rival* rival, int segments) {
  Tuning best;
  double least = 1e300;
  for (int batch : {48, 96, 192}) {
    if (batch > std::max(48, segments)) continue;
    for (int steps : {64, kLength}) {
      const Time t = Measure([&] { rival->Run(batch, steps); });
      if (t.cpu >= least) continue;
      least = t.cpu;
      best = {batch, steps};
    }
  }
  return best;
}

double RelativeDifference(const std::vector<double>& a,
                          const std::vector<double>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

void RunRow(const Work& work, const Options& options, bool bf16, Rival* rival) {
  compute::CpuOptions cpu_options;
  cpu_options.threads = options.threads;
  if (bf16) cpu_options.precision = compute::Precision::kBf16;
  auto back_end = OrDie(MakeCpuRepresenter(work.model, cpu_options));
  const Tuning tuning = Tune(rival, options.segments);
  const double difference = RelativeDifference(
      Ours(work, back_end.get()), rival->Run(tuning.batch, tuning.steps));

  // 2 FLOP for each weight and step, and the warm-up's share.
  const double mflop = 2e-6 * 4 * kWidth * (work.columns + 3 * kWidth) *
                       (1 + double{kWarmUp} / kLength);
  const double k_instructions = 1e-3 * static_cast<double>(work.instructions);
  const int threads = options.threads;
  std::vector<double> ours_rates, rival_rates, cpu_ratios, sgemm, rates;
  for (int i = -1; i < options.pairs; ++i) {  // the first warms up
    Time ours, other;
    for (int turn = 0; turn < 2; ++turn) {
      if ((turn == 0) == (i % 2 == 0)) {
        ours = Measure([&] { Ours(work, back_end.get()); });
      } else {
        other = Measure([&] { rival->Run(tuning.batch, tuning.steps); });
      }
    }
    if (i < 0) continue;
    ours_rates.push_back(k_instructions / ours.wall);
    rival_rates.push_back(k_instructions / other.wall);
    cpu_ratios.push_back(other.cpu / ours.cpu);
    sgemm.push_back(SgemmGflops(threads));
    rates.push_back(k_instructions * mflop * threads / ours.cpu);
  }
  const Peak peak = MeasurePeak();
  const double rate = Percentile(rates, 0.5), gemm = Percentile(sgemm, 0.5);
  PairOptions row;
  row.row = "represent: features to program vector, stream, CPU, ";
  row.row += bf16 ? "bf16" : "fp32";
  row.unit = "k instr/s";
  PrintRow(row, ours_rates, rival_rates,
           {{"kernel", back_end->Description()},
            {"rival_name", rival->name()},
            {"rival_batch", tuning.batch},
            {"rival_steps", tuning.steps},
            {"ratio_by_cpu_time", Percentile(cpu_ratios, 0.5)},
            {"inputs", work.columns},
            {"mflop_per_instruction", mflop},
            {"gflops", rate},
            {"sgemm_gflops", gemm},
            {"share_of_sgemm", rate / gemm},
            {"share_of_peak", rate / threads / (bf16 ? peak.bf16 : peak.fma)},
            {"relative_difference", difference}});
}

// The mode of published checkpoints: 256 steps for every instruction. The rival
// is the LibTorch back end over the same windows.
void RunWindowRow(const Options& options) {
  constexpr int kInstructions = 192;
  compute::Manifest m = WideManifest(compute::kFeatureCount);
  m.mode = compute::Mode::kWindow;
  Work work;
  work.model = std::make_shared<const compute::FoundationModel>(
      OrDie(compute::RandomModel(m, kSeed)));
  work.instructions = kInstructions;
  work.features = compute::RandomFeatures(kInstructions, kSeed);
  const int threads = options.threads;
  compute::CpuOptions cpu_options;
  cpu_options.threads = threads;
  auto ours = OrDie(MakeCpuRepresenter(work.model, cpu_options));
  auto torch = OrDie(compute::MakeTorchRepresenter(work.model, {"cpu", 192}));
  const double difference =
      RelativeDifference(Ours(work, ours.get()), Ours(work, torch.get()));
  // The floor: each row's input part once, the rest for every step.
  const double mflop =
      2e-6 * 4 * kWidth * (compute::kFeatureCount + 256.0 * 3 * kWidth);
  std::vector<double> our_rates, torch_rates, sgemm, rates;
  for (int i = 0; i < options.pairs; ++i) {
    Time a, b;
    for (int turn = 0; turn < 2; ++turn) {
      if ((turn == 0) == (i % 2 == 0)) {
        a = Measure([&] { Ours(work, ours.get()); });
      } else {
        b = Measure([&] { Ours(work, torch.get()); });
      }
    }
    our_rates.push_back(kInstructions / a.wall);
    torch_rates.push_back(kInstructions / b.wall);
    sgemm.push_back(SgemmGflops(threads));
    rates.push_back(1e-3 * kInstructions * mflop * threads / a.cpu);
  }
  const double rate = Percentile(rates, 0.5), gemm = Percentile(sgemm, 0.5);
  PairOptions row;
  row.row = "represent_window: features to program vector, window, CPU, fp32";
  row.unit = "instr/s";
  PrintRow(row, our_rates, torch_rates,
           {{"kernel", ours->Description()},
            {"rival_name", torch->Description()},
            {"mflop_per_instruction", mflop},
            {"gflops", rate},
            {"sgemm_gflops", gemm},
            {"share_of_sgemm", rate / gemm},
            {"relative_difference", difference}});
}

int Main(const Options& options) {
  const int threads = options.threads;
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(threads);
  if (omp_set_num_threads != nullptr) omp_set_num_threads(threads);
  at::set_num_threads(threads);
  const Peak peak = MeasurePeak();
  std::printf(
      "%s\n",
      nlohmann::json{{"row", "represent: peaks, GFLOP/s"},
                     {"threads", threads},
                     {"fma_registers_one_thread", peak.fma},
                     {"bf16_registers_one_thread", peak.bf16},
                     {"sgemm_openblas", SgemmGflops(threads)},
                     {"gemm_onednn", OneDnnGemmGflops(threads, false)},
                     {"gemm_onednn_bf16", OneDnnGemmGflops(threads, true)},
                     {"cpu", CpuName()}}
          .dump()
          .c_str());
  if (options.rival.empty() || options.rival == "window") {
    RunWindowRow(options);
  }
  const Work work = MakeWork(options.segments, options.inputs);
  std::unique_ptr<Rival> rivals[] = {MakeTorchRival(work),
                                     MakeOneDnnRival(work, false),
                                     MakeOneDnnRival(work, true)};
  for (const auto& rival : rivals) {
    if (rival == nullptr || rival->name().rfind(options.rival, 0) != 0) {
      continue;
    }
    for (bool bf16 : {false, true}) {
      if (bf16 && !compute::CpuSupportsBf16()) continue;
      if (!options.precision.empty() && bf16 != (options.precision == "bf16")) {
        continue;
      }
      RunRow(work, options, bf16, rival.get());
    }
  }
  return 0;
}

}  // namespace
}  // namespace perfvec::bench

int main(int argc, char** argv) {
  perfvec::bench::Options options;
  options.threads =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const int value = std::atoi(argv[i + 1]);
    if (flag == "--pairs") options.pairs = value;
    if (flag == "--segments") options.segments = value;
    if (flag == "--threads") options.threads = value;
    if (flag == "--inputs") options.inputs = value;
    if (flag == "--rival") options.rival = argv[i + 1];
    if (flag == "--precision") options.precision = argv[i + 1];
  }
  return perfvec::bench::Main(options);
}
