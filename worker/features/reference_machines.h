// Idealised processors that every instruction runs on, all at once: how much
// each instruction lengthens the run on machines of known window, width and
// caches tells a model about dependences and overlap what no property of the
// single instruction can (after Hoste and Eeckhout's microarchitecture-
// independent ILP, with more machines).
//
// Time is in quarter cycles. For machine m and instruction i:
//
//   fetch(i)  = max(fetch(i-1) + step, retire(i - window), redirects)
//   issue(i)  = max(fetch(i), finish of the last writers of its sources and,
//                   for a load, of the last store that overlaps it)
//   finish(i) = issue(i) + latency
//   retire(i) = max(retire(i-1) + step, finish(i))
//
// step is 1 (four a cycle) or 2 (two a cycle). An in-order machine fetches
// from issue(i-1) on instead of fetch(i-1). docs/features.md gives the machines
// and the rest: branches, fetched lines, store queue, memory channel.
//
// Single-threaded; memory grows with the number of registers only.
//
//   ReferenceMachines machines;
//   machines.Run(step);
//   machines.growth()[ReferenceMachines::kW64];   // quarter cycles
#ifndef PERFVEC_WORKER_FEATURES_REFERENCE_MACHINES_H_
#define PERFVEC_WORKER_FEATURES_REFERENCE_MACHINES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "worker/features/feature_schema.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

class ReferenceMachines {
 public:
  enum Machine {
    kW16,
    kW64,
    kW256,
    kW128Memory,
    kInOrder,
    kW64Branches,
    kInOrderFull,
    kW32Full,
    kW128Full,
    kW128Slow,
    kInOrderSlow,
    kDataflow,
    kMachines
  };
  struct alignas(32) Times {
    int64_t at[kMachines];
    int64_t operator[](int machine) const { return at[machine]; }
  };

  // Where a line is found. Level 0: nearest, 2: memory.
  struct Levels {
    int by_distance = 0;  // 512 and 8192 lines of a fully associative LRU stack
    int large = 0;        // 64 sets x 8 ways, then 1024 x 16
    int small = 0;        // 64 sets x 4 ways, then 1024 x 4
  };

  static constexpr uint64_t kNoStore = ~uint64_t{0};

  // An instruction, as far as the machines see it.
  struct Step {
    const uint32_t* sources = nullptr;  // register numbers
    int source_count = 0;
    const uint32_t* destinations = nullptr;
    int destination_count = 0;
    int latency = 4;  // quarter cycles; loads have the machine's
    bool load = false;
    bool store = false;
    bool serialize = false;     // waits until all before it have retired
    bool mispredicted = false;  // the branch before it, which led here
    Levels data;                // of loads and stores
    Levels fetch;               // of the fetched line; 0 if it is the last one
    uint64_t forwarding = kNoStore;  // position of the overlapping store
  };

  ReferenceMachines();
  // Registers 0 to count - 1 may be named from here on.
  void ReserveRegisters(size_t count);

  ABSL_ATTRIBUTE_ALWAYS_INLINE void Run(const Step& s);

  // Of the last instruction: what it added to the run, until it and every
  // store before it that the machine waits for is done; at least 0.
  const Times& growth() const { return growth_; }
  // fetch to finish, and finish to retire.
  int64_t wait(Machine m) const { return finish_.at[m] - started_.at[m]; }
  int64_t slack(Machine m) const { return retire_.at[m] - finish_.at[m]; }

  size_t memory_bytes() const {
    return sizeof(*this) + registers_memory_.bytes() + stores_memory_.bytes();
  }

 private:
  static constexpr uint64_t kRetireRing = 256, kExitRing = 32;
  static constexpr uint64_t kStoreRing = 1024;
  static_assert(kStoreRing > kMaxReuseInstructions);

  // clang-format off
  //                                  W16  W64 W256 W128M  IO  W64B  IOF W32F W128F W128S  IOS  DF
  static constexpr uint64_t kWindow[] = {16, 64, 256, 128, 16,  64,  16,  32,  128,  128,  16, 256};
  static constexpr int64_t kStep[] =    { 1,  1,   1,   1,  2,   1,   2,   1,    1,    1,   2,   0};
  static constexpr bool kInOrderIssue[]={ 0,  0,   0,   0,  1,   0,   1,   0,    0,    0,   1,   0};
  static constexpr bool kFull[] =       { 0,  0,   0,   0,  0,   0,   1,   1,    1,    1,   1,   0};
  // Cycles from a mispredicted branch's finish to the next fetch; -1: none.
  static constexpr int64_t kRefill[] =  {-1, -1,  -1,  -1, -1,   8,   6,   8,   12,   12,   6,  -1};
  // 0: every access hits; 1: Levels::by_distance; 2: large; 3: small.
  static constexpr int kCaches[] =      { 0,  0,   0,   1,  0,   0,   2,   3,    2,    3,   3,   0};
  // Cycles of a load by level; a store that misses takes as long to exit.
  static constexpr int64_t kNear[] =    { 3,  3,   3,   3,  3,   3,   2,   3,    3,    3,   2,   3};
  static constexpr int64_t kMiddle[] =  { 3,  3,   3,  12,  3,   3,  12,  12,   12,   15,  15,   3};
  static constexpr int64_t kFar[] =     { 3,  3,   3, 100,  3,   3, 100, 150,  100,  300, 300,   3};
  // Cycles that a line from memory occupies the channel.
  static constexpr int64_t kChannel[] = { 0,  0,   0,   0,  0,   0,   6,  10,    6,   16,  16,   0};
  // Entries of the store queue, at most kExitRing.
  static constexpr uint64_t kQueue[] =  {32, 32,  32,  32, 32,  32,   8,  16,   32,   32,   8,  32};
  // clang-format on

  ABSL_ATTRIBUTE_ALWAYS_INLINE static int Level(int machine, const Levels& l) {
    switch (kCaches[machine]) {
      case 1:
        return l.by_distance;
      case 2:
        return l.large;
      case 3:
        return l.small;
      default:
        return 0;
    }
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE static int64_t Latency(int machine, int level) {
    return 4 * (level == 0   ? kNear[machine]
                : level == 1 ? kMiddle[machine]
                             : kFar[machine]);
  }
  // The memory channel's next free time at or after `from`; takes it. Turns
  // are given in program order.
  ABSL_ATTRIBUTE_ALWAYS_INLINE int64_t Channel(int machine, int64_t from) {
    const int64_t turn = std::max(channel_.at[machine], from);
    channel_.at[machine] = turn + 4 * kChannel[machine];
    return turn;
  }

  LargeBuffer registers_memory_;
  LargeBuffer stores_memory_;
  Times* registers_;    // finish of the last writer
  Times* stores_;       // [kStoreRing] finish, by instruction
  uint64_t count_ = 0;  // instructions run
  uint64_t store_count_ = 0;
  Times fetch_{};    // what the next fetch follows
  Times started_{};  // fetch of the last instruction
  Times finish_{};
  Times retire_{};
  Times out_{};   // retire, and exit of every store before
  Times exit_{};  // the last store left the queue
  Times channel_{};
  Times growth_{};
  Times retired_[kRetireRing]{};  // by instruction
  Times exits_[kExitRing]{};      // by store
};

inline void ReferenceMachines::Run(const Step& s) {
  Times fetch;
#pragma GCC unroll 1
  for (int m = 0; m < kMachines; ++m) {
    fetch.at[m] = std::max(fetch_.at[m] + kStep[m],
                           retired_[(count_ - kWindow[m]) % kRetireRing].at[m]);
  }
  if (s.mispredicted) {
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      if (kRefill[m] < 0) continue;
      fetch.at[m] = std::max(fetch.at[m], finish_.at[m] + 4 * kRefill[m]);
    }
  }
  if (s.serialize) {
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      if (kFull[m]) fetch.at[m] = std::max(fetch.at[m], retire_.at[m]);
    }
  }
  if (s.fetch.small != 0) {  // what misses the large caches misses these
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      if (!kFull[m]) continue;
      const int level = Level(m, s.fetch);
      if (level == 0) continue;
      if (level == 2) fetch.at[m] = Channel(m, fetch.at[m]);
      fetch.at[m] += Latency(m, level);
    }
  }
  if (s.store) {
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      if (!kFull[m]) continue;
      fetch.at[m] = std::max(
          fetch.at[m], exits_[(store_count_ - kQueue[m]) % kExitRing].at[m]);
    }
  }
  fetch.at[kDataflow] = 0;
  started_ = fetch;

  Times issue = fetch;
  for (int i = 0; i < s.source_count; ++i) {
    const Times& ready = registers_[s.sources[i]];
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      issue.at[m] = std::max(issue.at[m], ready.at[m]);
    }
  }
  if (s.forwarding != kNoStore) {
    const Times& ready = stores_[s.forwarding % kStoreRing];
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      issue.at[m] = std::max(issue.at[m], ready.at[m]);
    }
  }
#pragma GCC unroll 1
  for (int m = 0; m < kMachines; ++m) {
    fetch_.at[m] = kInOrderIssue[m] ? issue.at[m] : fetch.at[m];
  }
  if (s.load) {
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      const int level = Level(m, s.data);
      int64_t start = issue.at[m];
      if (kFull[m] && level == 2) {
        start = std::max(start, Channel(m, fetch.at[m]));
      }
      finish_.at[m] = start + Latency(m, level);
    }
  } else {
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      finish_.at[m] = issue.at[m] + s.latency;
    }
  }
  for (int i = 0; i < s.destination_count; ++i) {
    registers_[s.destinations[i]] = finish_;
  }
#pragma GCC unroll 1
  for (int m = 0; m < kMachines; ++m) {
    retire_.at[m] = std::max(retire_.at[m] + kStep[m], finish_.at[m]);
  }
  Times out;
#pragma GCC unroll 1
  for (int m = 0; m < kMachines; ++m) {
    out.at[m] = std::max(out_.at[m], retire_.at[m]);
  }
  if (s.store) {
    stores_[count_ % kStoreRing] = finish_;
#pragma GCC unroll 1
    for (int m = 0; m < kMachines; ++m) {
      if (!kFull[m]) continue;
      const int level = Level(m, s.data);
      int64_t start = retire_.at[m];
      if (level == 2) start = std::max(start, Channel(m, fetch.at[m]));
      const int64_t latency = level == 0 ? 4 : Latency(m, level);
      exit_.at[m] = std::max(exit_.at[m], start + latency);
      out.at[m] = std::max(out.at[m], exit_.at[m]);
    }
    exits_[store_count_ % kExitRing] = exit_;
    ++store_count_;
  }
#pragma GCC unroll 1
  for (int m = 0; m < kMachines; ++m) {
    growth_.at[m] = out.at[m] - out_.at[m];
  }
  out_ = out;
  retired_[count_ % kRetireRing] = retire_;
  ++count_;
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_REFERENCE_MACHINES_H_
