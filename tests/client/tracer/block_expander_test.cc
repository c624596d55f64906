// The expander by hand-made events, as a plugin would send them.
#include "client/tracer/block_expander.h"

#include <sys/mman.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace perfvec::tracer {
namespace {

using ::testing::ElementsAre;

constexpr uint32_t kAdd = 0x8b020020;             // add x0, x1, x2
constexpr uint32_t kStorePair = 0xa9007c20;       // stp x0, xzr, [x1]
constexpr uint32_t kLoad = 0xf9400020;            // ldr x0, [x1]
constexpr uint32_t kBranch = 0x54000040;          // b.eq +8
constexpr uint32_t kLoadExclusive = 0xc85f7c20;   // ldxr x0, [x1]
constexpr uint32_t kStoreExclusive = 0xc8027c20;  // stxr w2, x0, [x1]
constexpr uint32_t kPrefetch = 0xf9800420;        // prfm pldl1keep, [x1, #8]
constexpr uint32_t kAddImmediate = 0x91004021;    // add x1, x1, #16

class BlockExpanderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ring = EventRing::Create();
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
    const size_t bytes = sizeof(perfvec_ring) + 8ull * PERFVEC_RING_WORDS;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                        ring_->fd(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    writer_ = static_cast<perfvec_ring*>(memory);
    ring_->set_alive([] { return false; });
  }

  void Put(uint64_t word) {
    auto* words = reinterpret_cast<uint64_t*>(writer_ + 1);
    words[writer_->cursor++] = word;
  }
  void Event(uint64_t kind, uint64_t value) {
    Put(kind << PERFVEC_VALUE_BITS | value);
  }
  void Translated(uint64_t number, uint64_t pc,
                  const std::vector<uint32_t>& words) {
    Event(PERFVEC_TRANSLATED, number);
    Put(pc);
    Put(words.size());
    for (size_t i = 0; i < words.size(); i += 2) {
      const uint64_t high = i + 1 < words.size() ? words[i + 1] : 0;
      Put(words[i] | high << 32);
    }
  }
  void Runs(uint64_t number) { Event(PERFVEC_BLOCK, number); }

  absl::Status Expand(RegionOptions region = {}) {
    BlockExpander expander(
        region,
        [this](trace::TraceChunk&& chunk) {
          const trace::InstructionBlock& block = chunk.block;
          for (size_t i = 0; i < block.size(); ++i) {
            const auto& s = block.statics[block.static_index[i]];
            pcs_.push_back(s.pc);
            flags_.push_back(s.flags);
            addresses_.push_back(block.address[i]);
            taken_.push_back(block.taken[i]);
          }
          return absl::OkStatus();
        },
        [this](uint64_t instruction, Slice) { marks_.push_back(instruction); });
    if (to_the_end_) expander.CountToTheEnd(vectors_.get());
    if (first_touch_) {
      expander.set_first_touch([](uint64_t) { return FirstTouch(); });
    }
    const absl::Status status = expander.Run(ring_.get());
    report_ = expander.report();
    position_ = expander.region().position();
    return status;
  }

  std::unique_ptr<EventRing> ring_;
  perfvec_ring* writer_ = nullptr;
  bool first_touch_ = false;
  bool to_the_end_ = false;
  std::unique_ptr<BlockVectorWriter> vectors_;
  uint64_t position_ = 0;
  ExpansionReport report_;
  std::vector<uint64_t> pcs_, addresses_, marks_;
  std::vector<uint32_t> flags_;
  std::vector<int> taken_;
};

TEST_F(BlockExpanderTest, WritesAddressesAndOutcomes) {
  Translated(1, 0x1000, {kStorePair, kBranch});
  Translated(2, 0x100c, {kLoad});
  Runs(1);
  Event(0, 0x5000);
  Event(0, 0x5008);  // the pair's second half: the first is enough
  Runs(2);
  Event(0, 0x6000);
  Event(PERFVEC_END, 0);
  ASSERT_TRUE(Expand().ok());
  EXPECT_TRUE(report_.ended);
  EXPECT_THAT(pcs_, ElementsAre(0x1000, 0x1000, 0x1000, 0x1004, 0x100c));
  EXPECT_THAT(addresses_, ElementsAre(0, 0x5000, 0x5008, 0, 0x6000));
  EXPECT_THAT(taken_, ElementsAre(0, 0, 0, 1, 0));
}

TEST_F(BlockExpanderTest, ABranchThatFallsThroughIsNotTaken) {
  Translated(1, 0x1000, {kBranch});
  Translated(2, 0x1004, {kAdd});
  Runs(1);
  Runs(2);
  ASSERT_TRUE(Expand().ok());
  EXPECT_FALSE(report_.ended);  // the writer died
  EXPECT_THAT(taken_, ElementsAre(0, 0));
}

TEST_F(BlockExpanderTest, ABlockThatAFaultEndedIsCutThere) {
  Translated(1, 0x1000, {kAdd, kLoad, kAdd});
  Translated(2, 0x2000, {kAdd});
  Runs(1);  // and no access
  Runs(2);
  ASSERT_TRUE(Expand().ok());
  EXPECT_THAT(pcs_, ElementsAre(0x1000, 0x2000));
  EXPECT_EQ(report_.cut_blocks, 1);
}

TEST_F(BlockExpanderTest, AFailedStoreExclusiveHasItsLoadsAddress) {
  Translated(1, 0x1000, {kLoadExclusive, kStoreExclusive});
  Runs(1);
  Event(0, 0x7000);
  Runs(1);
  Event(0, 0x7100);
  Event(1, 0x7100);
  ASSERT_TRUE(Expand().ok());
  EXPECT_THAT(addresses_, ElementsAre(0x7000, 0x7000, 0x7100, 0x7100));
}

TEST_F(BlockExpanderTest, RegistersTellAPrefetchsAddress) {
  Translated(1, 0x1000, {kAddImmediate, kPrefetch});
  Runs(1);
  Event(PERFVEC_REGISTERS, 0);
  for (uint64_t i = 0; i < PERFVEC_REGISTER_WORDS; ++i) Put(i * 0x1000);
  Runs(1);  // without registers
  ASSERT_TRUE(Expand().ok());
  EXPECT_THAT(addresses_, ElementsAre(0, 0x1018, 0, 0));
  EXPECT_EQ(report_.unknown_addresses, 1);
  EXPECT_EQ(flags_[3] & trace::kHasAddress, 0);
}

TEST_F(BlockExpanderTest, TheFirstTouchOfAPageFaults) {
  first_touch_ = true;
  Translated(1, 0x1000, {kLoad});
  Runs(1);
  Event(PERFVEC_REGISTERS, 0);
  for (uint64_t i = 0; i < PERFVEC_REGISTER_WORDS; ++i) Put(0);
  Event(0, 0x7ff8);
  Runs(1);
  Event(0, 0x7000);
  ASSERT_TRUE(Expand().ok());
  EXPECT_THAT(addresses_, ElementsAre(0, 0x7ff8, 0x7000));
  EXPECT_EQ(flags_[0], trace::kFault);
  EXPECT_EQ(flags_[1], trace::kHasAddress);
}

TEST_F(BlockExpanderTest, UnknownInstructionsAreCounted) {
  Translated(1, 0x1000, {0xd5380000, kAdd});  // MRS of MIDR_EL1
  Runs(1);
  Runs(1);
  ASSERT_TRUE(Expand().ok());
  EXPECT_EQ(report_.unknown_executions, 2);
  EXPECT_THAT(report_.unknown,
              ElementsAre(std::pair<const uint32_t, uint64_t>(0xd5380000, 2)));
}

TEST_F(BlockExpanderTest, RecordsTheRegionAskedFor) {
  Translated(1, 0x1000, {kAdd, kAdd, kAdd});
  Translated(2, 0x2000, {kAdd});
  for (int i = 0; i < 4; ++i) {
    Runs(1);
    Runs(2);
  }
  RegionOptions region;
  region.skip = 2;
  region.every = 4;
  region.take = 2;
  region.instructions = 5;
  ASSERT_TRUE(Expand(region).ok());
  EXPECT_THAT(pcs_, ElementsAre(0x1008, 0x2000, 0x1008, 0x2000, 0x1008));
  EXPECT_THAT(marks_, ElementsAre(0, 2, 4));
}

TEST_F(BlockExpanderTest, BeginsAndEndsAtCalls) {
  Translated(1, 0x1000, {kAdd});
  Translated(2, 0x2000, {kAdd});
  for (int i = 0; i < 4; ++i) {
    Runs(1);
    Runs(2);
  }
  RegionOptions region;
  region.from_pc = 0x2000;
  region.from_call = 2;
  region.to_pc = 0x2000;
  region.to_call = 2;  // counted from there
  ASSERT_TRUE(Expand(region).ok());
  EXPECT_THAT(pcs_, ElementsAre(0x2000, 0x1000));
}

TEST_F(BlockExpanderTest, NonsenseFromThePluginIsAnError) {
  Runs(3);
  EXPECT_EQ(Expand().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace perfvec::tracer
