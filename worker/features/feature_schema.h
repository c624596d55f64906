// The features of an instruction: their order, names, kinds and schema ids.
//
// There are two schemas: the 51 published features, and those followed by
// richer ones (rich_schema.h). A foundation model states the schema id in its
// manifest; features computed under another id mean something else and must be
// refused. Constants only, callable from any thread.
//
//   const FeatureSchema* schema = FindFeatureSchema(manifest.feature_schema);
//   if (schema == nullptr) return Refuse();
//   std::vector<float> row(schema->count());
//   printf("%s", schema->features[kFeatureFetchDistance].name.data());
#ifndef PERFVEC_WORKER_FEATURES_FEATURE_SCHEMA_H_
#define PERFVEC_WORKER_FEATURES_FEATURE_SCHEMA_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace perfvec::compute {

inline constexpr int kFeatureCount = 51;
inline constexpr std::string_view kFeatureSchemaId = "perfvec-51-v1";
inline constexpr std::string_view kRichFeatureSchemaId = "perfvec-rich-v1";
inline constexpr std::string_view kCoresFeatureSchemaId = "perfvec-rich-v2";

// What a feature is decides how a network best sees it.
enum class FeatureKind {
  kFlag,      // 0 or 1 (or 2): as it is
  kNumber,    // small and dense: as it is
  kCount,     // many magnitudes: log2(1 + x)
  kDistance,  // log2(1 + x), and whether x is the limit: never or that far
  kName,      // a category: one of its values or bits at a time
};

struct FeatureInfo {
  std::string_view name;  // stable snake_case, unique
  FeatureKind kind;
  float limit = 0;  // of a kDistance
};

struct FeatureSchema {
  std::string_view id;
  std::vector<FeatureInfo> features;  // in order of position

  int count() const { return static_cast<int>(features.size()); }
};

const FeatureSchema& PublishedFeatureSchema();
const FeatureSchema& RichFeatureSchema();
const FeatureSchema& CoresFeatureSchema();
// Null for an id that this release does not know.
const FeatureSchema* FindFeatureSchema(std::string_view id);
// "perfvec-51-v1, perfvec-rich-v1 or perfvec-rich-v2", for messages.
std::string_view FeatureSchemaIds();

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
