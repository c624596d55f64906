// What the reference cores are made of, as columns over the cores: read by
// ReferenceCores::RunStep(). Private to reference_cores.cc.
#ifndef PERFVEC_WORKER_FEATURES_REFERENCE_CORE_COLUMNS_H_
#define PERFVEC_WORKER_FEATURES_REFERENCE_CORE_COLUMNS_H_

#include <cstdint>
#include <vector>

#include "worker/features/reference_cores.h"

namespace perfvec::compute {

inline constexpr int32_t kCycle = 24;  // units of time

// What differs by core, as columns.
struct ReferenceCores::Tables {
  static constexpr int kOpClasses = 64;

  Tables();

  Times fetch_step, retire_step, depth, refill, taken, retarget, reuse, retire;
  Times nothing = {};
  Times in_order, excludes;      // masks
  Times predictor[kPredictors];  // masks
  Times geometry[3], ways;       // masks of 64, 128 and 256 sets
  Times second_ways, near, middle, misses, accesses;
  Times latency[kOpClasses];  // by gem5's operation class
  std::vector<Reach> fetch_queue, window, loads, stores, integers, vectors;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_REFERENCE_CORE_COLUMNS_H_
