// The last store that wrote any byte of what a load reads, among the stores of
// the last kMaxReuseInstructions instructions.
//
// Each store leaves an entry for every aligned 8 bytes it touches in a ring,
// found by hash chains that run from the newest to older and end where the age
// or the ring's end is reached: no deletion, fixed memory. An access counts as
// 1 to kMaxAccessBytes bytes, so 999 stores leave fewer entries than the ring
// holds. Single-threaded.
//
//   StoreWindow window;
//   window.Store(0x1000, 8, 5);
//   window.Load(0x1004, 8, 7);   // store 5, two instructions ago, not full
#ifndef PERFVEC_WORKER_FEATURES_STORE_WINDOW_H_
#define PERFVEC_WORKER_FEATURES_STORE_WINDOW_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "worker/features/feature_schema.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

inline constexpr uint32_t kMaxAccessBytes = 64;

class StoreWindow {
 public:
  struct Found {
    uint32_t instructions = kMaxReuseInstructions;  // ago; that or more
    bool full = false;  // that store wrote all bytes read
  };

  StoreWindow()
      : memory_(kRing * sizeof(Entry) + kHeads * sizeof(uint64_t) +
                kInstructions * sizeof(Access)),
        ring_(memory_.data<Entry>()),
        heads_(reinterpret_cast<uint64_t*>(ring_ + kRing)),
        stores_(reinterpret_cast<Access*>(heads_ + kHeads)) {}

  // `instruction`: position in the trace, larger at each call of Store.
  void Store(uint64_t address, uint32_t bytes, uint64_t instruction) {
    bytes = Clamp(bytes);
    stores_[instruction % kInstructions] = {address, bytes};
    ForEachGranule(address, bytes, [&](uint64_t granule, uint32_t mask) {
      uint64_t* head = Head(granule);
      Entry mine = {granule, instruction, *head, mask};
      for (uint64_t* link = &mine.older; Lives(*link, instruction);) {
        Entry& entry = ring_[*link % kRing];
        if (entry.granule == granule) {
          if ((entry.mask & ~mask) == 0) *link = entry.older;  // overwritten
          break;
        }
        link = &entry.older;
      }
      *head = next_;
      ring_[next_ % kRing] = mine;
      ++next_;
    });
  }

  Found Load(uint64_t address, uint32_t bytes, uint64_t instruction) const {
    bytes = Clamp(bytes);
    uint64_t newest = instruction - kMaxReuseInstructions;  // may wrap: none
    bool found = false;
    ForEachGranule(address, bytes, [&](uint64_t granule, uint32_t mask) {
      uint64_t link = *Head(granule);
      while (Lives(link, instruction)) {
        const Entry& entry = ring_[link % kRing];
        if (entry.granule == granule && (entry.mask & mask) != 0) {
          if (!found || entry.instruction > newest) newest = entry.instruction;
          found = true;
          return;
        }
        link = entry.older;
      }
    });
    if (!found) return {};
    const Access& store = stores_[newest % kInstructions];
    const uint64_t offset = address - store.address;
    return {static_cast<uint32_t>(instruction - newest),
            offset < store.bytes && bytes <= store.bytes - offset};
  }

  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  static constexpr size_t kRing = 16384;  // > 999 stores of 9 granules
  static constexpr size_t kHeads = 4096;
  static constexpr size_t kInstructions = 1024;
  static_assert(kInstructions > kMaxReuseInstructions);

  struct Entry {
    uint64_t granule;  // address / 8
    uint64_t instruction;
    uint64_t older;  // number of the next entry in its chain
    uint64_t mask;   // the bytes written
  };
  struct Access {
    uint64_t address;
    uint64_t bytes;
  };

  static uint32_t Clamp(uint32_t bytes) {
    return std::clamp<uint32_t>(bytes, 1, kMaxAccessBytes);
  }
  uint64_t* Head(uint64_t granule) const {
    return &heads_[(granule * 0x9e3779b97f4a7c15u) >> 52];
  }
  bool Lives(uint64_t link, uint64_t instruction) const {
    return link != 0 && link + kRing > next_ &&
           instruction - ring_[link % kRing].instruction <
               kMaxReuseInstructions;
  }
  template <typename Function>
  static void ForEachGranule(uint64_t address, uint32_t bytes,
                             Function function) {
    while (bytes != 0) {
      const uint32_t offset = address & 7;
      const uint32_t count = std::min(bytes, 8 - offset);
      function(address >> 3, ((1u << count) - 1) << offset);
      address += count;
      bytes -= count;
    }
  }

  LargeBuffer memory_;
  Entry* ring_;
  uint64_t* heads_;
  Access* stores_;     // by instruction
  uint64_t next_ = 1;  // number of the next entry; 0 ends a chain
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_STORE_WINDOW_H_
