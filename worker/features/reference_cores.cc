#include "worker/features/reference_cores.h"

#include <algorithm>
#include <cstring>

#include "absl/base/attributes.h"
#include "worker/features/cpu_dispatch.h"
#include "worker/features/reference_core_columns.h"
#include "worker/features/reference_core_table.h"
#include "worker/features/rich_schema.h"

namespace perfvec::compute {
namespace {

constexpr int kCores = ReferenceCores::kCores;

// Long ago: never later than anything of use.
constexpr int32_t kFloor = -(int32_t{1} << 29);
// Looked at so often whether to take times down: no instruction adds more than
// 2^16.
constexpr uint64_t kRebaseEvery = 4096;

constexpr size_t kRing = 256;      // instructions, registers, stores
constexpr size_t kQueueRing = 64;  // queues
constexpr size_t kLines = 256;     // lines lately missed
constexpr size_t kStoreSets = 1024;
constexpr size_t kGranules = 4096;
constexpr int kGranuleBytesLog2 = 4;
constexpr uint64_t kStoreSetReach = 128;  // instructions
constexpr int kLinesInRow = 128;
constexpr int kMaxChannels = 4, kMaxBanks = 16, kMaxMisses = 32;

using Lanes [[gnu::vector_size(64), gnu::may_alias]] = int32_t;

// mask ? a : b, of a mask -1 or 0. Without a branch: both are loaded, and loops
// over the cores stay vectors.
inline int32_t Select(int32_t mask, int32_t a, int32_t b) {
  return (a & mask) | (b & ~mask);
}

}  // namespace

// Times first, from `fetch` to `bank`: Rebase() takes them down.
struct ReferenceCores::State {
  Times fetch, dispatch, issue, finish, retire, out, exit, drain, barrier;
  Times blocked;  // no access to the first cache before
  Times retired[kRing], dispatched[kRing], executed[kRing];  // by instruction
  Times integers[kRing], vectors[kRing];                     // by register
  Times loads[kQueueRing], stores[kQueueRing];               // by access
  Times store_sets[kStoreSets];                              // last executed
  Times arrival[kLines];
  Times misses[kMaxMisses];  // by miss
  Times channel[kMaxChannels];
  Times bank[kMaxChannels * kMaxBanks];

  Times waiting[kLines];  // accesses
  Times miss_count;
  int64_t row[kCores][kMaxChannels][kMaxBanks];
  uint64_t line[kLines];
  uint64_t granule[kGranules], granule_store[kGranules];
  uint64_t store_pc[kRing];
  int16_t store_set[kStoreSets];
  uint64_t count, load_count, store_count, integer_count, vector_count;
};

ReferenceCores::ReferenceCores(Isa isa, int32_t rebase_above)
    : rebase_above_(rebase_above),
      state_memory_(sizeof(State)),
      state_(state_memory_.data<State>()) {
  std::memset(state_->row, -1, sizeof(state_->row));
  std::memset(state_->line, -1, sizeof(state_->line));
  std::memset(state_->granule, -1, sizeof(state_->granule));
  std::memset(state_->store_set, -1, sizeof(state_->store_set));
  run_ = &RunBaseline;
#if defined(__x86_64__)
  if (isa >= Isa::kAvx2 && CpuHasAvx2()) run_ = &RunAvx2;
  if (isa >= Isa::kAvx512 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    run_ = &RunAvx512;
  }
#endif
  ReserveRegisters(1);
}

void ReferenceCores::ReserveRegisters(size_t count) {
  registers_memory_.Reserve(count * sizeof(Times));
  registers_ = registers_memory_.data<Times>();
}

size_t ReferenceCores::memory_bytes() const {
  return state_memory_.bytes() + registers_memory_.bytes() +
         page_of_.memory_bytes() + page_written_.capacity() * sizeof(uint64_t) +
         data_128_.memory_bytes() + fetch_128_.memory_bytes() +
         fetch_256_.memory_bytes();
}

const ReferenceCores::Tables& ReferenceCores::SharedTables() {
  static const Tables tables;
  return tables;
}

void ReferenceCores::Rebase() {
  const Times base = state_->out;
  if (*std::max_element(base.at, base.at + kCores) < rebase_above_) {
    return;
  }
  auto lower = [&base](Times* times, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      for (int m = 0; m < kCores; ++m) {
        times[i].at[m] = std::max(times[i].at[m] - base.at[m], kFloor);
      }
    }
  };
  static_assert(offsetof(State, waiting) % sizeof(Times) == 0);
  lower(&state_->fetch, offsetof(State, waiting) / sizeof(Times));
  lower(registers_, registers_memory_.bytes() / sizeof(Times));
}

// A line from memory: when it is there if asked for at `start`. Channels are
// given in program order, from `from` on.
int32_t ReferenceCores::Memory(int core, uint64_t line, int32_t start,
                               int32_t from) {
  const ReferenceCore& c = kReferenceCores[core];
  const auto channel = static_cast<int>(line % c.channels);
  int32_t& free = state_->channel[channel].at[core];
  const int32_t turn = std::max(free, from);
  free = turn + c.line;
  int64_t row = line / c.channels / kLinesInRow;
  const auto bank = static_cast<int>(row % c.banks);
  row /= c.banks;
  int32_t& ready = state_->bank[channel * kMaxBanks + bank].at[core];
  int32_t time = std::max({start, turn, ready});
  if (int64_t& open = state_->row[core][channel][bank]; open != row) {
    open = row;
    time += c.row;
    ready = time;
  }
  return time + c.far;
}

// An access of the data caches from `start` on, dispatched at `from`: when the
// line is there. level: 0 first cache, 1 second, 2 memory.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ReferenceCores::Access(
    uint64_t line, uint64_t physical_line, const Times& start,
    const Times& from, const Times& level, Times* finish) {
  const Tables& t = SharedTables();
  State& s = *state_;
  const size_t slot = (line * 0x9e3779b97f4a7c15u) >> 56;
  Times begin;
  int32_t missed = 0;
  for (int m = 0; m < kCores; ++m) {
    begin.at[m] = std::max(start.at[m], s.blocked.at[m]);
    finish->at[m] = begin.at[m] + t.near.at[m];
    missed |= level.at[m];
  }
  Times miss = level;
  if (s.line[slot] == line) {
    Times& arrival = s.arrival[slot];
    Times& waiting = s.waiting[slot];
    missed = 0;
    for (int m = 0; m < kCores; ++m) {
      const bool in_flight = arrival.at[m] > begin.at[m];
      const int32_t mask = in_flight ? -1 : 0;
      waiting.at[m] -= mask;
      const bool block = in_flight & (waiting.at[m] >= t.accesses.at[m]);
      s.blocked.at[m] =
          std::max(s.blocked.at[m], block ? arrival.at[m] : kFloor);
      finish->at[m] =
          std::max(finish->at[m], in_flight ? arrival.at[m] : kFloor);
      miss.at[m] &= ~mask;
      missed |= miss.at[m];
    }
  }
  if (missed == 0) return;
  if (s.line[slot] != line) {
    s.line[slot] = line;
    std::fill_n(s.arrival[slot].at, kCores, kFloor);
  }
  for (int m = 0; m < kCores; ++m) {
    if (miss.at[m] == 0) continue;
    int32_t& count = s.miss_count.at[m];
    begin.at[m] =
        std::max(begin.at[m],
                 s.misses[(count - t.misses.at[m]) & (kMaxMisses - 1)].at[m]);
    const int32_t asked = begin.at[m] + t.near.at[m];
    const int32_t there =
        miss.at[m] == 1
            ? asked + t.middle.at[m]
            : Memory(m, physical_line, asked, from.at[m]) + t.middle.at[m] / 2;
    s.misses[count & (kMaxMisses - 1)].at[m] = there;
    ++count;
    s.arrival[slot].at[m] = there;
    s.waiting[slot].at[m] = 1;
    finish->at[m] = there;
  }
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ReferenceCores::RunStep(
    const Step& step, float* growth) {
  const Tables& t = SharedTables();
  State& s = *state_;
  const uint64_t n = s.count;
  if (n % kRebaseEvery == 0) Rebase();

  auto page = [this](uint64_t address) {
    const uint32_t number = page_of_.Find(address >> kPageBytesLog2);
    if (number == page_written_.size()) page_written_.push_back(0);
    return number;
  };
  auto line_in_page = [](uint64_t address) {
    return address >> kLineBytesLog2 & 63;
  };
  // time = max(time, what the cores look back to + more)
  auto look_back = [](Times* time, const std::vector<Reach>& reaches,
                      const Times* ring, size_t size, uint64_t now,
                      const Times& more) {
    // As vectors by hand: the compiler jams two turns of the outer loop and
    // then takes the rings for overlapping.
    constexpr int kParts = sizeof(Times) / sizeof(Lanes);
    Lanes part[kParts];
    for (Lanes& p : part) p = Lanes{} + kFloor;
    for (const Reach& r : reaches) {
      const auto* mask = reinterpret_cast<const Lanes*>(&r.mask);
      const auto* entry =
          reinterpret_cast<const Lanes*>(&ring[(now - r.back) & (size - 1)]);
      for (int k = 0; k < kParts; ++k) {
        part[k] = (entry[k] & mask[k]) | (part[k] & ~mask[k]);
      }
    }
    Times then;
    std::memcpy(&then, part, sizeof(then));
    for (int m = 0; m < kCores; ++m) {
      time->at[m] = std::max(time->at[m], then.at[m] + more.at[m]);
    }
  };

  // Fetch.
  Times fetch, wrong = {};
  for (int m = 0; m < kCores; ++m) {
    fetch.at[m] = s.fetch.at[m] + t.fetch_step.at[m];
  }
  look_back(&fetch, t.fetch_queue, s.dispatched, kRing, n, t.nothing);
  if (step.after_taken) {
    for (int m = 0; m < kCores; ++m) {
      fetch.at[m] = std::max(fetch.at[m], s.fetch.at[m] + kCycle);
    }
  }
  if (step.mispredicted[0] || step.mispredicted[1] || step.mispredicted[2]) {
    for (int p = 0; p < kPredictors; ++p) {
      if (!step.mispredicted[p]) continue;
      for (int m = 0; m < kCores; ++m) wrong.at[m] |= t.predictor[p].at[m];
    }
    for (int m = 0; m < kCores; ++m) {
      const int32_t again = s.finish.at[m] + t.refill.at[m];
      fetch.at[m] = std::max(fetch.at[m], Select(wrong.at[m], again, kFloor));
    }
  }
  if (step.target_changed) {
    for (int m = 0; m < kCores; ++m) {
      fetch.at[m] += t.retarget.at[m] & ~wrong.at[m];
    }
  }
  if (step.new_line) {
    if (step.after_taken) {
      for (int m = 0; m < kCores; ++m) {
        fetch.at[m] += t.taken.at[m] & ~wrong.at[m];
      }
    }
    const uint64_t line = step.pc >> kLineBytesLog2;
    const int32_t distance[] = {static_cast<int32_t>(step.fetch_set_64),
                                static_cast<int32_t>(fetch_128_.Record(line)),
                                static_cast<int32_t>(fetch_256_.Record(line))};
    const uint64_t physical =
        uint64_t{page(step.pc)} * 64 + line_in_page(step.pc);
    Times miss;
    int32_t missed = 0;
    for (int m = 0; m < kCores; ++m) {
      const int32_t mine = (t.geometry[0].at[m] & distance[0]) |
                           (t.geometry[1].at[m] & distance[1]) |
                           (t.geometry[2].at[m] & distance[2]);
      miss.at[m] = mine > t.ways.at[m] ? -1 : 0;
      missed |= miss.at[m];
    }
    for (int m = 0; missed != 0 && m < kCores; ++m) {
      if (miss.at[m] == 0) continue;
      if (static_cast<int32_t>(step.fetch_set_1024) <= t.second_ways.at[m]) {
        fetch.at[m] += t.middle.at[m];
      } else {
        fetch.at[m] =
            Memory(m, physical, fetch.at[m], fetch.at[m]) + t.middle.at[m] / 2;
      }
    }
  }

  // Dispatch.
  Times dispatch;
  for (int m = 0; m < kCores; ++m) {
    dispatch.at[m] = std::max(fetch.at[m] + t.depth.at[m],
                              s.dispatch.at[m] + t.fetch_step.at[m]);
  }
  look_back(&dispatch, t.window, s.retired, kRing, n, t.reuse);
  if (step.serialize) {
    for (int m = 0; m < kCores; ++m) {
      dispatch.at[m] = std::max(dispatch.at[m], s.retire.at[m]);
    }
  }
  if (step.store) {
    look_back(&dispatch, t.stores, s.stores, kQueueRing, s.store_count,
              t.reuse);
  }
  if (step.load) {
    look_back(&dispatch, t.loads, s.loads, kQueueRing, s.load_count, t.reuse);
  }
  if (step.integer_destinations != 0) {
    look_back(&dispatch, t.integers, s.integers, kRing, s.integer_count,
              t.reuse);
  }
  if (step.vector_destinations != 0) {
    look_back(&dispatch, t.vectors, s.vectors, kRing, s.vector_count, t.reuse);
  }

  // Issue.
  Times issue;
  for (int m = 0; m < kCores; ++m) {
    issue.at[m] = std::max(dispatch.at[m],
                           Select(t.in_order.at[m], s.issue.at[m], kFloor));
  }
  auto wait = [&issue](const Times& until) {
    for (int m = 0; m < kCores; ++m) {
      issue.at[m] = std::max(issue.at[m], until.at[m]);
    }
  };
  for (int i = 0; i < step.source_count; ++i) {
    wait(registers_[step.sources[i]]);
  }
  if (step.non_speculative) wait(s.retire);
  const bool access = step.load || step.store;
  int set = -1;
  if (access) {
    wait(s.barrier);
    const size_t site = step.pc >> 2 & (kStoreSets - 1);
    const uint64_t last_byte =
        step.address + std::clamp<uint32_t>(step.access_bytes, 1, 64) - 1;
    uint64_t before = 0;  // 1 + the last store to one of the granules
    for (uint64_t g = step.address >> kGranuleBytesLog2;
         g <= last_byte >> kGranuleBytesLog2; ++g) {
      const size_t slot = (g * 0x9e3779b97f4a7c15u) >> 52;
      if (step.store) {
        s.granule[slot] = g;
        s.granule_store[slot] = n + 1;
      } else if (s.granule[slot] == g) {
        before = std::max(before, s.granule_store[slot]);
      }
    }
    if (before != 0 && n + 1 - before < kRing) {
      wait(s.executed[(before - 1) & (kRing - 1)]);
      if (n + 1 - before <= kStoreSetReach) {
        // Chrysos and Emer's rules, as if every such pair had once clashed.
        const size_t other =
            s.store_pc[(before - 1) & (kRing - 1)] >> 2 & (kStoreSets - 1);
        int16_t &a = s.store_set[site], &b = s.store_set[other];
        if (a < 0 && b < 0) {
          a = b = static_cast<int16_t>(site);
        } else if (a < 0) {
          a = b;
        } else if (b < 0) {
          b = a;
        } else {
          a = b = std::min(a, b);
        }
      }
    }
    if (step.load && step.forwarding != kNoStore &&
        n - step.forwarding < kRing) {
      wait(s.executed[step.forwarding & (kRing - 1)]);
    }
    set = s.store_set[site];
    if (set >= 0) wait(s.store_sets[set]);
  }

  // Execute.
  Times level;
  uint64_t line = 0, physical = 0;
  if (access) {
    line = step.address >> kLineBytesLog2;
    const uint32_t number = page(step.address);
    const uint64_t bit = uint64_t{1} << line_in_page(step.address);
    const int32_t clean = (page_written_[number] & bit) == 0 ? -1 : 0;
    if (step.store) page_written_[number] |= bit;
    physical = uint64_t{number} * 64 + line_in_page(step.address);
    const int32_t distance[] = {static_cast<int32_t>(step.data_set_64),
                                static_cast<int32_t>(data_128_.Record(line)),
                                static_cast<int32_t>(step.data_set_256)};
    const auto second = static_cast<int32_t>(step.data_set_1024);
    for (int m = 0; m < kCores; ++m) {
      const int32_t mine = (t.geometry[0].at[m] & distance[0]) |
                           (t.geometry[1].at[m] & distance[1]) |
                           (t.geometry[2].at[m] & distance[2]);
      const int32_t beyond =
          (second > t.second_ways.at[m] ? -1 : 0) | (t.excludes.at[m] & clean);
      level.at[m] = mine <= t.ways.at[m] ? 0 : 1 - beyond;
    }
  }
  const Times& latency =
      t.latency[step.op_class >= 0 && step.op_class < Tables::kOpClasses
                    ? step.op_class
                    : 0];
  Times finish;
  for (int m = 0; m < kCores; ++m) {
    finish.at[m] = issue.at[m] + latency.at[m];
  }
  if (step.load) Access(line, physical, finish, dispatch, level, &finish);
  if (step.barrier) {
    for (int m = 0; m < kCores; ++m) {
      finish.at[m] = std::max(finish.at[m], s.exit.at[m]);
      s.barrier.at[m] = std::max(s.barrier.at[m], finish.at[m]);
    }
  }
  for (int i = 0; i < step.destination_count; ++i) {
    registers_[step.destinations[i]] = finish;
  }

  // Retire.
  Times retire, out;
  for (int m = 0; m < kCores; ++m) {
    retire.at[m] = std::max(s.retire.at[m] + t.retire_step.at[m],
                            finish.at[m] + t.retire.at[m]);
    out.at[m] = std::max(s.out.at[m], retire.at[m]);
  }
  for (int i = 0; i < step.integer_destinations; ++i) {
    s.integers[s.integer_count++ & (kRing - 1)] = retire;
  }
  for (int i = 0; i < step.vector_destinations; ++i) {
    s.vectors[s.vector_count++ & (kRing - 1)] = retire;
  }
  if (step.load) s.loads[s.load_count++ & (kQueueRing - 1)] = retire;
  if (step.store) {
    s.executed[n & (kRing - 1)] = finish;
    s.store_pc[n & (kRing - 1)] = step.pc;
    if (set >= 0) s.store_sets[set] = finish;
    Times done;
    for (int m = 0; m < kCores; ++m) {
      s.drain.at[m] = std::max(retire.at[m], s.drain.at[m] + kCycle);
    }
    Access(line, physical, s.drain, dispatch, level, &done);
    for (int m = 0; m < kCores; ++m) {
      s.exit.at[m] = std::max(s.exit.at[m], done.at[m]);
      out.at[m] = std::max(out.at[m], s.exit.at[m]);
    }
    if (step.exclusive) {
      for (int i = 0; i < step.destination_count; ++i) {
        registers_[step.destinations[i]] = s.exit;
      }
      for (int m = 0; m < kCores; ++m) {
        retire.at[m] = std::max(retire.at[m], s.exit.at[m]);
      }
    }
    s.stores[s.store_count++ & (kQueueRing - 1)] = s.exit;
  }
  if (growth != nullptr) {
    for (int m = 0; m < kCores; ++m) {
      growth[m] = static_cast<float>(
          std::min<int32_t>(out.at[m] - s.out.at[m], kMaxFarInstructions));
    }
  }
  s.fetch = fetch;
  s.dispatch = dispatch;
  s.issue = issue;
  s.finish = finish;
  s.retire = retire;
  s.out = out;
  s.retired[n & (kRing - 1)] = retire;
  s.dispatched[n & (kRing - 1)] = dispatch;
  ++s.count;
}

void ReferenceCores::RunBaseline(ReferenceCores* cores, const Step& step,
                                 float* growth) {
  cores->RunStep(step, growth);
}

#if defined(__x86_64__)
PERFVEC_TARGET_AVX2 void ReferenceCores::RunAvx2(ReferenceCores* cores,
                                                 const Step& step,
                                                 float* growth) {
  cores->RunStep(step, growth);
}

__attribute__((
    target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,"
           "prefer-vector-width=512"))) void
ReferenceCores::RunAvx512(ReferenceCores* cores, const Step& step,
                          float* growth) {
  cores->RunStep(step, growth);
}
#endif

}  // namespace perfvec::compute
