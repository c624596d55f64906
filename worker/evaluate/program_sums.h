// One pass over a program: everything its errors are computed from.
//
// Prediction is linear, so sums of representations over pieces of the trace,
// apart for each kind of instruction, give the predicted time of any range,
// interval or kind on every architecture. A piece lies between two cuts; the
// cuts are chosen by the caller, at any instruction. Representations are those
// of the service: segments and warm-up as the manifest says.
//
//   ASSIGN sums = SumProgram(data, {0, 10000, 20000, n}, {}, back_end);
//   sums.Sum({10000, n}, AllKinds());       // Σ R, [width]
//   sums.Times({10000, n}, ColdKinds());    // Σ t, [columns], 0.1 ns
//
// Plain data once made. SumProgram uses the back end: one call at a time.
#ifndef PERFVEC_WORKER_EVALUATE_PROGRAM_SUMS_H_
#define PERFVEC_WORKER_EVALUATE_PROGRAM_SUMS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/data_folder.h"
#include "worker/evaluate/instruction_kind.h"
#include "worker/learn/program_evidence.h"
#include "worker/represent/representer.h"

namespace perfvec::train {

// Instructions [begin, end).
struct Range {
  size_t begin = 0, end = 0;
  size_t size() const { return end - begin; }
};

// A set of kinds: bit k for kind k.
using KindSet = uint32_t;
constexpr KindSet AllKinds() { return (1u << kInstructionKinds) - 1; }
constexpr KindSet ColdKinds() { return 3; }

struct ProgramSums {
  int width = 0;                 // 0: no representations
  size_t columns = 0;            // architectures with simulated times
  std::vector<size_t> cuts;      // ascending, first 0, last the end
  std::vector<double> counts;    // [pieces][kinds] instructions
  std::vector<double> times;     // [pieces][kinds][columns], 0.1 ns
  std::vector<double> vectors;   // [pieces][kinds][width]
  std::vector<double> features;  // [pieces][51], sums of log2(1 + x)
  uint64_t saturated = 0;        // latencies of 65535: that or more

  // A sample of single representations, for pictures.
  std::vector<float> sample;                  // [n][width]
  std::vector<InstructionKind> sample_kinds;  // [n]

  size_t pieces() const { return cuts.size() - 1; }
  // Both ends of the range must be cuts.
  std::vector<double> Sum(Range range, KindSet kinds) const;    // [width]
  std::vector<double> Times(Range range, KindSet kinds) const;  // [columns]
  std::vector<double> Features(Range range) const;              // [51] means
  double Count(Range range, KindSet kinds) const;
};

struct PassOptions {
  // Pieces that end before it get no vectors.
  size_t represent_from = 0;
  // Also the evidence for learning architecture vectors, from this range on.
  bool evidence = false;
  Range evidence_range;
  size_t evidence_interval = 10000;  // instructions
  size_t sample_every = 0;           // keep every n-th representation; 0: none
};

// Without a back end (null) only counts, times and features. `evidence` may be
// null if not asked for. Errors of the back end come through.
absl::StatusOr<ProgramSums> SumProgram(const ProgramData& data,
                                       std::vector<size_t> cuts,
                                       const PassOptions& options,
                                       compute::Representer* back_end,
                                       compute::ProgramEvidence* evidence);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_PROGRAM_SUMS_H_
