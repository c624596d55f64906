// Exact LRU stack distances, in memory bounded by the footprint.
//
// The distance of a line in a stack is 1 + the number of distinct other lines
// recorded in that stack since this line was: 1 for an immediate repeat,
// kMaxStackDistance for a line never recorded and as a cap. Two stacks share
// one table of lines, since a data access is looked up in both the load and the
// store stack and recorded in one; a user of a single stack takes stack 0.
//
// Single-threaded; owns all its memory. 16 bytes a line at a load of at most
// 5/8, and about 5 bits a line and stack (recency_slots.h).
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
#include "worker/features/large_buffer.h"
#include "worker/features/recency_slots.h"

namespace perfvec::compute {

// What is known of one line: its slot in each stack.
struct LineEntry {
  uint64_t line;
  uint32_t slot[2];
};

class StackDistances {
 public:
  using Entry = LineEntry;

  StackDistances();

  // The entry of a line, made if absent; valid until the next Find() of an
  // absent line or Reserve(). Lines are below 2^58.
  ABSL_ATTRIBUTE_ALWAYS_INLINE LineEntry* Find(uint64_t line) {
    for (size_t i = Home(line);; i = (i + 1) & mask_) {
      LineEntry& entry = entries_[i];
      if (entry.line == line) return &entry;
      if (entry.line == kEmpty) return Insert(line, i);
    }
  }
  // Makes room so that the next `lines` new lines move no entry: until then
  // pointers to entries hold.
  void Reserve(size_t lines);

  // The distance in stack 0 or 1.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Distance(const LineEntry& entry,
                                                 int stack) const {
    const uint32_t slot = entry.slot[stack];
    if (slot == RecencySlots::kNone) return kMaxStackDistance;
    return std::min(slots_[stack].Distance(slot), kMaxStackDistance);
  }
  // The distance, then records an access: the line becomes the most recent.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Record(LineEntry& entry, int stack) {
    RecencySlots& slots = slots_[stack];
    if (entry.slot[stack] == slots.newest()) return 1;
    if (slots.full()) Compact(stack);
    const uint32_t slot = entry.slot[stack];
    uint32_t distance = kMaxStackDistance;
    if (slot != RecencySlots::kNone) {
      distance = std::min(slots.Distance(slot), kMaxStackDistance);
      slots.Remove(slot);
    }
    entry.slot[stack] = slots.Append();
    return distance;
  }

  // Accesses of stack 0 in order; distances[i] belongs to lines[i]. Hides the
  // cache misses of large footprints, so it is the fast way for many.
  void RecordAll(const uint64_t* lines, size_t count, uint32_t* distances);

  // A table larger than the caches misses at each access: ask for an entry,
  // then for what the entry names, some accesses ahead.
  bool large() const { return size_ > kLargeEntries; }
  void Prefetch(uint64_t line) const {
    __builtin_prefetch(&entries_[Home(line)], 1);
  }
  void PrefetchSlots(const LineEntry& entry) const {
    slots_[0].Prefetch(entry.slot[0]);
    slots_[1].Prefetch(entry.slot[1]);
  }

  size_t lines() const { return count_; }
  size_t memory_bytes() const;

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static constexpr size_t kLargeEntries = size_t{1} << 15;  // 512 KiB

  size_t Home(uint64_t line) const {
    return (line * 0x9e3779b97f4a7c15u) >> shift_;
  }
  LineEntry* Insert(uint64_t line, size_t index);
  void Rehash(size_t size);
  void Compact(int stack);

  LargeBuffer memory_;
  LineEntry* entries_ = nullptr;  // [size_], open addressing
  size_t size_ = 0;               // a power of two
  size_t mask_ = 0;
  int shift_ = 0;
  size_t count_ = 0;
  RecencySlots slots_[2];
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_STACK_DISTANCE_H_
