#include "worker/features/stack_distance.h"

namespace perfvec::compute {
namespace {

constexpr size_t kMinEntries = 1024;

bool TooFull(size_t count, size_t size) { return count * 8 > size * 5; }

}  // namespace

StackDistances::StackDistances() { Rehash(kMinEntries); }

void StackDistances::Rehash(size_t size) {
  std::vector<LineEntry> old = std::move(entries_);
  entries_.assign(size, LineEntry{kEmpty, {0, 0}});
  mask_ = size - 1;
  shift_ = 64 - __builtin_ctzll(size);
  count_ = 0;
  for (const LineEntry& entry : old) {
    // A line that fell out of both stacks is as good as never seen.
    if (entry.line == kEmpty || (entry.slot[0] | entry.slot[1]) == 0) continue;
    size_t i = Home(entry.line);
    while (entries_[i].line != kEmpty) i = (i + 1) & mask_;
    entries_[i] = entry;
    ++count_;
  }
}

LineEntry* StackDistances::Insert(uint64_t line, size_t index) {
  if (TooFull(count_ + 1, entries_.size())) {
    Rehash(entries_.size() * 2);
    index = Home(line);
    while (entries_[index].line != kEmpty) index = (index + 1) & mask_;
  }
  ++count_;
  entries_[index].line = line;
  return &entries_[index];
}

void StackDistances::Reserve(size_t lines) {
  size_t size = entries_.size();
  while (TooFull(count_ + lines, size)) size *= 2;
  if (size != entries_.size()) Rehash(size);
}

void StackDistances::Compact(int stack) {
  RecencySlots& slots = slots_[stack];
  // Those deeper than the cap read the same absent as present.
  const uint32_t live = slots.live();
  const uint32_t dropped =
      live > kMaxStackDistance ? live - kMaxStackDistance : 0;
  for (LineEntry& entry : entries_) {
    uint32_t& slot = entry.slot[stack];
    if (slot == RecencySlots::kNone) continue;
    slot = dropped != 0 && slots.Distance(slot) > live - dropped
               ? RecencySlots::kNone
               : slots.SlotAfterCompaction(slot, dropped);
  }
  slots.Compact(dropped);
}

void StackDistances::RecordAll(const uint64_t* lines, size_t count,
                               uint32_t* distances) {
  for (size_t i = 0; i < count; ++i) {
    distances[i] = Record(*Find(lines[i]), 0);
  }
}

size_t StackDistances::memory_bytes() const {
  return entries_.size() * sizeof(LineEntry) + slots_[0].memory_bytes() +
         slots_[1].memory_bytes();
}

}  // namespace perfvec::compute
