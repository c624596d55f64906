// LRU stack distances of lines within the sets of a cache.
//
// The set of a line is its number modulo kSets. The distance of a line is 1 +
// the number of distinct other lines of its set recorded since it was; 33 for
// a first access and as a cap. A cache of kSets sets and w <= 32 ways with LRU
// replacement hits exactly when the distance is at most w. Single-threaded;
// owns 256 bytes a set.
//
//   SetStacks<64> sets;
//   uint32_t distance = sets.Record(address >> kLineBytesLog2);
#ifndef PERFVEC_WORKER_FEATURES_SET_STACKS_H_
#define PERFVEC_WORKER_FEATURES_SET_STACKS_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/attributes.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

inline constexpr uint32_t kSetWays = 32;
inline constexpr uint32_t kMaxSetDistance = kSetWays + 1;

template <size_t kSets>
class SetStacks {
 public:
  SetStacks()
      : memory_(kSets * kSetWays * sizeof(uint64_t)),
        lines_(memory_.data<uint64_t>()) {}

  // The distance; the line becomes its set's most recent. Not for 2^64 - 1.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Record(uint64_t line) {
    uint64_t* set = lines_ + (line & (kSets - 1)) * kSetWays;
    const uint64_t wanted = line + 1;
    uint64_t carried = wanted;
    for (uint32_t i = 0; i < kSetWays; ++i) {
      std::swap(carried, set[i]);
      if (carried == wanted) return i + 1;
      if (carried == 0) break;  // an empty place: all lines have been seen
    }
    return kMaxSetDistance;
  }

  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  LargeBuffer memory_;
  uint64_t* lines_;  // [kSets][kSetWays], line + 1, most recent first
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_SET_STACKS_H_
