// Row "precision": what bf16 changes in a prediction. The program vector of the
// first instructions of each real trace in fp32 and in bf16, and |dT| / T for
// every architecture the model has a vector of.
//
// One JSON line for each program, then the worst and the mean of all.
//
//   precision_bench [--model DIR] [--program NAME] [--instructions N]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "storage/trace/byte_stream.h"
#include "tests/bench/real_traces.h"
#include "worker/model/foundation_model.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/represent_trace.h"

namespace perfvec::compute {
namespace {

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) bench::Die(std::string(value.status().message()));
  return *std::move(value);
}

std::vector<double> Vector(const bench::Trace& trace, Representer* back_end,
                           int64_t instructions) {
  const int64_t length = back_end->model()->manifest().segment_length;
  RepresentTraceOptions options;
  if (static_cast<int64_t>(trace.instructions) > instructions) {
    options.range.end = std::max(length, instructions / length * length);
  }
  return OrDie(RepresentTrace(
                   std::make_unique<trace::StringSource>(trace.pvt, trace.name),
                   back_end, options))
      .Vector();
}

int Main(const std::string& directory, const std::string& program,
         int64_t instructions) {
  auto model = std::make_shared<const FoundationModel>(
      OrDie(FoundationModel::Load(directory)));
  const Manifest& m = model->manifest();
  auto fp32 = OrDie(MakeCpuRepresenter(model, {}));
  CpuOptions options;
  options.precision = Precision::kBf16;
  auto bf16 = OrDie(MakeCpuRepresenter(model, options));
  double worst = 0, total = 0;
  int count = 0;
  for (const bench::Trace& trace : bench::LoadTraces(program)) {
    const std::vector<double> a = Vector(trace, fp32.get(), instructions);
    const std::vector<double> b = Vector(trace, bf16.get(), instructions);
    double program_worst = 0, program_total = 0;
    std::string name;
    for (size_t i = 0; i < m.architectures.size(); ++i) {
      const float* vector = model->ArchitectureVector(static_cast<int>(i));
      double time = 0, other = 0;
      for (int k = 0; k < m.width; ++k) {
        time += a[k] * double{vector[k]};
        other += b[k] * double{vector[k]};
      }
      const double error = std::fabs(other - time) / std::fabs(time);
      program_total += error;
      if (error < program_worst) continue;
      program_worst = error;
      name = m.architectures[i].name;
    }
    std::printf("%s\n",
                nlohmann::json{
                    {"row", "precision"},
                    {"program", trace.name},
                    {"mean", program_total /
                                 static_cast<double>(m.architectures.size())},
                    {"max", program_worst},
                    {"architecture", name}}
                    .dump()
                    .c_str());
    std::fflush(stdout);
    worst = std::max(worst, program_worst);
    total += program_total;
    count += static_cast<int>(m.architectures.size());
  }
  std::printf("%s\n",
              nlohmann::json{{"row", "precision: bf16 against fp32, |dT| / T"},
                             {"pairs", count},
                             {"mean", total / count},
                             {"max", worst},
                             {"instructions", instructions}}
                  .dump()
                  .c_str());
  return 0;
}

}  // namespace
}  // namespace perfvec::compute

int main(int argc, char** argv) {
  std::string model = PERFVEC_SOURCE_DIR "/deploy/models/default", program;
  int64_t instructions = 51200;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--model") model = argv[i + 1];
    if (flag == "--program") program = argv[i + 1];
    if (flag == "--instructions") instructions = std::atoll(argv[i + 1]);
  }
  return perfvec::compute::Main(model, program, instructions);
}
