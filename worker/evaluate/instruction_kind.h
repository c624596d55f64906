// What kind of work an instruction is, to tell where a prediction errs.
//
// A partition: each instruction is of the first kind that fits. Cold are
// accesses to a 64-byte line that the trace has not touched before in that way:
// the fetched line never fetched (feature 18 at its cap), or the data line
// neither loaded nor stored (features 20 and 21 both at theirs). The cap of
// 100,000,000 lines stands for "never".
//
// Pure functions of the 51 features; any thread.
//
//   KindOf(&features[i * kFeatureCount]) == InstructionKind::kColdData
#ifndef PERFVEC_WORKER_EVALUATE_INSTRUCTION_KIND_H_
#define PERFVEC_WORKER_EVALUATE_INSTRUCTION_KIND_H_

#include <string_view>

namespace perfvec::train {

enum class InstructionKind : unsigned char {
  kColdFetch,  // first fetch of a line
  kColdData,   // first access to a data line
  kFarFetch,   // fetched line last used more than 512 lines (32 KiB) ago
  kFarData,    // data line likewise, in both stacks
  kLoad,
  kStore,
  kBranch,
  kFloat,  // floating-point and vector operations
  kOther,  // integer operations and the rest
};
inline constexpr int kInstructionKinds = 9;
inline constexpr bool IsCold(int kind) { return kind < 2; }

// snake_case, for tables and JSON.
std::string_view KindName(int kind);

// features: one row of any schema; they all begin with the 51.
InstructionKind KindOf(const float* features);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_INSTRUCTION_KIND_H_
