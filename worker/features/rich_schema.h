// The schema "perfvec-rich-v1": the 51 published features, then these.
//
// All are functions of the instructions up to and including their own, and of
// no simulated machine but fixed reference ones. docs/features.md defines each
// with its unit and cap. Constants only.
//
//   row[kRichRetireW64]   // quarter cycles
#ifndef PERFVEC_WORKER_FEATURES_RICH_SCHEMA_H_
#define PERFVEC_WORKER_FEATURES_RICH_SCHEMA_H_

#include <cstdint>

#include "worker/features/feature_schema.h"

namespace perfvec::compute {

enum RichFeatureIndex : int {
  // Data dependences.
  kRichProducers = kFeatureCount,  // 3 distances, ascending
  kRichNearestProducerLoad = kRichProducers + 3,
  kRichAnyProducerLoad,
  kRichStoreForward,
  kRichStoreForwardFull,
  // Growth of the reference machines' runs, in ReferenceMachines' order.
  kRichGrowth,
  kRichDataflowGrowth = kRichGrowth + 11,
  kRichDataflowSlack,
  kRichWaitW64,
  kRichSlackW64,
  kRichWaitW128Full,
  kRichSlackW128Full,
  // Memory locality.
  kRichDataDistance,
  kRichUnifiedDataDistance,
  kRichUnifiedFetchDistance,
  kRichDataPageDistance,
  kRichFetchPageDistance,
  kRichDataSet64,
  kRichDataSet256,
  kRichUnifiedDataSet1024,
  kRichFetchSet64,
  kRichUnifiedFetchSet1024,
  kRichAccessBytes,
  kRichCrossesLine,
  // Strides and neighbours.
  kRichStrideBytes,
  kRichStrideRepeats,
  kRichStrideBackward,
  kRichSinceLineBefore,
  kRichSinceLineAfter,
  // Pressure.
  kRichSinceFarLoad,
  kRichLoadsIn64,
  kRichStoresIn64,
  kRichNearMissesIn64,
  kRichFarMissesIn64,
  // Control.
  kRichMispredictions,  // six, in DirectionPredictor's order
  kRichTargetChanged = kRichMispredictions + 6,
  kRichTargetMispredicted,
  kRichReturnMispredicted,
  kRichSinceExecuted,
  kRichAfterTaken,
  kRichTakenIn16,
  kRichLineOffset,
  kRichFeatureCount,
};

// The schema "perfvec-rich-v2": these, then how much each of the reference
// cores' runs grew, in 24ths of a cycle, at most kMaxFarInstructions.
inline constexpr int kReferenceCoreCount = 32;
inline constexpr int kCoresFeatureCount =
    kRichFeatureCount + kReferenceCoreCount;

// Caps of the rich features.
inline constexpr uint32_t kMaxFarInstructions = 1'000'000;
inline constexpr uint64_t kMaxStrideBytes = uint64_t{1} << 40;
inline constexpr uint32_t kMaxStrideRepeats = 8;
inline constexpr uint32_t kMaxAccessBytesFeature = 4096;
inline constexpr int kPageBytesLog2 = 12;

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_RICH_SCHEMA_H_
