#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "tests/worker/features/rich_oracle.h"
#include "worker/features/feature_extractor.h"
#include "worker/features/rich_kernel.h"
#include "worker/features/rich_schema.h"

namespace perfvec::compute {
namespace {

using trace::InstructionBlock;
using trace::Register;
using trace::StaticInstruction;

constexpr size_t kWidth = kCoresFeatureCount;

// A random program: straight code with conditional branches, calls and
// returns, strided and random accesses of all sizes, some lines in few sets,
// and addresses at both ends of the address space.
InstructionBlock RandomProgram(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  InstructionBlock block;
  constexpr int kStatics = 400;
  for (int i = 0; i < kStatics; ++i) {
    StaticInstruction s;
    // Micro-ops share a pc; pages and lines of code change now and then.
    s.pc = 0x400000 + 4 * (i / 2 * 2) + (i / 100) * 0x10000;
    s.flags = static_cast<uint32_t>(random() & random() & random()) & 0xffff;
    s.flags &= ~uint32_t{trace::kHasAddress | trace::kConditionalBranch |
                         trace::kUnconditionalBranch};
    s.op_class = static_cast<int16_t>(random() % 60) - 1;
    auto registers = [&](auto* to, uint8_t* n, size_t most) {
      *n = 0;
      for (Register& r : *to) {
        if (*n == most) break;
        r = {static_cast<uint8_t>(random() % 4 ? 0 : random() % 7),
             static_cast<uint16_t>(random() % 36)};
        ++*n;
      }
    };
    registers(&s.sources, &s.source_count, random() % (random() % 8 ? 4 : 9));
    registers(&s.destinations, &s.destination_count,
              random() % (random() % 8 ? 3 : 7));
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
        s.flags |= trace::kHasAddress;
        s.op_class = random() % 2 ? 47 : 48;
        s.access_size = random() % 8 ? 1u << random() % 5 : random() % 90;
        break;
      case 3:
        s.flags |= trace::kConditionalBranch | trace::kDirectBranch;
        break;
      case 4:
        s.flags |= trace::kUnconditionalBranch;
        if (random() % 3) {
          s.source_count = 1;
          s.sources[0] = {0, 30};
          s.destination_count = 0;
        }
        break;
      case 5:
        s.flags |= trace::kUnconditionalBranch;
        s.destination_count = 1;
        s.destinations[0] = {0, 30};
        break;
    }
    block.statics.push_back(s);
  }
  size_t at = 0;
  std::vector<size_t> calls;
  std::map<size_t, uint64_t> stride;
  for (size_t i = 0; i < count; ++i) {
    const StaticInstruction& s = block.statics[at];
    block.static_index.push_back(at);
    uint64_t address = 0;
    if ((s.flags & trace::kHasAddress) != 0) {
      switch (random() % 8) {
        case 0:
          address = random() % 100'000;
          break;
        case 1:
          address = random() % 40 * 65536 + random() % 64;  // few sets
          break;
        case 2:
          address = random() % 8 - 4;  // both ends
          break;
        case 3:
          address = random() % 512;
          break;
        default:
          address = stride[at] += at % 7 * 8 - 16;
      }
    }
    block.address.push_back(address);
    bool taken = false;
    if ((s.flags & trace::kConditionalBranch) != 0) {
      taken = at % 3 == 0 ? i % 4 == 0 : random() % 3 == 0;
    } else if ((s.flags & trace::kUnconditionalBranch) != 0) {
      taken = random() % 10 != 0;
    }
    block.taken.push_back(taken);
    size_t next = at + 1;
    if (taken) {
      next = random() % 2 ? (at * 7) % kStatics : random() % kStatics;
      if (s.destination_count == 1 && s.destinations[0] == Register{0, 30}) {
        calls.push_back(at + 2);
      } else if (!calls.empty() && random() % 8 != 0) {
        next = calls.back();
        calls.pop_back();
      }
    }
    at = next % kStatics;
  }
  return block;
}

std::vector<float> ExtractAll(const InstructionBlock& block) {
  FeatureExtractor extractor(CoresFeatureSchema());
  std::vector<float> features(block.size() * kWidth);
  EXPECT_TRUE(extractor.Extract(block, features.data()).ok());
  return features;
}

InstructionBlock Cut(const InstructionBlock& whole, size_t begin, size_t end) {
  InstructionBlock block;
  block.first_instruction = begin;
  std::map<uint32_t, uint32_t> moved;
  for (size_t i = begin; i < end; ++i) {
    const auto [it, added] =
        moved.insert({whole.static_index[i], block.statics.size()});
    if (added) block.statics.push_back(whole.statics[it->first]);
    block.static_index.push_back(it->second);
    block.address.push_back(whole.address[i]);
    block.taken.push_back(whole.taken[i]);
  }
  return block;
}

// Adds the names of features with more than one value to `changed`.
void ExpectOracle(const InstructionBlock& block,
                  std::set<std::string>* changed) {
  const std::vector<float> found = ExtractAll(block);
  FeatureExtractor published;
  std::vector<float> first(block.size() * kFeatureCount);
  ASSERT_TRUE(published.Extract(block, first.data()).ok());
  const FeatureSchema& schema = CoresFeatureSchema();
  RichOracle oracle;
  std::map<std::string, std::set<double>> values;
  for (size_t i = 0; i < block.size(); ++i) {
    const StaticInstruction& s = block.statics[block.static_index[i]];
    const auto wanted = oracle.Next(s, block.address[i], block.taken[i] != 0);
    ASSERT_EQ(wanted.size(), kWidth - kFeatureCount);
    for (size_t f = 0; f < kWidth; ++f) {
      const std::string name(schema.features[f].name);
      const double want =
          f < kFeatureCount ? first[i * kFeatureCount + f] : wanted.at(name);
      ASSERT_EQ(found[i * kWidth + f], want) << name << " of instruction " << i;
      if (f >= kFeatureCount) values[name].insert(want);
    }
  }
  for (const auto& [name, set] : values) {
    if (set.size() > 1) changed->insert(name);
  }
}

TEST(RichFeaturesTest, EqualThePlainDefinitions) {
  std::set<std::string> changed;
  for (uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    ExpectOracle(RandomProgram(seed, 5000), &changed);
  }
  EXPECT_EQ(changed.size(), kWidth - kFeatureCount);  // none went untested
}

TEST(RichFeaturesTest, EqualThePlainDefinitionsOnARealTrace) {
  auto source = trace::OpenFileSource(std::string(PERFVEC_SOURCE_DIR) +
                                      "/deploy/samples/zlib_deflate.pvt");
  ASSERT_TRUE(source.ok());
  auto reader = trace::TraceReader::Open(*std::move(source));
  ASSERT_TRUE(reader.ok());
  trace::TraceChunk chunk;
  ASSERT_TRUE((*reader)->Next(&chunk).value());
  std::set<std::string> changed;
  ExpectOracle(
      Cut(chunk.block, 0, std::min<size_t>(chunk.block.size(), 12'000)),
      &changed);
  EXPECT_GT(changed.size(), 50u);
}

TEST(RichFeaturesTest, BlockBoundariesDoNotMatter) {
  const InstructionBlock whole = RandomProgram(7, 20'000);
  const std::vector<float> wanted = ExtractAll(whole);
  for (size_t step : {1, 13, 1000, 19'999}) {
    FeatureExtractor extractor(CoresFeatureSchema());
    std::vector<float> found(wanted.size());
    for (size_t begin = 0; begin < whole.size(); begin += step) {
      const size_t end = std::min(whole.size(), begin + step);
      ASSERT_TRUE(
          extractor
              .Extract(Cut(whole, begin, end), found.data() + begin * kWidth)
              .ok());
    }
    EXPECT_TRUE(found == wanted) << "blocks of " << step;
  }
}

TEST(RichFeaturesTest, SkippingAPrefixChangesNothingAfterIt) {
  const InstructionBlock whole = RandomProgram(8, 10'000);
  const std::vector<float> wanted = ExtractAll(whole);
  for (size_t skipped : {1, 4321}) {
    FeatureExtractor extractor(CoresFeatureSchema());
    ASSERT_TRUE(extractor.Skip(Cut(whole, 0, skipped)).ok());
    std::vector<float> found(wanted.size() - skipped * kWidth);
    ASSERT_TRUE(
        extractor.Extract(Cut(whole, skipped, whole.size()), found.data())
            .ok());
    EXPECT_TRUE(std::equal(found.begin(), found.end(),
                           wanted.begin() + skipped * kWidth));
  }
}

TEST(RichFeaturesTest, RefusesABadBlockAndKeepsItsState) {
  const InstructionBlock whole = RandomProgram(9, 4000);
  const std::vector<float> wanted = ExtractAll(whole);
  FeatureExtractor extractor(CoresFeatureSchema());
  std::vector<float> found(wanted.size());
  ASSERT_TRUE(extractor.Extract(Cut(whole, 0, 2000), found.data()).ok());
  std::vector<float> scratch(2000 * kWidth, -1);
  InstructionBlock bad = Cut(whole, 2000, 4000);
  bad.statics[3].sources[0].register_class = 7;
  bad.statics[3].source_count = 1;
  EXPECT_FALSE(extractor.Extract(bad, scratch.data()).ok());
  bad = Cut(whole, 2000, 4000);
  bad.static_index[1999] = 1 << 30;
  EXPECT_FALSE(extractor.Extract(bad, scratch.data()).ok());
  EXPECT_EQ(scratch, std::vector<float>(2000 * kWidth, -1));
  ASSERT_TRUE(
      extractor.Extract(Cut(whole, 2000, 4000), found.data() + 2000 * kWidth)
          .ok());
  EXPECT_TRUE(found == wanted);
}

TEST(RichFeaturesTest, TheBaselineLoopGivesTheSameBits) {
  const InstructionBlock whole = RandomProgram(10, 20'000);
  RichKernel kernel(/*cores=*/true);
  std::vector<float> found = ExtractAll(whole);
  const std::vector<float> wanted = found;
  for (size_t i = 0; i < whole.size(); ++i) {
    std::fill_n(found.begin() + i * kWidth + kFeatureCount,
                kWidth - kFeatureCount, -1.0f);
  }
  kernel.Prepare(whole);
  kernel.Run<true, kWidth>(whole, 0, whole.size(), found.data());
  EXPECT_TRUE(found == wanted);
}

TEST(RichFeaturesTest, FarInstructionsAreCapped) {
  // A register written, a branch and two lines touched, a million nops, and all
  // again.
  InstructionBlock block;
  StaticInstruction work;
  work.pc = 0x1000;
  work.flags = trace::kHasAddress;
  work.op_class = 48;
  work.access_size = 8;
  work.source_count = work.destination_count = 1;
  work.sources[0] = work.destinations[0] = {0, 1};
  StaticInstruction nop;
  nop.pc = 0x1004;
  block.statics = {work, nop};
  constexpr size_t kNops = 1'000'000;
  auto add = [&block](uint32_t index, uint64_t address) {
    block.static_index.push_back(index);
    block.address.push_back(address);
    block.taken.push_back(0);
  };
  add(0, 0x2000);
  for (size_t i = 0; i < kNops; ++i) add(1, 0);
  add(0, 0x2040);
  FeatureExtractor extractor(CoresFeatureSchema());
  ASSERT_TRUE(extractor.Skip(Cut(block, 0, kNops + 1)).ok());
  std::vector<float> last(kWidth);
  ASSERT_TRUE(
      extractor.Extract(Cut(block, kNops + 1, kNops + 2), last.data()).ok());
  EXPECT_EQ(last[kRichProducers], kMaxFarInstructions);
  EXPECT_EQ(last[kRichSinceExecuted], kMaxFarInstructions);
  EXPECT_EQ(last[kRichSinceLineBefore], kMaxFarInstructions);
  EXPECT_EQ(last[kRichStrideBytes], 64);
}

TEST(RichFeaturesTest, MemoryFollowsTheFootprintNotTheTrace) {
  const InstructionBlock whole = RandomProgram(11, 200'000);
  FeatureExtractor extractor(CoresFeatureSchema());
  ASSERT_TRUE(extractor.Skip(Cut(whole, 0, 100'000)).ok());
  ASSERT_TRUE(extractor.Skip(Cut(whole, 100'000, 200'000)).ok());
  // Fixed tables of about 12 MiB, and some thousand lines.
  EXPECT_LT(extractor.memory_bytes(), size_t{20} << 20);
}

TEST(RichFeaturesTest, TheSchemaNamesEveryPositionOnce) {
  const FeatureSchema& schema = RichFeatureSchema();
  ASSERT_EQ(schema.count(), kRichFeatureCount);
  std::set<std::string_view> names;
  for (const FeatureInfo& f : schema.features) names.insert(f.name);
  EXPECT_EQ(names.size(), schema.features.size());
  EXPECT_EQ(schema.features[kRichDataflowGrowth].name, "growth_dataflow");
  EXPECT_EQ(schema.features[kRichDataDistance].name, "data_stack_distance");
  EXPECT_EQ(schema.features[kRichSinceFarLoad].name,
            "instructions_since_far_load");
  EXPECT_EQ(schema.features[kRichLineOffset].name, "line_offset");
  EXPECT_EQ(FindFeatureSchema("perfvec-rich-v1"), &schema);
  EXPECT_EQ(FindFeatureSchema("perfvec-51-v1"), &PublishedFeatureSchema());
  EXPECT_EQ(FindFeatureSchema("perfvec-52-v1"), nullptr);
}

}  // namespace
}  // namespace perfvec::compute
