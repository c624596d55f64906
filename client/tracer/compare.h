// Where two traces of one program differ: instruction by instruction, in
// each of the 51 features.
//
//   auto report = CompareTraces("tracer.pvt", "gem5.pvt", CompareOptions());
//   if (report->identical != report->aligned) Show(*report);
//
// The instructions are aligned by their program counters: where these part,
// the shortest detour after which a run of them agrees again is taken, and
// what lies on it counts as being in one trace only. One thread; memory is
// two windows of instructions, whatever the length.
#ifndef PERFVEC_CLIENT_TRACER_COMPARE_H_
#define PERFVEC_CLIENT_TRACER_COMPARE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/features/feature_schema.h"

namespace perfvec::tracer {

struct CompareOptions {
  // Stop after so many instructions of either trace.
  uint64_t instructions = std::numeric_limits<uint64_t>::max();
  // Examples kept of each difference.
  int examples = 3;
  // Names what instructions at `pc` are counted under; "" for op classes only.
  std::function<std::string(uint64_t pc)> mnemonic;
};

struct CompareReport {
  struct Example {
    uint64_t position_a = 0, position_b = 0;
    uint64_t pc = 0;
    float value_a = 0, value_b = 0;
  };
  struct Feature {
    uint64_t different = 0;
    std::vector<Example> examples;
  };
  // Instructions that one trace has and the other has not.
  struct Gap {
    uint64_t position_a = 0, position_b = 0;
    uint64_t only_a = 0, only_b = 0;
    uint64_t pc_a = 0, pc_b = 0;
  };
  struct Group {
    uint64_t aligned = 0;
    uint64_t different = 0;
  };

  uint64_t instructions_a = 0, instructions_b = 0;
  uint64_t aligned = 0;
  uint64_t identical = 0;  // in all features
  uint64_t only_a = 0, only_b = 0;
  std::array<Feature, compute::kFeatureCount> features;
  std::vector<Gap> gaps;  // the first ones
  uint64_t gap_count = 0;
  std::map<std::string, Group> op_classes;
  std::map<std::string, Group> mnemonics;
  // After a detour that was longer than the windows nothing is compared.
  bool lost = false;

  // Of all instructions of either trace, those with an identical one.
  double identical_share() const;
};

// Errors are the reader's, or the features' (too many registers).
absl::StatusOr<CompareReport> CompareTraces(const std::string& a,
                                            const std::string& b,
                                            const CompareOptions& options);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_COMPARE_H_
