#include "worker/features/stack_distance.h"

#include "worker/features/cpu_dispatch.h"

namespace perfvec::compute {
namespace {

constexpr size_t kMinEntries = 1024;

bool TooFull(size_t count, size_t size) { return count * 8 > size * 5; }

}  // namespace

StackDistances::StackDistances() { Rehash(kMinEntries); }

void StackDistances::Rehash(size_t size) {
  const LargeBuffer old_memory = std::move(memory_);
  const LineEntry* old = entries_;
  const size_t old_size = size_;
  memory_ = LargeBuffer(size * sizeof(LineEntry));
  entries_ = memory_.data<LineEntry>();
  size_ = size;
  mask_ = size - 1;
  shift_ = 64 - __builtin_ctzll(size);
  count_ = 0;
  for (size_t i = 0; i < size; ++i) entries_[i].line = kEmpty;
  for (size_t i = 0; i < old_size; ++i) {
    // A line that fell out of both stacks is as good as never seen.
    if (old[i].line == kEmpty || (old[i].slot[0] | old[i].slot[1]) == 0) {
      continue;
    }
    size_t home = Home(old[i].line);
    while (entries_[home].line != kEmpty) home = (home + 1) & mask_;
    entries_[home] = old[i];
    ++count_;
  }
}

LineEntry* StackDistances::Insert(uint64_t line, size_t index) {
  if (TooFull(count_ + 1, size_)) {
    Rehash(size_ * 2);
    index = Home(line);
    while (entries_[index].line != kEmpty) index = (index + 1) & mask_;
  }
  ++count_;
  entries_[index].line = line;
  return &entries_[index];
}

void StackDistances::Reserve(size_t lines) {
  size_t size = size_;
  while (TooFull(count_ + lines, size)) size *= 2;
  if (size != size_) Rehash(size);
}

void StackDistances::Compact(int stack) {
  RecencySlots& slots = slots_[stack];
  // Those deeper than the cap read the same absent as present.
  const uint32_t live = slots.live();
  const uint32_t dropped =
      live > kMaxStackDistance ? live - kMaxStackDistance : 0;
  for (size_t i = 0; i < size_; ++i) {
    uint32_t& slot = entries_[i].slot[stack];
    if (slot == RecencySlots::kNone) continue;
    slot = dropped != 0 && slots.Distance(slot) > live - dropped
               ? RecencySlots::kNone
               : slots.SlotAfterCompaction(slot, dropped);
  }
  slots.Compact(dropped);
}

namespace {

// Lines whose entry is on its way, and entries whose slots are.
constexpr size_t kAhead = 16;
constexpr size_t kBatch = 1024;

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void RecordBatch(StackDistances& stacks,
                                                     const uint64_t* lines,
                                                     size_t count,
                                                     uint32_t* distances) {
  LineEntry* entries[kBatch];
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

PERFVEC_TARGET_AVX2 void RecordBatchAvx2(StackDistances& stacks,
                                         const uint64_t* lines, size_t count,
                                         uint32_t* distances) {
  RecordBatch(stacks, lines, count, distances);
}

}  // namespace

void StackDistances::RecordAll(const uint64_t* lines, size_t count,
                               uint32_t* distances) {
  while (count != 0) {
    const size_t batch = std::min(count, kBatch);
    Reserve(batch);
    if (CpuHasAvx2()) {
      RecordBatchAvx2(*this, lines, batch, distances);
    } else {
      RecordBatch(*this, lines, batch, distances);
    }
    lines += batch;
    distances += batch;
    count -= batch;
  }
}

size_t StackDistances::memory_bytes() const {
  return memory_.bytes() + slots_[0].memory_bytes() + slots_[1].memory_bytes();
}

}  // namespace perfvec::compute
