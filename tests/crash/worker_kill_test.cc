// Workers killed at any instant: one visible result, the same to the last bit.

#include <string>

#include "tests/crash/system.h"

namespace perfvec::crash {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kInstructions = 150 * 1024 + 500;

class WorkerKillTest : public SystemTest {};

TEST_F(WorkerKillTest, OneWorkerKilledAgainAndAgainGivesTheSameBits) {
  StartServer();
  const std::string path = WriteTrace("a.pvt", kInstructions);
  const api::Job job = Submit("a", path);
  ASSERT_GT(job.shards(), 20);
  for (int kill = 0; kill < 4; ++kill) {
    StartWorker("w");
    // Each life completes a shard at least, and dies somewhere in the next.
    const uint32_t done = client().GetJob(job.job_id())->shards_done();
    AwaitShards(job, done + 1 + random_() % 4);
    RandomMoment(workers_["w"].get(), absl::Milliseconds(200));
    KillWorker("w");
  }
  StartWorker("w");
  const api::Job ended = AwaitEnd(job);
  EXPECT_EQ(ended.state(), api::JOB_STATE_SUCCEEDED) << ended.error();
  EXPECT_EQ(ended.instructions_done(), kInstructions);
  ExpectVector("a", path);
}

TEST_F(WorkerKillTest, SeveralWorkersOnOneTraceSomeKilledGiveTheSameBits) {
  StartServer();
  const std::string path = WriteTrace("a.pvt", kInstructions);
  const api::Job job = Submit("a", path);
  for (const char* id : {"w0", "w1", "w2"}) StartWorker(id);
  for (int kill = 0; kill < 3; ++kill) {
    const std::string victim = "w" + std::to_string(random_() % 3);
    const uint32_t done = client().GetJob(job.job_id())->shards_done();
    AwaitShards(job, done + 1 + random_() % 3);
    RandomMoment(workers_[victim].get(), absl::Milliseconds(200));
    KillWorker(victim);
    StartWorker(victim);
  }
  const api::Job ended = AwaitEnd(job);
  EXPECT_EQ(ended.state(), api::JOB_STATE_SUCCEEDED) << ended.error();
  ExpectVector("a", path);
}

TEST_F(WorkerKillTest, AStoppedWorkerGivesItsShardBackAndCountsNoFailure) {
  StartServer({{"--lease-seconds", "3600"}});
  const std::string path = WriteTrace("a.pvt", kInstructions);
  const api::Job job = Submit("a", path);
  for (int stop = 0; stop < 3; ++stop) {
    StartWorker("w", {{"--drain-seconds", "0"}});
    const uint32_t done = client().GetJob(job.job_id())->shards_done();
    AwaitShards(job, done + 1);
    Stop(&workers_["w"]);
  }
  StartWorker("w");
  // With leases of an hour, a shard that was not given back would be missed.
  const api::Job ended = AwaitEnd(job);
  EXPECT_EQ(ended.state(), api::JOB_STATE_SUCCEEDED) << ended.error();
  EXPECT_EQ(ended.failed_attempts(), 0);
  ExpectVector("a", path);
}

TEST_F(WorkerKillTest, AWorkerWithAnotherModelFetchesTheRightOne) {
  StartServer();
  auto other = compute::FoundationModel::Load(dir_ / "model");
  ASSERT_TRUE(other.ok());
  auto tensors = other->tensors();
  tensors.begin()->second.values[0] += 1;
  other = compute::FoundationModel::Create(other->manifest(), tensors);
  ASSERT_TRUE(other.ok()) << other.status();
  ASSERT_NE(other->id(), model_->id());
  ASSERT_TRUE(other->Save(dir_ / "other").ok());
  StartWorker("w", {{"--model", dir_ / "other"}});
  const std::string path = WriteTrace("a.pvt", 10'000);
  EXPECT_EQ(AwaitEnd(Submit("a", path)).state(), api::JOB_STATE_SUCCEEDED);
  ExpectVector("a", path);
}

TEST_F(WorkerKillTest, AWrongModelDirectoryEndsTheWorkerWithAClearWord) {
  for (const std::string& wrong : {dir_ / "nothing", dir_.path()}) {
    auto result = testing::RunCommand(
        {{testing::BinaryPath("worker/perfvec-worker"), "run", "--server",
          "127.0.0.1:1", "--model", wrong}},
        kSoon);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit_code, 1);
    EXPECT_THAT(result->err,
                HasSubstr("'" + wrong + "' is not a foundation model"));
  }
}

}  // namespace
}  // namespace perfvec::crash
