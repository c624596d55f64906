#include "worker/agent/trace_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/testing/processes.h"
#include "tests/worker/agent/test_data.h"

namespace perfvec::worker {
namespace {

using compute::ProgramVectorAccumulator;
using ::testing::HasSubstr;

constexpr uint32_t kSegment = 1024;
constexpr uint32_t kInstructions = 30 * kSegment + 333;

absl::Status GoOn(uint64_t) { return absl::OkStatus(); }

class TracePipelineTest : public ::testing::Test {
 protected:
  TracePipelineTest()
      : seed_(testing::TestSeed()),
        model_(TinyModel(seed_)),
        pvt_(RandomPvt(seed_, kInstructions, 3000)),
        back_end_(*compute::MakeCpuRepresenter(model_, {.threads = 1})) {}

  std::unique_ptr<TracePipeline> Open(std::string bytes) {
    auto pipeline = TracePipeline::Open(
        std::make_unique<trace::StringSource>(std::move(bytes), "t.pvt", 777),
        back_end_.get());
    EXPECT_TRUE(pipeline.ok()) << pipeline.status();
    return *std::move(pipeline);
  }

  const uint64_t seed_;
  const std::shared_ptr<const compute::FoundationModel> model_;
  const std::string pvt_;
  const std::unique_ptr<compute::Representer> back_end_;
};

TEST_F(TracePipelineTest, AnySplitOverAnyPipelinesGivesTheSameBits) {
  const ProgramVectorAccumulator whole = RepresentWhole(pvt_, model_);
  ASSERT_EQ(whole.instructions(), kInstructions);
  std::mt19937_64 random(seed_);
  for (int round = 0; round < 5; ++round) {
    // Every shard goes to one of three workers, which keep their pipelines.
    std::unique_ptr<TracePipeline> workers[3];
    ProgramVectorAccumulator sum(model_->id(), 8);
    for (uint64_t begin = 0, end; begin < kInstructions; begin = end) {
      end = std::min<uint64_t>(begin + kSegment * (1 + random() % 4),
                               kInstructions);
      auto& worker = workers[random() % 3];
      if (worker == nullptr || random() % 4 == 0) worker = Open(pvt_);
      ASSERT_TRUE(worker->CanRepresent(begin));
      auto shard = worker->Represent(begin, end, {}, GoOn);
      ASSERT_TRUE(shard.ok()) << shard.status();
      ASSERT_EQ(shard->whole.instructions(), end - begin);
      ASSERT_TRUE(sum.Merge(shard->whole).ok());
    }
    EXPECT_TRUE(sum == whole) << "round " << round;
  }
}

TEST_F(TracePipelineTest, CodeIsSummedByAddressAndFunction) {
  // Counts from the trace itself, by a reader of its own.
  auto reader =
      trace::TraceReader::Open(std::make_unique<trace::StringSource>(pvt_));
  std::map<uint64_t, uint64_t> counts;
  trace::TraceChunk chunk;
  while (*(*reader)->Next(&chunk)) {
    for (uint32_t i : chunk.block.static_index) {
      ++counts[chunk.block.statics[i].pc];
    }
  }
  ASSERT_GE(counts.size(), 8);
  RangeParts parts;
  parts.code = true;
  const uint64_t low = std::next(counts.begin(), 2)->first;
  const uint64_t high = std::next(counts.begin(), 6)->first;
  const uint64_t inside = std::next(counts.begin(), 4)->first;
  parts.addresses = {inside, counts.begin()->first};
  parts.functions = {{low, high}};
  std::vector<uint64_t> expected = {counts[inside], counts.begin()->second, 0,
                                    0};
  for (const auto& [pc, count] : counts) {
    if (pc == inside || pc == counts.begin()->first) continue;
    expected[pc >= low && pc < high ? 2 : 3] += count;
  }
  auto pipeline = Open(pvt_);
  std::vector<uint64_t> found(4);
  for (uint64_t begin = 0; begin < kInstructions; begin += 10 * kSegment) {
    auto sums = pipeline->Represent(
        begin, std::min<uint64_t>(kInstructions, begin + 10 * kSegment), parts,
        GoOn);
    ASSERT_TRUE(sums.ok()) << sums.status();
    ASSERT_EQ(sums->code.size(), 4);
    for (size_t i = 0; i < 4; ++i) found[i] += sums->code[i].instructions();
  }
  EXPECT_EQ(found, expected);
}

TEST_F(TracePipelineTest, WhatLiesBehindIsRefused) {
  auto pipeline = Open(pvt_);
  ASSERT_TRUE(pipeline->Represent(8 * kSegment, 9 * kSegment, {}, GoOn).ok());
  EXPECT_FALSE(pipeline->CanRepresent(0));
  EXPECT_TRUE(pipeline->CanRepresent(9 * kSegment));
  EXPECT_EQ(pipeline->Represent(0, kSegment, {}, GoOn).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(TracePipelineTest, TellsProgressAndStopsWhenTold) {
  auto pipeline = Open(pvt_);
  std::vector<uint64_t> told;
  ASSERT_TRUE(pipeline
                  ->Represent(10 * kSegment, kInstructions, {},
                              [&](uint64_t done) {
                                told.push_back(done);
                                return absl::OkStatus();
                              })
                  .ok());
  EXPECT_EQ(told.front(), 0);  // while the prefix is passed over
  EXPECT_EQ(told.back(), kInstructions - 10 * kSegment);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));

  pipeline = Open(pvt_);
  EXPECT_EQ(
      pipeline
          ->Represent(10 * kSegment, kInstructions, {},
                      [](uint64_t) { return absl::CancelledError("stop"); })
          .status(),
      absl::CancelledError("stop"));
}

TEST_F(TracePipelineTest, ATraceThatEndsBeforeTheShardIsNamed) {
  auto sum = Open(pvt_)->Represent(30 * kSegment, 32 * kSegment, {}, GoOn);
  EXPECT_EQ(sum.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(sum.status().message(), HasSubstr("31053"));
}

TEST_F(TracePipelineTest, ADamagedTraceIsTheReadersWord) {
  std::string damaged = pvt_;
  damaged[damaged.size() / 2] ^= 1;
  auto sum = Open(damaged)->Represent(0, kInstructions, {}, GoOn);
  EXPECT_EQ(sum.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(sum.status().message(), HasSubstr("t.pvt"));
}

// Fails with `status` after `good_bytes`.
class FailingSource : public trace::StringSource {
 public:
  FailingSource(const std::string& bytes, size_t good_bytes,
                absl::Status status)
      : StringSource(bytes.substr(0, good_bytes), "t.pvt"),
        status_(std::move(status)) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    absl::StatusOr<size_t> n = StringSource::Read(out, size);
    if (n.ok() && *n == 0) return status_;
    return n;
  }

 private:
  const absl::Status status_;
};

TEST_F(TracePipelineTest, ASourcesOwnErrorComesThroughWithItsCode) {
  for (size_t good_bytes :
       {size_t{0}, size_t{5}, size_t{30}, pvt_.size() / 2}) {
    auto pipeline = TracePipeline::Open(
        std::make_unique<FailingSource>(pvt_, good_bytes,
                                        absl::UnavailableError("gone")),
        back_end_.get());
    const absl::Status status =
        pipeline.ok()
            ? (*pipeline)->Represent(0, kInstructions, {}, GoOn).status()
            : pipeline.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(status.message(), HasSubstr("gone"));
  }
}

}  // namespace
}  // namespace perfvec::worker
