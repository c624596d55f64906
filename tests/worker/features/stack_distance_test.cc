#include "worker/features/stack_distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <list>
#include <random>
#include <set>
#include <vector>

namespace perfvec::compute {
namespace {

// The definition itself: a list with the most recent line first.
class NaiveStack {
 public:
  uint32_t Distance(uint64_t line) const {
    auto it = std::find(lines_.begin(), lines_.end(), line);
    if (it == lines_.end()) return kMaxStackDistance;
    return static_cast<uint32_t>(it - lines_.begin()) + 1;
  }
  void Record(uint64_t line) {
    auto it = std::find(lines_.begin(), lines_.end(), line);
    if (it == lines_.end()) {
      lines_.insert(lines_.begin(), line);
    } else {
      std::rotate(lines_.begin(), it, it + 1);
    }
  }

 private:
  std::vector<uint64_t> lines_;
};

using Pattern = std::function<uint64_t(size_t)>;

void CompareWithNaive(const Pattern& pattern, size_t accesses,
                      bool two_stacks) {
  StackDistances stacks;
  NaiveStack naive[2];
  for (size_t i = 0; i < accesses; ++i) {
    const uint64_t line = pattern(i);
    const int recorded = two_stacks ? (line * 7 + i * i) % 3 == 0 : 0;
    LineEntry& entry = *stacks.Find(line);
    ASSERT_EQ(stacks.Distance(entry, 1 - recorded),
              naive[1 - recorded].Distance(line))
        << "access " << i;
    ASSERT_EQ(stacks.Distance(entry, recorded), naive[recorded].Distance(line))
        << "access " << i;
    ASSERT_EQ(stacks.Record(entry, recorded), naive[recorded].Distance(line))
        << "access " << i;
    naive[recorded].Record(line);
  }
}

TEST(StackDistanceTest, FollowsTheDefinition) {
  StackDistances stacks;
  auto record = [&](uint64_t line) {
    return stacks.Record(*stacks.Find(line), 0);
  };
  EXPECT_EQ(record(1), kMaxStackDistance);
  EXPECT_EQ(record(1), 1u);
  EXPECT_EQ(record(2), kMaxStackDistance);
  EXPECT_EQ(record(3), kMaxStackDistance);
  EXPECT_EQ(record(1), 3u);
  EXPECT_EQ(record(3), 2u);
  EXPECT_EQ(record(2), 3u);
}

TEST(StackDistanceTest, ALookUpIsNoAccess) {
  StackDistances stacks;
  LineEntry& entry = *stacks.Find(9);
  EXPECT_EQ(stacks.Distance(entry, 0), kMaxStackDistance);
  EXPECT_EQ(stacks.Distance(entry, 0), kMaxStackDistance);
  stacks.Record(entry, 1);
  EXPECT_EQ(stacks.Distance(entry, 0), kMaxStackDistance);
  EXPECT_EQ(stacks.Distance(entry, 1), 1u);
}

TEST(StackDistanceTest, EqualsTheNaiveListOnRandomLines) {
  for (uint64_t footprint : {1, 2, 3, 64, 447, 448, 449, 1000, 5000}) {
    const uint64_t seed = 1234 + footprint;
    SCOPED_TRACE(testing::Message()
                 << "footprint " << footprint << " seed " << seed);
    std::mt19937_64 random(seed);
    CompareWithNaive([&](size_t) { return random() % footprint; }, 60000,
                     footprint % 2 == 1);
  }
}

TEST(StackDistanceTest, EqualsTheNaiveListOnCyclesAndStreams) {
  // A cycle puts every distance at the footprint, through many compactions.
  for (uint64_t footprint : {2, 63, 64, 65, 448, 1700}) {
    SCOPED_TRACE(footprint);
    CompareWithNaive([&](size_t i) { return (i % footprint) << 13; }, 90000,
                     false);
  }
  CompareWithNaive([](size_t i) { return i; }, 6000, true);
  // Forth and back: every distance occurs.
  CompareWithNaive(
      [](size_t i) { return i % 2000 < 1000 ? i % 1000 : 999 - i % 1000; },
      60000, true);
}

TEST(StackDistanceTest, EqualsTheNaiveListWithHotAndColdLines) {
  const uint64_t seed = 99;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  CompareWithNaive(
      [&](size_t i) {
        return random() % 8 != 0 ? random() % 8 : (i * 0x40001) % 3000;
      },
      150000, true);
}

TEST(StackDistanceTest, IsExactAcrossCompactionWithManyLines) {
  // A cycle over many lines: known in closed form where a list would be slow.
  constexpr uint64_t kFootprint = 1'200'000;
  StackDistances stacks;
  for (uint64_t i = 0; i < 8 * kFootprint; ++i) {
    const uint32_t wanted =
        i < kFootprint ? kMaxStackDistance : uint32_t{kFootprint};
    ASSERT_EQ(stacks.Record(*stacks.Find((i % kFootprint) * 0x1003), 0), wanted)
        << i;
  }
}

TEST(StackDistanceTest, RandomLinesOverALargeFootprintAgreeWithAFenwickTree) {
  // Bennett and Kruskal's method over all time, an independent reference.
  constexpr size_t kAccesses = 600'000;
  constexpr uint64_t kFootprint = 100'000;
  const uint64_t seed = 5;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::vector<uint32_t> tree(kAccesses + 1);
  auto add = [&](size_t i, int value) {
    for (; i <= kAccesses; i += i & -i) tree[i] += value;
  };
  auto sum = [&](size_t i) {
    uint32_t total = 0;
    for (; i > 0; i -= i & -i) total += tree[i];
    return total;
  };
  std::vector<size_t> last(kFootprint);
  std::vector<uint64_t> lines(kAccesses);
  std::vector<uint32_t> wanted(kAccesses);
  for (size_t i = 0; i < kAccesses; ++i) {
    lines[i] = random() % kFootprint;
    size_t& time = last[lines[i]];
    wanted[i] = time == 0 ? kMaxStackDistance : sum(kAccesses) - sum(time) + 1;
    if (time != 0) add(time, -1);
    time = i + 1;
    add(time, 1);
  }
  StackDistances stacks;
  std::vector<uint32_t> found(kAccesses);
  RecordAll(stacks, lines.data(), kAccesses, found.data());
  EXPECT_EQ(found, wanted);
}

TEST(RecencySlotsTest, CompactionCanDropTheOldest) {
  // What keeps a stack at 1e8 lines, at a size that a test can have.
  const uint64_t seed = 6;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  RecencySlots slots;
  std::vector<uint32_t> held;  // oldest first
  for (int i = 0; i < 20'000; ++i) held.push_back(slots.Append());
  for (int i = 0; i < 5000; ++i) {
    const size_t k = random() % (held.size() - 1);
    slots.Remove(held[k]);
    held.erase(held.begin() + k);
    held.push_back(slots.Append());
  }
  constexpr uint32_t kDropped = 1234;
  held.erase(held.begin(), held.begin() + kDropped);
  for (uint32_t& slot : held) slot = slots.SlotAfterCompaction(slot, kDropped);
  slots.Compact(kDropped);
  ASSERT_EQ(slots.live(), held.size());
  EXPECT_EQ(slots.newest(), held.back());
  for (size_t k = 0; k < held.size(); ++k) {
    ASSERT_EQ(slots.Distance(held[k]), held.size() - k);
  }
}

TEST(RecencySlotsTest, GrowingLeavesAllWhereTheyAre) {
  RecencySlots slots;
  std::vector<uint32_t> held;
  for (int round = 0; round < 4; ++round) {
    while (!slots.full()) held.push_back(slots.Append());
    for (size_t k = 0; k < held.size(); k += 3) {
      if (held[k] == 0 || held[k] == slots.newest()) continue;
      slots.Remove(held[k]);
      held[k] = 0;
    }
    ASSERT_TRUE(slots.GrowIfDense());
    ASSERT_FALSE(slots.full());
    uint32_t wanted = slots.live();
    for (uint32_t slot : held) {
      if (slot != 0) {
        ASSERT_EQ(slots.Distance(slot), wanted--);
      }
    }
  }
  for (size_t k = 0; k + 1 < held.size(); ++k) {
    if (held[k] != 0 && k % 8 != 0) slots.Remove(held[k]);
  }
  EXPECT_FALSE(slots.GrowIfDense()) << "few live slots are compacted instead";
}

TEST(StackDistanceTest, MemoryFollowsTheFootprintNotTheTrace) {
  for (uint64_t footprint : {100, 10'000, 100'000}) {
    std::mt19937_64 random(footprint);
    StackDistances stacks;
    for (uint64_t i = 0; i < 10 * footprint; ++i) {
      stacks.Record(*stacks.Find(i < footprint ? i : random() % footprint), 0);
    }
    const size_t before = stacks.memory_bytes();
    for (uint64_t i = 0; i < 5'000'000; ++i) {
      stacks.Record(*stacks.Find(random() % footprint), 0);
    }
    EXPECT_EQ(stacks.memory_bytes(), before);
    EXPECT_EQ(stacks.lines(), footprint);
    EXPECT_LT(stacks.memory_bytes(), 60 * footprint + 40'000);
  }
}

}  // namespace
}  // namespace perfvec::compute
