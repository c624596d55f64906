// Row "features": .pvt to 51 features on one core, against the same loop over
// other exact stack distance structures, on real traces and on uniform random
// lines; and the rich features beside the 51. Figures are per core second: the
// thread's own CPU time, so that other programs on the machine cost cache, not
// time.
//
//   features_bench [--pairs N] [--trace NAME] [--no-random-lines]
//
// Traces: those of PERFVEC_DATA (or ../shared/data) whose program is `seen`;
// without that data the bundled sample.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "tests/bench/pairs.h"
#include "tests/bench/real_traces.h"
#include "tests/bench/stack_rivals.h"
#include "worker/features/cpu_dispatch.h"
#include "worker/features/feature_extractor.h"
#include "worker/features/feature_kernel.h"
#include "worker/features/rich_schema.h"
#include "worker/features/stack_distance.h"

namespace perfvec::bench {
namespace {

using compute::BasicStackDistances;
using compute::FeatureKernel;
using compute::StackDistances;

double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + t.tv_nsec * 1e-9;
}

// --- the loop over each structure -----------------------------------------

template <typename Stacks>
PERFVEC_TARGET_AVX2 void RunKernelAvx2(FeatureKernel<Stacks>& kernel,
                                       const trace::InstructionBlock& block,
                                       float* features) {
  kernel.template Run<true>(block, features);
}

template <typename Stacks>
void Extract(FeatureKernel<Stacks>& kernel,
             const trace::InstructionBlock& block, float* features) {
  if (compute::CpuHasAvx2()) {
    RunKernelAvx2(kernel, block, features);
  } else {
    kernel.template Run<true>(block, features);
  }
}

template <typename Slots>
PERFVEC_TARGET_AVX2 void RecordBatchAvx2(BasicStackDistances<Slots>& stacks,
                                         const uint64_t* lines, size_t count,
                                         uint32_t* distances) {
  RecordBatch(stacks, lines, count, distances);
}

template <typename Slots>
void RecordLines(BasicStackDistances<Slots>& stacks, const uint64_t* lines,
                 size_t count, uint32_t* distances) {
  for (size_t i = 0; i < count; i += compute::kRecordBatch) {
    const size_t n = std::min(count - i, compute::kRecordBatch);
    if (compute::CpuHasAvx2()) {
      RecordBatchAvx2(stacks, lines + i, n, distances + i);
    } else {
      RecordBatch(stacks, lines + i, n, distances + i);
    }
  }
}

// --- real traces -----------------------------------------------------------

// CPU seconds for .pvt to features; `extract` is called with each block.
double TimeDecode(const Trace& trace,
                  const std::function<void(const trace::InstructionBlock&,
                                           float*)>& extract) {
  static auto* features = new std::vector<float>(
      size_t{trace::kMaxChunkInstructions} * compute::kCoresFeatureCount);
  auto source = std::make_unique<trace::StringSource>(trace.pvt, trace.name);
  const double begin = CpuSeconds();
  auto reader = trace::TraceReader::Open(std::move(source));
  if (!reader.ok()) Die(std::string(reader.status().message()));
  trace::TraceChunk chunk;
  for (;;) {
    const auto more = (*reader)->Next(&chunk);
    if (!more.ok()) Die(std::string(more.status().message()));
    if (!*more) break;
    extract(chunk.block, features->data());
  }
  return CpuSeconds() - begin;
}

double TimeSchema(const Trace& trace, const compute::FeatureSchema& schema) {
  compute::FeatureExtractor extractor(schema);
  return TimeDecode(
      trace, [&](const trace::InstructionBlock& block, float* features) {
        const absl::Status status = extractor.Extract(block, features);
        if (!status.ok()) Die(std::string(status.message()));
      });
}

double TimeOurs(const Trace& trace) {
  return TimeSchema(trace, compute::PublishedFeatureSchema());
}

double TimeRich(const Trace& trace) {
  return TimeSchema(trace, compute::RichFeatureSchema());
}

double TimeCores(const Trace& trace) {
  return TimeSchema(trace, compute::CoresFeatureSchema());
}

template <typename Slots>
double TimeRival(const Trace& trace) {
  FeatureKernel<BasicStackDistances<Slots>> kernel;
  return TimeDecode(trace,
                    [&](const trace::InstructionBlock& block, float* features) {
                      Extract(kernel, block, features);
                    });
}

// Both stacks of a data stream, or the one of a fetch stream.
template <typename Slots>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void RunStream(
    const Stream& stream, uint32_t* const distances[2]) {
  BasicStackDistances<Slots> stacks;
  const size_t n = stream.lines.size();
  if (stream.recorded.empty()) {
    for (size_t i = 0; i < n; ++i) {
      distances[0][i] = stacks.Record(*stacks.Find(stream.lines[i]), 0);
    }
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    compute::LineEntry& entry = *stacks.Find(stream.lines[i]);
    const int k = stream.recorded[i];
    distances[1 - k][i] = stacks.Distance(entry, 1 - k);
    distances[k][i] = stacks.Record(entry, k);
  }
}

template <typename Slots>
PERFVEC_TARGET_AVX2 void RunStreamAvx2(const Stream& stream,
                                       uint32_t* const distances[2]) {
  RunStream<Slots>(stream, distances);
}

void RunStreamOffline(const Stream& stream, uint32_t* const distances[2]) {
  OfflineDistances offline;
  offline.Run(stream.lines.data(),
              stream.recorded.empty() ? nullptr : stream.recorded.data(),
              stream.lines.size(), distances);
}

using StreamFunction = void (*)(const Stream&, uint32_t* const[2]);

// CPU seconds for all distances of a trace, without decoding.
double TimeStreams(const Trace& trace, StreamFunction function,
                   std::vector<uint32_t> distances[4]) {
  const size_t fetches = trace.fetch.lines.size();
  const size_t accesses = trace.data.lines.size();
  distances[0].resize(fetches);
  distances[2].resize(accesses);
  distances[3].resize(accesses);
  uint32_t* const fetch[2] = {distances[0].data(), nullptr};
  uint32_t* const data[2] = {distances[2].data(), distances[3].data()};
  const double begin = CpuSeconds();
  function(trace.fetch, fetch);
  function(trace.data, data);
  return CpuSeconds() - begin;
}

struct Comparison {
  std::string row;
  std::function<double(const Trace&)> ours, rival;  // CPU seconds
};

// One row over all traces: total rates, and the ratio of each trace.
void CompareOnTraces(const std::vector<Trace>& traces,
                     const Comparison& comparison, int pairs) {
  std::vector<double> ours(pairs), rival(pairs);
  std::vector<std::vector<double>> ratios(traces.size());
  uint64_t instructions = 0;
  double slowest = 1e30;
  std::string slowest_name;
  for (const Trace& trace : traces) instructions += trace.instructions;
  for (size_t t = 0; t < traces.size(); ++t) {
    std::vector<double> rates;
    for (int i = -1; i < pairs; ++i) {
      double a = 0, b = 0;
      for (int turn = 0; turn < 2; ++turn) {
        if ((turn + i) % 2 == 0) {
          b = comparison.rival(traces[t]);
        } else {
          a = comparison.ours(traces[t]);
        }
      }
      if (i < 0) continue;  // warm-up
      ours[i] += a;
      rival[i] += b;
      ratios[t].push_back(b / a);
      rates.push_back(traces[t].instructions / a / 1e6);
    }
    if (const double rate = Percentile(rates, 0.5); rate < slowest) {
      slowest = rate;
      slowest_name = traces[t].name;
    }
  }
  for (int i = 0; i < pairs; ++i) {
    ours[i] = instructions / ours[i] / 1e6;
    rival[i] = instructions / rival[i] / 1e6;
  }
  nlohmann::json worst;
  double least = 1e30, most = 0;
  for (size_t t = 0; t < traces.size(); ++t) {
    const double ratio = Percentile(ratios[t], 0.5);
    if (ratio < least) worst = traces[t].name;
    least = std::min(least, ratio);
    most = std::max(most, ratio);
  }
  PairOptions options;
  options.row = comparison.row;
  options.unit = "M instr/s";
  PrintRow(options, ours, rival,
           {{"traces", traces.size()},
            {"least_ratio", least},
            {"least_ratio_trace", worst},
            {"most_ratio", most},
            {"slowest_trace", slowest_name},
            {"slowest_trace_rate", slowest}});
}

template <typename Slots>
double TimeStreamsOf(const Trace& trace) {
  static auto* distances = new std::vector<uint32_t>[4];
  return TimeStreams(
      trace, compute::CpuHasAvx2() ? &RunStreamAvx2<Slots> : &RunStream<Slots>,
      distances);
}

double TimeStreamsOffline(const Trace& trace) {
  static auto* distances = new std::vector<uint32_t>[4];
  return TimeStreams(trace, &RunStreamOffline, distances);
}

// A rival that is wrong is no rival.
void CheckAgreement(const Trace& trace) {
  std::vector<uint32_t> ours[4], splay[4], fenwick[4], offline[4];
  TimeStreams(trace, &RunStream<compute::RecencySlots>, ours);
  TimeStreams(trace, &RunStream<SplaySlots>, splay);
  TimeStreams(trace, &RunStream<FenwickSlots>, fenwick);
  TimeStreams(trace, &RunStreamOffline, offline);
  for (int k = 0; k < 4; ++k) {
    if (ours[k] != splay[k]) Die("splay tree is wrong on " + trace.name);
    if (ours[k] != fenwick[k]) Die("Fenwick tree is wrong on " + trace.name);
    if (ours[k] != offline[k]) Die("offline is wrong on " + trace.name);
  }
}

// --- uniform random lines --------------------------------------------------

// A structure run over batches of lines of one stream.
using BatchFunction = std::function<void(const uint64_t*, size_t, uint32_t*)>;

double TimeBatch(const BatchFunction& function,
                 const std::vector<uint64_t>& lines,
                 std::vector<uint32_t>* distances) {
  const double begin = CpuSeconds();
  function(lines.data(), lines.size(), distances->data());
  return CpuSeconds() - begin;
}

// Ours and a rival over the same accesses, after one pass over all lines; a
// pair is a batch.
void CompareOnRandomLines(uint64_t footprint, size_t batch,
                          const std::string& name, const BatchFunction& rival,
                          int pairs) {
  StackDistances stacks;
  const BatchFunction ours = [&](const uint64_t* l, size_t n, uint32_t* d) {
    RecordAll(stacks, l, n, d);
  };
  std::mt19937_64 random(20231016);
  std::vector<uint64_t> lines(footprint);
  std::vector<uint32_t> found(footprint), wanted(footprint);
  for (size_t k = 0; k < footprint; ++k) lines[k] = k;
  TimeBatch(ours, lines, &found);
  TimeBatch(rival, lines, &wanted);
  lines.resize(batch);
  found.resize(batch);
  wanted.resize(batch);
  PairOptions options;
  options.row =
      "features/random_lines_" + std::to_string(footprint) + "/" + name;
  options.unit = "M accesses/s";
  std::vector<double> ours_rate, rival_rate;
  for (int i = 0; i < pairs + 1; ++i) {
    for (uint64_t& line : lines) line = random() % footprint;
    double a = 0, b = 0;
    if (i % 2 == 0) {
      a = TimeBatch(ours, lines, &found);
      b = TimeBatch(rival, lines, &wanted);
    } else {
      b = TimeBatch(rival, lines, &wanted);
      a = TimeBatch(ours, lines, &found);
    }
    if (found != wanted) Die("wrong distances: " + options.row);
    if (i == 0) continue;  // warm-up
    ours_rate.push_back(batch / a / 1e6);
    rival_rate.push_back(batch / b / 1e6);
  }
  PrintRow(options, ours_rate, rival_rate,
           {{"batch", batch},
            {"ours_bytes_a_line",
             static_cast<double>(stacks.memory_bytes()) / footprint}});
}

void CompareOnRandomLines(uint64_t footprint, int pairs) {
  // Compactions come every three footprints of accesses, and the offline
  // rival's chunks are one long: a batch holds both. Only the splay tree is
  // too slow for that, and has neither.
  const size_t batch = std::max<size_t>(
      footprint >= 10'000'000 ? 3 * footprint : 6 * footprint, 300'000);
  BasicStackDistances<SplaySlots> splay;
  CompareOnRandomLines(
      footprint, std::min<size_t>(batch, 500'000), "splay",
      [&](const uint64_t* l, size_t n, uint32_t* d) {
        RecordLines(splay, l, n, d);
      },
      pairs);
  BasicStackDistances<FenwickSlots> fenwick;
  CompareOnRandomLines(
      footprint, batch, "fenwick",
      [&](const uint64_t* l, size_t n, uint32_t* d) {
        RecordLines(fenwick, l, n, d);
      },
      pairs);
  OfflineDistances offline;
  CompareOnRandomLines(
      footprint, batch, "offline",
      [&](const uint64_t* l, size_t n, uint32_t* d) {
        uint32_t* const out[2] = {d, nullptr};
        offline.Run(l, nullptr, n, out);
      },
      pairs);
}

int Main(int argc, char** argv) {
  int pairs = 21;
  std::string only;
  bool random_lines = true;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const bool has_value = i + 1 < argc;
    if (flag == "--pairs" && has_value) {
      pairs = std::max(1, std::atoi(argv[++i]));
    } else if (flag == "--trace" && has_value) {
      only = argv[++i];
    } else if (flag == "--no-random-lines") {
      random_lines = false;
    } else {
      Die("unknown argument " + flag + "; see the head of features_bench.cc");
    }
  }
  const std::vector<Trace> traces = LoadTraces(only);
  if (!traces.empty()) {
    for (const Trace& trace : traces) CheckAgreement(trace);
    const std::vector<Comparison> comparisons = {
        {"features/rich", &TimeRich, &TimeOurs},
        {"features/cores", &TimeCores, &TimeOurs},
        {"features/pvt/splay", &TimeOurs, &TimeRival<SplaySlots>},
        {"features/distances/splay", &TimeStreamsOf<compute::RecencySlots>,
         &TimeStreamsOf<SplaySlots>},
        {"features/distances/fenwick", &TimeStreamsOf<compute::RecencySlots>,
         &TimeStreamsOf<FenwickSlots>},
        {"features/distances/offline", &TimeStreamsOf<compute::RecencySlots>,
         &TimeStreamsOffline},
    };
    for (const Comparison& comparison : comparisons) {
      CompareOnTraces(traces, comparison, pairs);
    }
  }
  if (random_lines) {
    for (uint64_t footprint : {10'000, 100'000, 1'000'000, 10'000'000}) {
      CompareOnRandomLines(footprint, pairs);
    }
  }
  return 0;
}

}  // namespace
}  // namespace perfvec::bench

int main(int argc, char** argv) { return perfvec::bench::Main(argc, argv); }
