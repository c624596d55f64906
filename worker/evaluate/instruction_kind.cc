#include "worker/evaluate/instruction_kind.h"

#include <algorithm>
#include <array>

#include "worker/features/feature_schema.h"

namespace perfvec::train {
namespace {

constexpr float kNever = static_cast<float>(compute::kMaxStackDistance);
constexpr float kFarLines = 512;

// gem5's OpClass numbers plus 1: FloatAdd (4) to the last of the vector
// operations (46), and the floating-point loads and stores (49, 50).
constexpr int kFirstFloat = 4 + 1;
constexpr int kLastFloat = 46 + 1;
constexpr int kLoad = 47 + 1;
constexpr int kFloatLoad = 49 + 1;

}  // namespace

std::string_view KindName(int kind) {
  static constexpr std::array<std::string_view, kInstructionKinds> kNames = {
      "cold_fetch", "cold_data", "far_fetch", "far_data", "load",
      "store",      "branch",    "float",     "other"};
  return kNames[static_cast<size_t>(kind)];
}

InstructionKind KindOf(const float* f) {
  const bool has_address = f[compute::kFeatureHasAddress] != 0;
  const float data = std::min(f[compute::kFeatureLoadDistance],
                              f[compute::kFeatureStoreDistance]);
  if (f[compute::kFeatureFetchDistance] >= kNever) {
    return InstructionKind::kColdFetch;
  }
  if (has_address && data >= kNever) return InstructionKind::kColdData;
  if (f[compute::kFeatureFetchDistance] > kFarLines) {
    return InstructionKind::kFarFetch;
  }
  if (has_address && data > kFarLines) return InstructionKind::kFarData;
  const int operation = static_cast<int>(f[compute::kFeatureOperation]);
  if (has_address) {
    return operation == kLoad || operation == kFloatLoad
               ? InstructionKind::kLoad
               : InstructionKind::kStore;
  }
  if (f[compute::kFeatureConditional] != 0 ||
      f[compute::kFeatureUnconditional] != 0) {
    return InstructionKind::kBranch;
  }
  if (operation >= kFirstFloat && operation <= kLastFloat) {
    return InstructionKind::kFloat;
  }
  return InstructionKind::kOther;
}

}  // namespace perfvec::train
