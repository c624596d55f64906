// Exact LRU stack distances, in memory bounded by the footprint.
//
// The distance of a line in a stack is 1 + the number of distinct other lines
// recorded in that stack since this line was: 1 for an immediate repeat,
// kMaxStackDistance for a line never recorded and as a cap. Two stacks share
// one table of lines, since a data access is looked up in both the load and the
// store stack and recorded in one; a user of a single stack takes stack 0.
//
// Single-threaded; owns all its memory: 16 bytes a line at a load of at most
// 5/8, and about 5 bits a line and stack (recency_slots.h). The order
// structure is a parameter so that tests/bench can put rivals in its place.
//
//   StackDistances stacks;
//   LineEntry& entry = *stacks.Find(address >> kLineBytesLog2);
//   uint32_t loads = stacks.Record(entry, 0);      // looked up and recorded
//   uint32_t stores = stacks.Distance(entry, 1);   // looked up only
#ifndef PERFVEC_WORKER_FEATURES_STACK_DISTANCE_H_
#define PERFVEC_WORKER_FEATURES_STACK_DISTANCE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "worker/features/feature_schema.h"
#include "worker/features/line_table.h"
#include "worker/features/recency_slots.h"

namespace perfvec::compute {

template <typename Slots>
class BasicStackDistances : public LineTable {
 public:
  using Entry = LineEntry;

  // The distance in stack 0 or 1.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Distance(const LineEntry& entry,
                                                 int stack) const {
    const uint32_t slot = entry.slot[stack];
    if (slot == Slots::kNone) return kMaxStackDistance;
    return std::min(slots_[stack].Distance(slot), kMaxStackDistance);
  }

  // The distance, then records an access: the line becomes the most recent.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Record(LineEntry& entry, int stack) {
    Slots& slots = slots_[stack];
    if (entry.slot[stack] == slots.newest()) return 1;
    if (slots.full()) Compact(stack);
    uint32_t& slot = entry.slot[stack];
    if (slot == Slots::kNone) {
      slot = slots.Append();
      return kMaxStackDistance;
    }
    return std::min(slots.MoveToNewest(&slot), kMaxStackDistance);
  }

  // Asks for what an entry names, some accesses ahead.
  ABSL_ATTRIBUTE_ALWAYS_INLINE void PrefetchSlots(
      const LineEntry& entry) const {
    slots_[0].Prefetch(entry.slot[0]);
    slots_[1].Prefetch(entry.slot[1]);
  }

  size_t memory_bytes() const {
    return LineTable::memory_bytes() + slots_[0].memory_bytes() +
           slots_[1].memory_bytes();
  }

 private:
  void Compact(int stack);

  Slots slots_[2];
};

using StackDistances = BasicStackDistances<RecencySlots>;

// Accesses of stack 0 in order; distances[i] belongs to lines[i]. Hides the
// cache misses of large footprints, so it is the fast way for many.
void RecordAll(StackDistances& stacks, const uint64_t* lines, size_t count,
               uint32_t* distances);

// At most kRecordBatch lines of RecordAll().
inline constexpr size_t kRecordBatch = 1024;
template <typename Slots>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void RecordBatch(
    BasicStackDistances<Slots>& stacks, const uint64_t* lines, size_t count,
    uint32_t* distances) {
  // Distance from asking for an entry to asking for its slots, and from there
  // to the use of both.
  constexpr size_t kAhead = 16;
  LineEntry* entries[kRecordBatch];
  stacks.Reserve(count);
  for (size_t i = 0; i < std::min(count, kAhead); ++i) {
    stacks.Prefetch(lines[i]);
  }
  for (size_t i = 0; i < count + kAhead; ++i) {
    if (i + kAhead < count) stacks.Prefetch(lines[i + kAhead]);
    if (i < count) {
      entries[i] = stacks.Find(lines[i]);
      stacks.PrefetchSlots(*entries[i]);
    }
    if (i >= kAhead) {
      distances[i - kAhead] = stacks.Record(*entries[i - kAhead], 0);
    }
  }
}

template <typename Slots>
void BasicStackDistances<Slots>::Compact(int stack) {
  Slots& slots = slots_[stack];
  // Lines deeper than the cap read the same absent as present.
  const uint32_t live = slots.live();
  const uint32_t dropped =
      live > kMaxStackDistance ? live - kMaxStackDistance : 0;
  if (dropped == 0 && slots.GrowIfDense()) return;
  ForEach([&](LineEntry& entry) {
    uint32_t& slot = entry.slot[stack];
    if (slot == Slots::kNone) return;
    slot = dropped != 0 && slots.Distance(slot) > live - dropped
               ? Slots::kNone
               : slots.SlotAfterCompaction(slot, dropped);
  });
  slots.Compact(dropped);
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_STACK_DISTANCE_H_
