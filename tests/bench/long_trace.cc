// A trace of any length through the real pipeline, generated as it is read:
// feature extraction, input encoding, network, exact sum. Prints what it held
// in memory after a hundredth of the way and at most, and how fast it went.
//
//   long_trace INSTRUCTIONS [--model DIR] [--threads N]
//
// Without --model a network of one layer, 8 units and 8 inputs, so that 1e9
// instructions take minutes: what holds memory is the same as with a real one,
// where the network alone decides the time.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/generated_trace.h"
#include "worker/features/feature_extractor.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::compute {
namespace {

[[noreturn]] void Die(const absl::Status& status) {
  std::fprintf(stderr, "long_trace: %s\n", status.ToString().c_str());
  std::exit(1);
}

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status());
  return *std::move(value);
}

double ResidentMegabytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096 / 1e6;
}

FoundationModel TinyModel() {
  Manifest m = SmallManifest(1, 8);
  std::vector<InputColumn> columns;
  for (size_t i : {1, 3, 15, 18, 19, 20, 21, 22}) {
    columns.push_back(m.inputs.columns[i]);
  }
  m.inputs.columns = std::move(columns);
  return OrDie(RandomModel(m, 1));
}

int Main(int64_t instructions, const std::string& directory, int threads) {
  auto model = std::make_shared<const FoundationModel>(
      directory.empty() ? TinyModel()
                        : OrDie(FoundationModel::Load(directory)));
  CpuOptions options;
  options.threads = threads;
  std::unique_ptr<Representer> back_end =
      OrDie(MakeCpuRepresenter(model, options));
  StreamRepresenter stream =
      OrDie(StreamRepresenter::Create(back_end.get(), {0, instructions}, {}));
  GeneratedTrace trace(/*seed=*/1, /*data_lines=*/1 << 16);
  FeatureExtractor extractor;
  trace::InstructionBlock block;
  std::vector<float> features;
  double early = 0, most = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t at = 0; at < instructions;) {
    const size_t n =
        static_cast<size_t>(std::min<int64_t>(65536, instructions - at));
    trace.Next(n, &block);
    features.resize(n * kFeatureCount);
    absl::Status s = extractor.Extract(block, features.data());
    if (s.ok()) s = stream.Feed(features.data(), n);
    if (!s.ok()) Die(s);
    at += static_cast<int64_t>(n);
    const double now = ResidentMegabytes();
    if (at <= instructions / 100 || early == 0) early = now;
    most = std::max(most, now);
  }
  const ProgramVectorAccumulator sum = OrDie(stream.Finish());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  const nlohmann::json row = {
      {"instructions", sum.instructions()},
      {"kernel", back_end->Description()},
      {"width", model->manifest().width},
      {"seconds", seconds},
      {"k_instructions_per_second", 1e-3 * instructions / seconds},
      {"resident_mb_early", early},
      {"resident_mb_most", most}};
  std::printf("%s\n", row.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace perfvec::compute

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(
        stderr, "usage: long_trace INSTRUCTIONS [--model DIR] [--threads N]\n");
    return 2;
  }
  std::string directory;
  int threads = 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--model") == 0) directory = argv[i + 1];
    if (std::strcmp(argv[i], "--threads") == 0)
      threads = std::atoi(argv[i + 1]);
  }
  return perfvec::compute::Main(static_cast<int64_t>(std::atof(argv[1])),
                                directory, threads);
}
