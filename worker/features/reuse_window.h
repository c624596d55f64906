// How many instructions ago an address was last accessed, up to a limit.
//
// Only accesses of the last kMaxReuseInstructions instructions matter, so a
// ring of the last 1024 instructions holds all there is to know, and hash
// chains through the ring find an address. A chain runs from the newest to
// older, holds an address once, and ends where its age reaches the limit: no
// deletion, a fixed 32 KiB. Single-threaded.
//
//   ReuseWindow window;
//   window.Access(0x1000, 5);   // 1000: never seen
//   window.Access(0x1000, 7);   // 2
#ifndef PERFVEC_WORKER_FEATURES_REUSE_WINDOW_H_
#define PERFVEC_WORKER_FEATURES_REUSE_WINDOW_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/features/feature_schema.h"

namespace perfvec::compute {

class ReuseWindow {
 public:
  // `instruction`: position in the trace, larger at each call.
  uint32_t Access(uint64_t address, uint64_t instruction) {
    const uint64_t now = instruction + kMaxReuseInstructions;
    uint64_t* link = &heads_[(address * 0x9e3779b97f4a7c15u) >> kShift];
    const uint64_t head = *link;
    Entry& mine = ring_[now & (kRing - 1)];
    *link = now;
    uint32_t reuse = kMaxReuseInstructions;
    uint64_t next = head;
    link = &mine.older;
    *link = head;
    while (now - next < kMaxReuseInstructions) {
      Entry& entry = ring_[next & (kRing - 1)];
      if (entry.address == address) {
        reuse = static_cast<uint32_t>(now - next);
        *link = entry.older;
        break;
      }
      link = &entry.older;
      next = entry.older;
    }
    mine.address = address;
    return reuse;
  }

 private:
  static constexpr size_t kRing = 1024;
  static constexpr int kShift = 64 - 11;
  static_assert(kRing > kMaxReuseInstructions);

  struct Entry {
    uint64_t address;
    uint64_t older;  // the next in its chain
  };
  // Positions are counted from kMaxReuseInstructions, so that 0 is too old.
  std::array<uint64_t, 2048> heads_{};
  std::array<Entry, kRing> ring_{};
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_REUSE_WINDOW_H_
