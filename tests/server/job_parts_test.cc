#include "server/job_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perfvec::server {
namespace {

using compute::ProgramVectorAccumulator;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kModelId(64, 'a');

v1::Model SmallModel(uint32_t width = 2) {
  v1::Model model;
  model.set_model_id(kModelId);
  model.set_width(width);
  model.set_segment_instructions(100);
  return model;
}

storage::v1::TraceRecord Record(uint64_t instructions) {
  storage::v1::TraceRecord record;
  record.mutable_trace()->set_trace_id("t");
  record.mutable_trace()->set_instructions(instructions);
  record.mutable_code()->add_addresses(0x40);
  auto* function = record.mutable_code()->add_functions();
  function->set_begin(0x20);
  function->set_end(0x80);
  function->set_name("f");
  return record;
}

v1::Job DraftOf(const storage::v1::TraceRecord& record) {
  v1::Job job;
  job.set_instructions(record.trace().instructions());
  job.set_shard_instructions(1000);
  return job;
}

absl::StatusOr<uint64_t> PlannedInterval(uint64_t instructions,
                                         const v1::PartOptions& options) {
  const auto record = Record(instructions);
  v1::Job job = DraftOf(record);
  const absl::Status status = PlanParts(record, SmallModel(), options, &job);
  if (!status.ok()) return status;
  return job.interval_instructions();
}

// Sums of `per_instruction` in both elements.
ProgramVectorAccumulator Sum(uint64_t instructions, double per_instruction) {
  ProgramVectorAccumulator sum(kModelId, 2);
  const std::vector<double> values(2, instructions * per_instruction);
  EXPECT_TRUE(sum.AddSegment(values.data(), instructions).ok());
  return sum;
}

void Add(google::protobuf::RepeatedPtrField<worker::v1::PartSum>* to,
         uint32_t part, const ProgramVectorAccumulator& sum) {
  auto* added = to->Add();
  added->set_part(part);
  added->set_accumulator(sum.Serialize());
}

TEST(JobPartsTest, TheServerChoosesAndPeopleMay) {
  v1::PartOptions options;
  EXPECT_EQ(*PlannedInterval(900, options), 0);  // would be one
  EXPECT_EQ(*PlannedInterval(5000, options), 1000);
  EXPECT_EQ(*PlannedInterval(6'400'001, options), 100'100);
  options.set_interval_instructions(0);
  EXPECT_EQ(*PlannedInterval(5000, options), 0);
  options.set_interval_instructions(101);
  EXPECT_EQ(*PlannedInterval(5000, options), 200);
  options.set_interval_instructions(UINT64_MAX);
  EXPECT_EQ(*PlannedInterval(5000, options), 5000);
  options.set_interval_instructions(1);
  EXPECT_EQ(*PlannedInterval(51'200, options), 100);
  const absl::Status status = PlannedInterval(51'201, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("513; expected at most 512: "
                                          "intervals of 200"));
}

TEST(JobPartsTest, WhatCannotBeKeptIsRefused) {
  v1::PartOptions by_address;
  by_address.set_by_address(true);
  auto record = Record(5000);
  v1::Job job = DraftOf(record);
  EXPECT_TRUE(PlanParts(record, SmallModel(), by_address, &job).ok());
  EXPECT_TRUE(job.by_address());
  record.clear_code();
  EXPECT_EQ(PlanParts(record, SmallModel(), by_address, &job).code(),
            absl::StatusCode::kFailedPrecondition);
  record = Record(5000);
  EXPECT_EQ(PlanParts(record, SmallModel(1 << 17), by_address, &job).code(),
            absl::StatusCode::kFailedPrecondition);
  record.mutable_trace()->set_whole_instructions(100'000);
  for (double weight : {0.4, 0.4}) {
    auto* slice = record.mutable_trace()->add_slices();
    slice->set_begin_instruction(record.trace().slices_size() * 1000);
    slice->set_weight(weight);
  }
  EXPECT_EQ(PlanParts(record, SmallModel(), by_address, &job).code(),
            absl::StatusCode::kFailedPrecondition);
  const absl::Status status = PlanParts(record, SmallModel(), {}, &job);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("add up to 0.8"));
  record.mutable_trace()->mutable_slices(1)->set_weight(0.6);
  EXPECT_TRUE(PlanParts(record, SmallModel(), {}, &job).ok());
  // A slice that begins where the trace ends is not there.
  record.mutable_trace()->mutable_slices(1)->set_begin_instruction(5000);
  EXPECT_THAT(PlanParts(record, SmallModel(), {}, &job).message(),
              HasSubstr("has no instructions"));
  while (record.trace().slices_size() < 600)
    record.mutable_trace()->add_slices();
  EXPECT_THAT(PlanParts(record, SmallModel(), {}, &job).message(),
              HasSubstr("at most 512"));
}

class ShardPartsTest : public ::testing::Test {
 protected:
  // Two shards of 1000 and 500 instructions, intervals of 600: a shard's end
  // lies within the second.
  ShardPartsTest() {
    const auto record = Record(1500);
    v1::Job job = DraftOf(record);
    job.set_interval_instructions(600);
    job.set_by_address(true);
    parts_ = JobParts::Of(job, record);
    lease_.set_begin_instruction(0);
    lease_.set_end_instruction(1000);
    parts_->AddTo(&lease_);
    Add(request_.mutable_intervals(), 0, Sum(600, 0.5));
    Add(request_.mutable_intervals(), 1, Sum(400, 0.25));
    Add(request_.mutable_code(), 0, Sum(300, 0.4));
    Add(request_.mutable_code(), 2, Sum(700, 0.4));
    whole_ = Sum(600, 0.5);
    EXPECT_TRUE(whole_.Merge(Sum(400, 0.25)).ok());
  }
  absl::Status Check() const {
    return parts_->Check({"j", 0, 1}, request_, whole_);
  }

  std::shared_ptr<const JobParts> parts_;
  worker::v1::Lease lease_;
  worker::v1::CompleteShardRequest request_;
  ProgramVectorAccumulator whole_{kModelId, 2};
};

TEST_F(ShardPartsTest, ALeaseTellsWhatIsWantedOfItsRange) {
  EXPECT_TRUE(lease_.with_intervals());
  EXPECT_THAT(lease_.interval_begins(), ElementsAre(600));
  EXPECT_THAT(lease_.code().addresses(), ElementsAre(0x40));
  EXPECT_THAT(lease_.code().function_ends(), ElementsAre(0x80));
  worker::v1::Lease second;
  second.set_begin_instruction(1000);
  second.set_end_instruction(1500);
  parts_->AddTo(&second);
  EXPECT_THAT(second.interval_begins(), ElementsAre(1200));
}

TEST_F(ShardPartsTest, ShardsMergeToTheProgramsParts) {
  ASSERT_TRUE(Check().ok()) << Check();
  storage::v1::ShardRecord first, second;
  *first.mutable_intervals() = request_.intervals();
  *first.mutable_code() = request_.code();
  second.set_shard(1);
  Add(second.mutable_intervals(), 0, Sum(200, 1));
  Add(second.mutable_intervals(), 1, Sum(300, 0.5));
  Add(second.mutable_code(), 1, Sum(500, 0.7));
  ASSERT_TRUE(whole_.Merge(Sum(200, 1)).ok());
  ASSERT_TRUE(whole_.Merge(Sum(300, 0.5)).ok());
  auto made = parts_->Merge({second, first}, whole_);
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_TRUE(made->has_parts);
  EXPECT_EQ(made->vector.instructions(), 1500);
  const auto& intervals = made->parts.intervals();
  ASSERT_EQ(intervals.size(), 3);
  EXPECT_EQ(intervals[1].begin_instruction(), 600);
  EXPECT_EQ(intervals[1].instructions(), 600);
  EXPECT_DOUBLE_EQ(intervals[1].values(0), 300);
  double sum = 0;
  for (const auto& part : intervals) sum += part.scale() * part.values(1);
  EXPECT_EQ(sum, made->vector.values(1));
  ASSERT_EQ(made->parts.code_size(), 3);
  EXPECT_EQ(made->parts.code(0).address(), 0x40);
  EXPECT_EQ(made->parts.code(0).function(), "f");
  EXPECT_EQ(made->parts.code(1).function(), "f");
  EXPECT_EQ(made->parts.code(1).address(), 0);
  EXPECT_EQ(made->parts.code(2).function(), "");
  EXPECT_EQ(made->parts.code(2).instructions(), 700);
}

TEST_F(ShardPartsTest, AShardThatIsNotWhatWasAskedForIsRefused) {
  using Request = worker::v1::CompleteShardRequest;
  const std::vector<std::function<void(Request&)>> faults = {
      [](Request& r) { r.clear_intervals(); },
      [](Request& r) { r.mutable_intervals()->RemoveLast(); },
      [](Request& r) { r.mutable_intervals()->SwapElements(0, 1); },
      [](Request& r) { r.mutable_intervals(0)->set_part(1); },
      [](Request& r) { r.mutable_intervals(0)->set_accumulator("PVAC"); },
      [](Request& r) {
        r.mutable_intervals(0)->set_accumulator(Sum(600, 0.6).Serialize());
      },
      [](Request& r) { r.clear_code(); },
      [](Request& r) { r.mutable_code(1)->set_part(3); },
      [](Request& r) { r.mutable_code()->SwapElements(0, 1); },
      [](Request& r) { r.mutable_code(0)->clear_accumulator(); },
      [](Request& r) { *r.add_code() = r.code(1); },
  };
  for (size_t i = 0; i < faults.size(); ++i) {
    const Request good = request_;
    faults[i](request_);
    EXPECT_EQ(Check().code(), absl::StatusCode::kInvalidArgument) << i;
    request_ = good;
  }
  EXPECT_TRUE(Check().ok());
}

TEST(JobPartsTest, WeightedSlicesStandForTheWhole) {
  auto record = Record(300);
  v1::Trace* trace = record.mutable_trace();
  trace->set_whole_instructions(10'000);
  const double weights[] = {0, 0.25, 0.75};
  for (int i = 0; i < 3; ++i) {
    v1::TraceSlice* slice = trace->add_slices();
    slice->set_begin_instruction(50 + 50 * i);
    slice->set_weight(weights[i]);
  }
  v1::Job job = DraftOf(record);
  ASSERT_TRUE(PlanParts(record, SmallModel(), {}, &job).ok());
  const auto parts = JobParts::Of(job, record);
  worker::v1::Lease lease;
  lease.set_end_instruction(300);
  parts->AddTo(&lease);
  EXPECT_THAT(lease.interval_begins(), ElementsAre(50, 100, 150));
  storage::v1::ShardRecord shard;
  ProgramVectorAccumulator whole(kModelId, 2);
  const std::pair<uint64_t, double> sums[] = {
      {50, 1}, {50, 1}, {50, 0.2}, {150, 0.6}};
  for (uint32_t i = 0; i < 4; ++i) {
    const auto sum = Sum(sums[i].first, sums[i].second);
    Add(shard.mutable_intervals(), i, sum);
    ASSERT_TRUE(whole.Merge(sum).ok());
  }
  auto made = parts->Merge({shard}, whole);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->parts.weighted());
  EXPECT_EQ(made->vector.instructions(), 10'000);
  EXPECT_NEAR(made->vector.values(0), 10'000 * (0.25 * 0.2 + 0.75 * 0.6), 1e-9);
  EXPECT_EQ(made->vector.sampling_factors_size(), 2);
  EXPECT_EQ(made->parts.intervals(1).scale(), 0);
  EXPECT_DOUBLE_EQ(made->parts.intervals(2).scale(), 50);
  EXPECT_DOUBLE_EQ(made->parts.intervals(3).scale(), 50);
}

}  // namespace
}  // namespace perfvec::server
