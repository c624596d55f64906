#include "tests/bench/stack_rivals.h"

#include "worker/features/cpu_dispatch.h"

namespace perfvec::bench {
namespace {

using compute::kMaxStackDistance;
using compute::LineEntry;

constexpr size_t kMinChunk = 8192;
constexpr size_t kLeaf = 24;

}  // namespace

void OfflineDistances::Run(const uint64_t* lines, const uint8_t* recorded,
                           size_t count, uint32_t* const distances[2]) {
  size_t begin = 0;
  while (begin < count) {
    const size_t chunk =
        std::min(count - begin, std::max(kMinChunk, table_.lines()));
    uint32_t* const here[2] = {
        distances[0] + begin,
        distances[1] == nullptr ? nullptr : distances[1] + begin};
    RunChunk(lines + begin, recorded == nullptr ? nullptr : recorded + begin,
             chunk, here);
    begin += chunk;
  }
}

PERFVEC_TARGET_AVX2 void OfflineDistances::Count(Element* elements,
                                                 Element* scratch, size_t n,
                                                 int bit, uint32_t* distances) {
  if (n <= kLeaf || bit < 1) {
    for (size_t i = 0; i < n; ++i) {
      const uint32_t position = elements[i].key >> 1;
      uint32_t count = elements[i].count;
      // With no bits left all positions are the same.
      for (size_t j = 0; j < i && bit >= 1; ++j) {
        count += (elements[j].key >> 1) < position ? elements[j].key & 1 : 0;
      }
      distances[elements[i].access] =
          std::min(count - position, kMaxStackDistance);
    }
    return;
  }
  // Four ways at a time, by bits `bit` and `bit - 1` of the key (bit 0 is not
  // part of the position).
  const int shift = bit >= 2 ? bit - 1 : bit;
  const uint32_t mask = bit >= 2 ? 3 : 1;
  size_t size[4] = {};
  for (size_t i = 0; i < n; ++i) ++size[elements[i].key >> shift & mask];
  Element* to[4] = {scratch, scratch + size[0], scratch + size[0] + size[1],
                    scratch + size[0] + size[1] + size[2]};
  // less[d]: records so far with a digit below d.
  uint32_t less[4] = {};
  for (size_t i = 0; i < n; ++i) {
    Element e = elements[i];
    const uint32_t digit = e.key >> shift & mask;
    const uint32_t record = e.key & 1;
    e.count += less[digit];
    less[1] += digit < 1 ? record : 0;
    less[2] += digit < 2 ? record : 0;
    less[3] += digit < 3 ? record : 0;
    *to[digit]++ = e;
  }
  size_t begin = 0;
  for (int d = 0; d < 4; ++d) {
    Count(scratch + begin, elements + begin, size[d], shift - 1, distances);
    begin += size[d];
  }
}

void OfflineDistances::RunChunk(const uint64_t* lines, const uint8_t* recorded,
                                size_t count, uint32_t* const distances[2]) {
  const int stacks = recorded == nullptr ? 1 : 2;
  constexpr size_t kAhead = 16;
  for (int k = 0; k < stacks; ++k) {
    // The living, oldest first, are the records that open the chunk.
    Stack& s = stacks_[k];
    size_t live = 0;
    for (LineEntry* owner : s.owner) {
      if (owner == nullptr) continue;
      s.owner[live++] = owner;
      owner->slot[k] = static_cast<uint32_t>(live);
    }
    s.owner.resize(live);
    s.first_records = static_cast<uint32_t>(live);
    s.elements.clear();
  }
  const size_t bytes = table_.memory_bytes();
  table_.Reserve(count);
  if (table_.memory_bytes() != bytes) {
    table_.ForEach([&](LineEntry& entry) {
      for (int k = 0; k < stacks; ++k) {
        if (entry.slot[k] != 0) stacks_[k].owner[entry.slot[k] - 1] = &entry;
      }
    });
  }
  for (size_t i = 0; i < std::min(count, kAhead); ++i) {
    table_.Prefetch(lines[i]);
  }
  for (size_t i = 0; i < count; ++i) {
    if (i + kAhead < count) table_.Prefetch(lines[i + kAhead]);
    LineEntry& entry = *table_.Find(lines[i]);
    for (int k = 0; k < stacks; ++k) {
      Stack& s = stacks_[k];
      const bool record = stacks == 1 || recorded[i] == k;
      const uint32_t slot = entry.slot[k];
      if (slot == 0) {
        distances[k][i] = kMaxStackDistance;
        s.first_records += record;
      } else {
        s.elements.push_back({2 * (slot - 1) + record, s.first_records,
                              static_cast<uint32_t>(i)});
        if (record) s.owner[slot - 1] = nullptr;
      }
      if (record) {
        s.owner.push_back(&entry);
        entry.slot[k] = static_cast<uint32_t>(s.owner.size());
      }
    }
  }
  for (int k = 0; k < stacks; ++k) {
    Stack& s = stacks_[k];
    s.scratch.resize(s.elements.size());
    int bit = 1;
    while ((s.owner.size() >> bit) != 0) ++bit;
    Count(s.elements.data(), s.scratch.data(), s.elements.size(), bit,
          distances[k]);
  }
}

}  // namespace perfvec::bench
