// The 51 features of an instruction: their order, names and schema id.
//
// A foundation model states the schema id in its manifest; features computed
// under another id mean something else and must be refused. Constants only,
// callable from any thread.
//
//   if (manifest.feature_schema != kFeatureSchemaId) return Refuse();
//   printf("%s", FeatureNames()[kFeatureFetchDistance].data());
#ifndef PERFVEC_WORKER_FEATURES_FEATURE_SCHEMA_H_
#define PERFVEC_WORKER_FEATURES_FEATURE_SCHEMA_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace perfvec::compute {

inline constexpr int kFeatureCount = 51;
inline constexpr std::string_view kFeatureSchemaId = "perfvec-51-v1";

// Positions in a row of features. docs/features.md defines each.
enum FeatureIndex : int {
  kFeatureFault = 0,
  kFeatureOperation = 1,  // op_class + 1
  kFeatureStore = 2,
  kFeatureLoad = 3,
  kFeatureMicroOp = 4,
  kFeatureConditional = 5,
  kFeatureUnconditional = 6,
  kFeatureDirect = 7,
  kFeatureSquashAfter = 8,
  kFeatureSerializeAfter = 9,
  kFeatureSerializeBefore = 10,
  kFeatureExclusive = 11,  // store_conditional + 2 * atomic
  kFeatureReadBarrier = 12,
  kFeatureWriteBarrier = 13,
  kFeatureNonSpeculative = 14,
  kFeatureTaken = 15,
  kFeatureEntropyBefore = 16,
  kFeatureEntropyAfter = 17,
  kFeatureFetchDistance = 18,
  kFeatureHasAddress = 19,
  kFeatureLoadDistance = 20,
  kFeatureStoreDistance = 21,
  kFeatureReuseInstructions = 22,
  kFeatureSources = 23,       // (class + 1, index + 1) x 8
  kFeatureDestinations = 39,  // (class + 1, index + 1) x 6
};

// A stack distance is at most this; a first access has exactly this.
inline constexpr uint32_t kMaxStackDistance = 100'000'000;
// Feature 22 is at most this; a first access has exactly this.
inline constexpr uint32_t kMaxReuseInstructions = 1000;
inline constexpr int kLineBytesLog2 = 6;  // stack distances: 64-byte lines

// Stable snake_case names, unique, in order of position.
const std::array<std::string_view, kFeatureCount>& FeatureNames();

// The value that features hold for a stack distance: the distance rounded to
// float such that both print alike by default stream rules (six significant
// digits). Above 2^24 plain rounding could cross a decimal tie.
float RoundedStackDistance(uint32_t distance);
inline float StackDistanceFeature(uint32_t distance) {
  if (distance <= (1u << 24) || distance == kMaxStackDistance) {
    return static_cast<float>(distance);  // exact
  }
  return RoundedStackDistance(distance);
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_FEATURE_SCHEMA_H_
