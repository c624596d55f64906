// What every Registry does, over each engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RegistryTest : public ::testing::TestWithParam<const char*> {
 protected:
  RegistryTest()
      : registry_(MakeRegistry(GetParam(), directory_.path(), clock_)) {}

  void SetUp() override {
    ASSERT_NE(registry_, nullptr);
    for (const char* id : {"trace-a", "trace-b", "trace-c"})
      ASSERT_TRUE(registry_->PutTrace(MakeTrace(id), "").ok());
    ASSERT_TRUE(registry_->CreateModel(MakeModel("m", "model-1"), {}).ok());
  }

  TemporaryDirectory directory_;
  FakeClock clock_;
  std::unique_ptr<Registry> registry_;
};

TEST_P(RegistryTest, JobRunsToItsVectorInOneStep) {
  auto created = registry_->CreateProgram(MakeProgram("lbm", "trace-a"),
                                          {MakeJob("model-1")});
  ASSERT_TRUE(created.ok()) << created.status();
  ASSERT_THAT(created->jobs, SizeIs(1));
  api::Job job = created->jobs[0];
  EXPECT_EQ(job.state(), api::JOB_STATE_QUEUED);
  EXPECT_EQ(job.trace_id(), "trace-a");
  job.set_state(api::JOB_STATE_RUNNING);
  auto running = registry_->UpdateJob(job);
  ASSERT_TRUE(running.ok()) << running.status();
  EXPECT_EQ(registry_->UpdateJob(job).status().code(),
            absl::StatusCode::kAborted);
  job = *running;
  for (uint32_t shard = 0; shard < job.shards(); ++shard) {
    job.set_shards_done(shard + 1);
    auto put = registry_->PutShard(job, MakeShard(shard));
    ASSERT_TRUE(put.ok()) << put.status();
    job = *put;
  }
  EXPECT_EQ(registry_->PutShard(job, MakeShard(0)).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(*registry_->ListShards(job.job_id()), SizeIs(4));
  auto finished = registry_->FinishJob(job, MakeVector(job));
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(finished->state(), api::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(*registry_->ListShards(job.job_id()), IsEmpty());
  EXPECT_THAT(*registry_->UnfinishedJobs(), IsEmpty());
  auto vector = registry_->GetProgramVector("lbm", 1, "model-1");
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_THAT(vector->values(), ElementsAre(0.5, 1.5, 2.5, 3.5));
  EXPECT_THAT(registry_->GetProgram("lbm")->vectors(), SizeIs(1));
  // Asked for again: the same job.
  api::Job again = MakeJob("model-1");
  again.set_program_name("lbm");
  EXPECT_EQ(registry_->CreateJob(again)->job_id(), job.job_id());
}

TEST_P(RegistryTest, UnknownNameIsAnsweredWithTheNearest) {
  for (const char* name : {"lbm", "lbm-s", "mcf"})
    ASSERT_TRUE(
        registry_->CreateProgram(MakeProgram(name, "trace-a"), {}).ok());
  const absl::Status status = registry_->GetProgram("lmb").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'lbm'"));
}

INSTANTIATE_TEST_SUITE_P(Engines, RegistryTest,
                         ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace perfvec::storage
