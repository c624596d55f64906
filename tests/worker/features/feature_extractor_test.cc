#include "worker/features/feature_extractor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "worker/features/branch_history.h"
#include "worker/features/feature_kernel.h"
#include "worker/features/reuse_window.h"
#include "worker/features/stack_distance.h"

namespace perfvec::compute {
namespace {

using testing::HasSubstr;
using trace::InstructionBlock;
using trace::StaticInstruction;

std::string Print(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

// A random trace of all kinds of instructions, as one block.
InstructionBlock RandomTrace(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  InstructionBlock block;
  for (int i = 0; i < 700; ++i) {
    StaticInstruction s;
    s.pc = 0x400000 + 4 * (i / 2 * 2);  // two share a pc, as micro-ops do
    s.flags = static_cast<uint32_t>(random()) & 0xffff;
    if (i % 3 == 0) s.flags |= trace::kHasAddress;
    s.op_class = i % 3 == 0 ? 47 + i % 2 : static_cast<int16_t>(random() % 60);
    s.source_count = random() % 9;
    s.destination_count = random() % 7;
    for (int r = 0; r < s.source_count; ++r) {
      s.sources[r] = {static_cast<uint8_t>(random() % 7),
                      static_cast<uint16_t>(random())};
    }
    for (int r = 0; r < s.destination_count; ++r) {
      s.destinations[r] = {static_cast<uint8_t>(random() % 7),
                           static_cast<uint16_t>(random() % 50)};
    }
    block.statics.push_back(s);
  }
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = random() % 4 != 0
                               ? (i / 7 * 13 + i) % block.statics.size()
                               : random() % block.statics.size();
    block.static_index.push_back(index);
    const bool has_address =
        (block.statics[index].flags & trace::kHasAddress) != 0;
    const uint64_t near = random() % 300 * 8;
    const uint64_t far = random() % 50'000 * 8;
    block.address.push_back(has_address ? (random() % 4 ? near : far) : 0);
    block.taken.push_back(random() % 2);
  }
  return block;
}

// Instructions [begin, end) as a block that holds its own statics only.
InstructionBlock Cut(const InstructionBlock& whole, size_t begin, size_t end) {
  InstructionBlock block;
  block.first_instruction = begin;
  std::vector<int64_t> moved(whole.statics.size(), -1);
  for (size_t i = begin; i < end; ++i) {
    const uint32_t index = whole.static_index[i];
    if (moved[index] < 0) {
      moved[index] = static_cast<int64_t>(block.statics.size());
      block.statics.push_back(whole.statics[index]);
    }
    block.static_index.push_back(static_cast<uint32_t>(moved[index]));
    block.address.push_back(whole.address[i]);
    block.taken.push_back(whole.taken[i]);
  }
  return block;
}

std::vector<float> ExtractWhole(const InstructionBlock& block) {
  FeatureExtractor extractor;
  std::vector<float> features(block.size() * kFeatureCount);
  EXPECT_TRUE(extractor.Extract(block, features.data()).ok());
  return features;
}

TEST(FeatureExtractorTest, BlockBoundariesDoNotMatter) {
  const uint64_t seed = 42;
  SCOPED_TRACE(seed);
  const InstructionBlock whole = RandomTrace(seed, 30'000);
  const std::vector<float> wanted = ExtractWhole(whole);
  for (size_t step : {1, 7, 1000, 4096, 29'999}) {
    FeatureExtractor extractor;
    std::vector<float> found(wanted.size());
    for (size_t begin = 0; begin < whole.size(); begin += step) {
      const size_t end = std::min(whole.size(), begin + step);
      ASSERT_TRUE(extractor
                      .Extract(Cut(whole, begin, end),
                               found.data() + begin * kFeatureCount)
                      .ok());
    }
    EXPECT_EQ(extractor.position(), whole.size());
    EXPECT_TRUE(found == wanted) << "blocks of " << step;
  }
}

TEST(FeatureExtractorTest, SkippingAPrefixChangesNothingAfterIt) {
  const uint64_t seed = 43;
  SCOPED_TRACE(seed);
  const InstructionBlock whole = RandomTrace(seed, 20'000);
  const std::vector<float> wanted = ExtractWhole(whole);
  for (size_t skipped : {1, 999, 10'000}) {
    FeatureExtractor extractor;
    ASSERT_TRUE(extractor.Skip(Cut(whole, 0, skipped)).ok());
    EXPECT_EQ(extractor.position(), skipped);
    std::vector<float> found(wanted.size() - skipped * kFeatureCount);
    ASSERT_TRUE(
        extractor.Extract(Cut(whole, skipped, whole.size()), found.data())
            .ok());
    EXPECT_TRUE(std::equal(found.begin(), found.end(),
                           wanted.begin() + skipped * kFeatureCount));
  }
}

TEST(FeatureExtractorTest, RegistersAndFlagsStandWhereTheSchemaSays) {
  InstructionBlock block;
  StaticInstruction s;
  s.pc = 0x1000;
  s.op_class = trace::kStoreOpClass;
  s.flags = trace::kHasStoreQueueIndex | trace::kHasAddress | trace::kMicroOp |
            trace::kWriteBarrier | trace::kNonSpeculative;
  s.access_size = 8;
  s.source_count = 2;
  s.sources[0] = {0, 31};
  s.sources[1] = {6, 65535};
  s.destination_count = 1;
  s.destinations[0] = {2, 7};
  block.statics = {s};
  block.static_index = {0, 0};
  block.address = {0x2000, 0x2000};
  block.taken = {0, 0};
  const std::vector<float> features = ExtractWhole(block);
  std::vector<float> wanted(kFeatureCount);
  wanted[kFeatureOperation] = 49;
  wanted[kFeatureStore] = 1;
  wanted[kFeatureMicroOp] = 1;
  wanted[kFeatureWriteBarrier] = 1;
  wanted[kFeatureNonSpeculative] = 1;
  wanted[kFeatureFetchDistance] = 1e8f;
  wanted[kFeatureHasAddress] = 1;
  wanted[kFeatureLoadDistance] = 1e8f;
  wanted[kFeatureStoreDistance] = 1e8f;
  wanted[kFeatureReuseInstructions] = 1000;
  wanted[kFeatureSources] = 1;
  wanted[kFeatureSources + 1] = 32;
  wanted[kFeatureSources + 2] = 7;
  wanted[kFeatureSources + 3] = 65536;
  wanted[kFeatureDestinations] = 3;
  wanted[kFeatureDestinations + 1] = 8;
  EXPECT_EQ(
      std::vector<float>(features.begin(), features.begin() + kFeatureCount),
      wanted);
  wanted[kFeatureFetchDistance] = 1;
  wanted[kFeatureStoreDistance] = 1;  // not recorded in the load stack
  wanted[kFeatureReuseInstructions] = 1;
  EXPECT_EQ(
      std::vector<float>(features.begin() + kFeatureCount, features.end()),
      wanted);
}

TEST(FeatureExtractorTest, ExclusivesAndAtomicsAreNoStores) {
  for (uint32_t flag :
       {uint32_t{trace::kAtomic}, uint32_t{trace::kStoreConditional}}) {
    InstructionBlock block;
    StaticInstruction s;
    s.op_class = trace::kStoreOpClass;
    s.flags = trace::kHasStoreQueueIndex | flag;
    block.statics = {s};
    block.static_index = {0};
    block.address = {0};
    block.taken = {0};
    const std::vector<float> features = ExtractWhole(block);
    EXPECT_EQ(features[kFeatureStore], 0);
    EXPECT_EQ(features[kFeatureExclusive], flag == trace::kAtomic ? 2 : 1);
  }
}

TEST(FeatureExtractorTest, RefusesBadBlocksAndKeepsItsState) {
  const InstructionBlock whole = RandomTrace(44, 2000);
  const std::vector<float> wanted = ExtractWhole(whole);
  FeatureExtractor extractor;
  std::vector<float> features(wanted.size());
  ASSERT_TRUE(extractor.Extract(Cut(whole, 0, 1000), features.data()).ok());

  auto expect_refused = [&](const InstructionBlock& block, const char* word) {
    const absl::Status status = extractor.Extract(block, features.data());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(word));
    EXPECT_EQ(extractor.position(), 1000u);
  };
  InstructionBlock bad = Cut(whole, 1001, 1500);
  expect_refused(bad, "begin at instruction 1000");
  bad = Cut(whole, 1000, 1500);
  bad.taken.pop_back();
  expect_refused(bad, "499 branch outcomes");
  bad = Cut(whole, 1000, 1500);
  bad.static_index[3] = static_cast<uint32_t>(bad.statics.size());
  expect_refused(bad, "static indices below");
  bad = Cut(whole, 1000, 1500);
  bad.statics[0].source_count = 9;
  expect_refused(bad, "found 9 and");
  bad = Cut(whole, 1000, 1500);
  bad.statics[0].destination_count = 7;
  expect_refused(bad, "and 7");
  bad = Cut(whole, 1000, 1500);
  bad.statics[0].source_count = 1;
  bad.statics[0].sources[0].register_class = 7;
  expect_refused(bad, "found 7");

  std::vector<float> rest(1000 * kFeatureCount);
  ASSERT_TRUE(extractor.Extract(Cut(whole, 1000, 2000), rest.data()).ok());
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(),
                         wanted.begin() + 1000 * kFeatureCount));
}

TEST(FeatureExtractorTest, TheBaselineLoopGivesTheSameBits) {
  const InstructionBlock whole = RandomTrace(49, 20'000);
  FeatureKernel<StackDistances> kernel;
  std::vector<float> features(whole.size() * kFeatureCount);
  kernel.Run<true>(whole, features.data());
  EXPECT_TRUE(features == ExtractWhole(whole));
}

TEST(FeatureExtractorTest, LargeFootprintsAreLookedUpAheadWithTheSameResult) {
  const uint64_t seed = 50;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  InstructionBlock block;
  for (int16_t op_class : {trace::kLoadOpClass, trace::kStoreOpClass, 1}) {
    StaticInstruction s;
    s.op_class = op_class;
    if (op_class != 1) s.flags = trace::kHasAddress;
    block.statics.push_back(s);
  }
  FeatureExtractor extractor;
  StackDistances reference;
  for (int round = 0; round < 6; ++round) {
    block.first_instruction = extractor.position();
    block.static_index.clear();
    block.address.clear();
    for (int i = 0; i < 65'536; ++i) {
      const uint32_t index = random() % 3;
      block.static_index.push_back(index);
      block.address.push_back(index == 2 ? 0 : random() % 8'000'000);
    }
    block.taken.assign(block.size(), 0);
    std::vector<float> features(block.size() * kFeatureCount);
    ASSERT_TRUE(extractor.Extract(block, features.data()).ok());
    for (size_t i = 0; i < block.size(); ++i) {
      if (block.static_index[i] == 2) continue;
      LineEntry& entry = *reference.Find(block.address[i] >> kLineBytesLog2);
      const int stack = block.static_index[i] == 0 ? 0 : 1;
      const float* row = &features[i * kFeatureCount];
      ASSERT_EQ(row[kFeatureLoadDistance + 1 - stack],
                reference.Distance(entry, 1 - stack));
      ASSERT_EQ(row[kFeatureLoadDistance + stack],
                reference.Record(entry, stack));
    }
  }
  EXPECT_TRUE(reference.large());
}

TEST(FeatureExtractorTest, MemoryFollowsTheFootprintNotTheTrace) {
  const InstructionBlock whole = RandomTrace(45, 60'000);
  FeatureExtractor extractor;
  std::vector<float> features(whole.size() * kFeatureCount);
  size_t memory = 0;
  for (int i = 0; i < 40; ++i) {
    InstructionBlock block = whole;
    block.first_instruction = extractor.position();
    ASSERT_TRUE(extractor.Extract(block, features.data()).ok());
    if (i == 5) memory = extractor.memory_bytes();
  }
  EXPECT_EQ(extractor.memory_bytes(), memory);
}

TEST(FeatureSchemaTest, NamesAreUnique) {
  const auto& names = FeatureNames();
  EXPECT_EQ(std::set<std::string_view>(names.begin(), names.end()).size(),
            size_t{kFeatureCount});
  EXPECT_EQ(names[kFeatureStoreDistance], "store_stack_distance");
  EXPECT_EQ(names[kFeatureDestinations + 11], "destination_5_index");
}

TEST(FeatureSchemaTest, FloatDistancesPrintLikeIntegers) {
  for (uint32_t d :
       {1u, 16'777'216u, 16'777'249u, 16'777'251u, 16'777'250u, 33'554'449u,
        33'554'451u, 99'999'949u, 99'999'951u, kMaxStackDistance}) {
    EXPECT_EQ(Print(StackDistanceFeature(d)), Print(d)) << d;
  }
  const uint64_t seed = 46;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 50'000; ++i) {
    const uint32_t tie = 50 + 100 * (random() % 999'999);
    for (uint32_t d = tie - 9; d <= tie + 9; ++d) {
      ASSERT_EQ(Print(StackDistanceFeature(d)), Print(d)) << d;
    }
  }
}

TEST(BranchHistoryTest, FollowsTheFormula) {
  const uint64_t seed = 47;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int branch = 0; branch < 300; ++branch) {
    BranchHistory history;
    std::vector<double> outcomes(8, 0.5);
    for (int i = 0; i < 30; ++i) {
      double p = 0;
      for (int k = 0; k < 8; ++k) p += outcomes[outcomes.size() - 1 - k] / 8;
      const double wanted =
          p == 0 || p == 1 ? 0 : -p * std::log(p) - (1 - p) * std::log(1 - p);
      ASSERT_EQ(Print(history.Entropy()), Print(wanted));
      const bool taken = random() % 20 < static_cast<uint64_t>(branch % 21);
      history.Append(taken);
      outcomes.push_back(taken);
    }
  }
}

TEST(ReuseWindowTest, EqualsASearchBackwards) {
  const uint64_t seed = 48;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (uint64_t addresses : {1, 3, 100, 900, 3000}) {
    ReuseWindow window;
    std::vector<std::pair<uint64_t, uint64_t>> past;  // instruction, address
    uint64_t instruction = 0;
    for (int i = 0; i < 20'000; ++i) {
      instruction += random() % 50 == 0 ? random() % 1100 : random() % 3 + 1;
      if (!past.empty() && past.back().first >= instruction) {
        instruction = past.back().first + 1;
      }
      const uint64_t address = random() % addresses * 0x101;
      uint32_t wanted = kMaxReuseInstructions;
      for (auto it = past.rbegin(); it != past.rend(); ++it) {
        if (instruction - it->first >= kMaxReuseInstructions) break;
        if (it->second == address) {
          wanted = static_cast<uint32_t>(instruction - it->first);
          break;
        }
      }
      ASSERT_EQ(window.Access(address, instruction), wanted);
      past.emplace_back(instruction, address);
    }
  }
}

}  // namespace
}  // namespace perfvec::compute
