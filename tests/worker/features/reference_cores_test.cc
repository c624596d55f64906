#include "worker/features/reference_cores.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace perfvec::compute {
namespace {

constexpr int kRegisters = 40;

// Random instructions, with accesses far and near and all flags now and then.
std::vector<float> RunAll(ReferenceCores* cores, size_t count) {
  std::mt19937_64 random(5);
  cores->ReserveRegisters(kRegisters);
  std::vector<float> growth(count * ReferenceCores::kCores);
  for (size_t i = 0; i < count; ++i) {
    uint32_t registers[4];
    for (uint32_t& r : registers) r = random() % kRegisters;
    ReferenceCores::Step step;
    step.pc = 0x1000 + 4 * (random() % 5000);
    step.op_class = static_cast<int>(random() % 60);
    step.sources = registers;
    step.source_count = random() % 3;
    step.destinations = registers + 3;
    step.destination_count = random() % 2;
    if (random() % 2) {
      step.integer_destinations = step.destination_count;
    } else {
      step.vector_destinations = step.destination_count;
    }
    step.load = random() % 4 == 0;
    step.store = !step.load && random() % 6 == 0;
    step.serialize = random() % 300 == 0;
    step.non_speculative = random() % 300 == 0;
    step.exclusive = step.store && random() % 50 == 0;
    step.barrier = random() % 300 == 0;
    step.after_taken = random() % 8 == 0;
    step.target_changed = step.after_taken && random() % 8 == 0;
    for (bool& wrong : step.mispredicted) wrong = random() % 60 == 0;
    step.new_line = random() % 10 == 0;
    step.address = random() % 2 ? random() % (1 << 26) : random() % 4096;
    step.access_bytes = 1u << random() % 5;
    if (step.load && random() % 8 == 0 && i > 40) {
      step.forwarding = i - 1 - random() % 40;
    }
    auto distance = [&] { return 1 + random() % (random() % 8 ? 2 : 33); };
    step.fetch_set_64 = distance();
    step.fetch_set_1024 = distance();
    step.data_set_64 = distance();
    step.data_set_256 = distance();
    step.data_set_1024 = distance();
    cores->Run(step, growth.data() + i * ReferenceCores::kCores);
  }
  return growth;
}

TEST(ReferenceCoresTest, EveryInstructionSetGivesTheSameBits) {
  ReferenceCores baseline(ReferenceCores::Isa::kBaseline);
  const std::vector<float> wanted = RunAll(&baseline, 20'000);
  for (auto isa : {ReferenceCores::Isa::kAvx2, ReferenceCores::Isa::kAvx512}) {
    ReferenceCores cores(isa);
    EXPECT_TRUE(RunAll(&cores, 20'000) == wanted);
  }
}

TEST(ReferenceCoresTest, TakingTimesDownChangesNothing) {
  // Every 4096 instructions, against every few million.
  ReferenceCores often(ReferenceCores::Isa::kAvx512, 1);
  ReferenceCores seldom;
  EXPECT_TRUE(RunAll(&often, 100'000) == RunAll(&seldom, 100'000));
}

TEST(ReferenceCoresTest, LaterInstructionsTakeNoLongerForHavingWaited) {
  // Two hundred thousand dependent accesses to memory pass the point at which
  // times are taken down on every core; each costs what the one before did.
  ReferenceCores cores;
  cores.ReserveRegisters(1);
  const uint32_t zero = 0;
  std::vector<float> first, last(ReferenceCores::kCores);
  constexpr uint64_t kAccesses = 200'000, kRow = 1 << 20;
  for (uint64_t i = 0; i < kAccesses; ++i) {
    ReferenceCores::Step step;
    step.pc = 0x1000;
    step.op_class = 47;
    step.sources = step.destinations = &zero;
    step.source_count = step.destination_count = step.integer_destinations = 1;
    step.load = true;
    step.address = i * kRow;
    step.access_bytes = 8;
    step.data_set_64 = step.data_set_256 = step.data_set_1024 = 33;
    cores.Run(step, last.data());
    if (i == 8192) first = last;
  }
  for (int m = 0; m < ReferenceCores::kCores; ++m) {
    EXPECT_GT(last[m], 24 * 40) << m;  // cycles
    EXPECT_LT(last[m], 24 * 1000) << m;
    // Rows are a page each here, banks alternate.
    EXPECT_NEAR(last[m], first[m], first[m]) << m;
  }
}

}  // namespace
}  // namespace perfvec::compute
