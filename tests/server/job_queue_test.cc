#include "server/job_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class JobQueueTest : public ::testing::Test {
 protected:
  static JobQueueOptions Options() {
    JobQueueOptions options;
    options.max_jobs = 4;
    options.max_shards = 64;
    options.max_consecutive = 3;
    return options;
  }

  void SetUp() override { Reset(Options()); }
  void Reset(const JobQueueOptions& options) {
    queue_ = std::make_unique<JobQueue>(options, [this] { return now_; });
  }

  QueuedJob Job(const std::string& id, uint64_t instructions) {
    QueuedJob job;
    job.job_id = id;
    job.model_id = "model";
    job.instructions = instructions;
    job.shard_instructions = 100;
    job.create_time = now_;
    return job;
  }
  void Add(const std::string& id, uint64_t instructions) {
    ASSERT_TRUE(queue_->Add(Job(id, instructions)).ok());
  }
  std::optional<ShardLease> Lease(const std::string& worker,
                                  const std::string& preferred = "",
                                  uint32_t shard = 0) {
    LeaseQuery query;
    query.worker_id = worker;
    query.preferred_job_id = preferred;
    query.preferred_shard = shard;
    return queue_->Lease(query);
  }
  absl::Status Complete(const ShardLease& lease) {
    auto repeated = queue_->BeginComplete(
        lease, "model", lease.end_instruction - lease.begin_instruction);
    if (!repeated.ok()) return repeated.status();
    if (!*repeated) queue_->EndComplete(lease, true);
    return absl::OkStatus();
  }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  std::unique_ptr<JobQueue> queue_;
};

TEST_F(JobQueueTest, CutsAJobIntoShardsAndLeasesEachOnce) {
  Add("a", 250);
  std::set<uint32_t> shards;
  uint64_t last_token = 0, covered = 0;
  for (int i = 0; i < 3; ++i) {
    auto lease = Lease(absl::StrCat("w", i));
    ASSERT_TRUE(lease.has_value());
    EXPECT_GT(lease->token, last_token);
    last_token = lease->token;
    shards.insert(lease->shard);
    EXPECT_EQ(lease->begin_instruction, lease->shard * 100);
    covered += lease->end_instruction - lease->begin_instruction;
  }
  EXPECT_EQ(shards.size(), 3);
  EXPECT_EQ(covered, 250);
  EXPECT_FALSE(Lease("w9").has_value());
}

TEST_F(JobQueueTest, AnExpiredLeaseGoesToAnotherAndTheOldTokenIsRefused) {
  Add("a", 100);
  const ShardLease old = *Lease("slow");
  now_ += absl::Seconds(20);
  EXPECT_FALSE(*queue_->Renew(old, 10));
  now_ += absl::Seconds(20);
  EXPECT_TRUE(queue_->Expire().empty()) << "it was renewed";
  now_ += absl::Seconds(20);
  const std::vector<AttemptFailure> failures = queue_->Expire();
  ASSERT_EQ(failures.size(), 1);
  EXPECT_FALSE(failures[0].job_failed);
  EXPECT_THAT(failures[0].error, HasSubstr("slow"));
  EXPECT_FALSE(Lease("quick").has_value()) << "it is backing off";
  now_ += absl::Seconds(1);
  const auto next = Lease("quick");
  ASSERT_TRUE(next.has_value());
  EXPECT_GT(next->token, old.token);

  EXPECT_TRUE(absl::IsFailedPrecondition(Complete(old)));
  EXPECT_TRUE(absl::IsFailedPrecondition(queue_->Renew(old, 1).status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(queue_->Fail(old, "late", true).status()));
  EXPECT_TRUE(Complete(*next).ok());
}

TEST_F(JobQueueTest, ARepeatedCompletionUnderTheSameTokenIsNoError) {
  Add("a", 200);
  const ShardLease lease = *Lease("w");
  ASSERT_TRUE(Complete(lease).ok());
  auto repeated = queue_->BeginComplete(lease, "model", 100);
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_TRUE(*repeated);
  EXPECT_EQ(queue_->GetProgress("a")->shards_done, 1);
}

TEST_F(JobQueueTest, RefusesAnotherModelAndAWrongCount) {
  Add("a", 100);
  const ShardLease lease = *Lease("w");
  const absl::Status model =
      queue_->BeginComplete(lease, "other", 100).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(model));
  EXPECT_THAT(std::string(model.message()), HasSubstr("other"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      queue_->BeginComplete(lease, "model", 99).status()));
  EXPECT_TRUE(Complete(lease).ok()) << "the lease is still good";
}

TEST_F(JobQueueTest, BacksOffLongerEachTimeAndGivesUpOnPoison) {
  Add("a", 100);
  absl::Duration expected = absl::Seconds(1);
  for (int attempt = 1; attempt <= 5; ++attempt) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_value()) << attempt;
    const auto failure = queue_->Fail(*lease, "boom", false);
    ASSERT_TRUE(failure.ok());
    EXPECT_EQ(failure->job_failed, attempt == 5);
    if (attempt == 5) {
      EXPECT_THAT(failure->error, HasSubstr("failed 5 times"));
      EXPECT_THAT(failure->error, HasSubstr("boom"));
      break;
    }
    now_ += expected - absl::Milliseconds(1);
    EXPECT_FALSE(Lease("w").has_value()) << attempt;
    now_ += absl::Milliseconds(1);
    expected *= 2;
  }
  EXPECT_FALSE(queue_->GetProgress("a").has_value());
}

TEST_F(JobQueueTest, APermanentFailureEndsTheJobAtOnce) {
  Add("a", 200);
  const ShardLease one = *Lease("w1"), two = *Lease("w2");
  EXPECT_TRUE(queue_->Fail(one, "corrupt trace", true)->job_failed);
  // The other worker hears of it at its next heartbeat.
  EXPECT_TRUE(queue_->HasCancelledLeases());
  EXPECT_TRUE(*queue_->Renew(two, 5));
  EXPECT_FALSE(queue_->HasCancelledLeases());
}

TEST_F(JobQueueTest, AReleasedShardIsNoFailedAttempt) {
  Add("a", 100);
  for (int i = 0; i < 20; ++i) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_value()) << i;
    ASSERT_TRUE(queue_->Release(*lease).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(Complete(*lease)));
  }
}

TEST_F(JobQueueTest, ACancelledLeaseLastsUntilTheWorkerKnowsOrItExpires) {
  Add("a", 200);
  const ShardLease one = *Lease("w1");
  ASSERT_TRUE(Lease("w2").has_value());
  queue_->Cancel("a");
  EXPECT_FALSE(Lease("w3").has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(Complete(one)));
  EXPECT_TRUE(queue_->HasCancelledLeases());
  now_ += absl::Seconds(31);
  EXPECT_TRUE(queue_->Expire().empty());
  EXPECT_FALSE(queue_->HasCancelledLeases());
}

TEST_F(JobQueueTest, ASmallJobDoesNotWaitForALargeOne) {
  Add("large", 2000);
  now_ += absl::Seconds(1);
  const ShardLease one = *Lease("w1"), two = *Lease("w2");
  ASSERT_EQ(one.job_id, "large");
  ASSERT_EQ(two.job_id, "large");
  Add("small", 100);
  EXPECT_EQ(Lease("w3")->job_id, "small");
  // Every job has its turn with a single worker, too.
  ASSERT_TRUE(Complete(one).ok());
  ASSERT_TRUE(Complete(two).ok());
  Add("large2", 2000);
  now_ += absl::Seconds(1);
  std::map<std::string, int> served;
  for (int i = 0; i < 10; ++i) {
    const auto lease = Lease("solo");
    ++served[lease->job_id];
    ASSERT_TRUE(Complete(*lease).ok());
  }
  EXPECT_GE(served["large"], 4);
  EXPECT_GE(served["large2"], 4);
}

TEST_F(JobQueueTest, AWorkerKeepsItsTraceForSomeShardsThenOthersHaveTheirTurn) {
  Add("a", 2000);
  ShardLease lease = *Lease("w");
  Add("b", 2000);
  std::vector<std::string> order;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Complete(lease).ok());
    lease = *Lease("w", lease.job_id, lease.shard + 1);
    order.push_back(absl::StrCat(lease.job_id, lease.shard));
  }
  EXPECT_EQ(order, (std::vector<std::string>{"a1", "a2", "b0", "b1"}));
}

TEST_F(JobQueueTest, ThePreferredShardOrTheNextFreeOneAfterIt) {
  Add("a", 500);
  ASSERT_EQ(Lease("w1")->shard, 0);
  ASSERT_EQ(Lease("w2", "a", 1)->shard, 1);
  EXPECT_EQ(Lease("w1", "a", 1)->shard, 2) << "1 is taken";
  EXPECT_EQ(Lease("w1", "a", 9)->shard, 3) << "no such shard: from the start";
}

TEST_F(JobQueueTest, LeasesOnlyModelsTheWorkerHolds) {
  Add("a", 100);
  LeaseQuery query;
  query.worker_id = "w";
  query.model_ids = {"other"};
  EXPECT_FALSE(queue_->Lease(query).has_value());
  query.model_ids.push_back("model");
  EXPECT_TRUE(queue_->Lease(query).has_value());
}

TEST_F(JobQueueTest, RefusesPastItsBounds) {
  for (int i = 0; i < 4; ++i) Add(absl::StrCat("j", i), 100);
  EXPECT_TRUE(absl::IsResourceExhausted(queue_->Add(Job("j4", 100))));
  EXPECT_TRUE(queue_->Add(Job("j3", 100)).ok()) << "it is there already";
  queue_->Remove("j0");
  EXPECT_TRUE(absl::IsResourceExhausted(queue_->Add(Job("j4", 7000))))
      << "too many shards";
  queue_->Restore(Job("j4", 7000));
  EXPECT_EQ(queue_->GetProgress("j4")->shards_done, 0);
}

TEST_F(JobQueueTest, ARestartedQueueGoesOnBehindTheDoneShards) {
  JobQueueOptions options = Options();
  options.first_token = 1000;
  Reset(options);
  QueuedJob job = Job("a", 250);
  job.done_shards = {{0, 7}, {2, 9}};
  queue_->Restore(job);
  EXPECT_EQ(queue_->GetProgress("a")->instructions_done, 150);
  const auto lease = Lease("w");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->shard, 1);
  EXPECT_GE(lease->token, 1000);
  EXPECT_FALSE(Lease("w").has_value());
  // The answer to the completion of shard 2 was lost in the crash.
  ShardLease before;
  before.job_id = "a";
  before.shard = 2;
  before.token = 9;
  EXPECT_TRUE(*queue_->BeginComplete(before, "model", 50));
  before.token = 8;  // somebody else's, late
  EXPECT_TRUE(absl::IsFailedPrecondition(
      queue_->BeginComplete(before, "model", 50).status()));
}

TEST_F(JobQueueTest, AResultThatCouldNotBeStoredKeepsItsLease) {
  Add("a", 100);
  const ShardLease lease = *Lease("w");
  ASSERT_FALSE(*queue_->BeginComplete(lease, "model", 100));
  EXPECT_TRUE(
      absl::IsAborted(queue_->BeginComplete(lease, "model", 100).status()));
  now_ += absl::Minutes(5);
  EXPECT_TRUE(queue_->Expire().empty()) << "it is being stored";
  queue_->EndComplete(lease, false);
  EXPECT_TRUE(Complete(lease).ok());
}

// Whatever workers do, each shard is completed exactly once, and no two live
// leases are for one shard.
TEST_F(JobQueueTest, RandomSchedulesCompleteEveryShardOnce) {
  const uint32_t seed = std::random_device()();
  RecordProperty("seed", absl::StrCat(seed));
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  JobQueueOptions options = Options();
  options.max_attempts = 200;
  options.max_backoff = absl::Seconds(2);
  Reset(options);
  Add("a", 1250);
  Add("b", 100);
  Add("c", 990);
  std::map<std::pair<std::string, uint32_t>, int> completed;
  std::vector<ShardLease> held;
  for (int step = 0; step < 200'000 && completed.size() < 24; ++step) {
    now_ += absl::Milliseconds(random() % 400);
    queue_->Expire();
    if (auto lease = Lease(absl::StrCat("w", random() % 5))) {
      held.push_back(*lease);
    }
    if (held.empty()) continue;
    const size_t i = random() % held.size();
    switch (random() % 8) {
      case 0:
        (void)queue_->Fail(held[i], "x", false);
        break;
      case 1:
        (void)queue_->Release(held[i]);
        break;
      case 2:
        (void)queue_->Renew(held[i], random() % 100);
        continue;
      case 3:
        if (queue_
                ->BeginComplete(
                    held[i], "model",
                    held[i].end_instruction - held[i].begin_instruction)
                .value_or(true) == false) {
          queue_->EndComplete(held[i], true);
          ++completed[{held[i].job_id, held[i].shard}];
        }
        break;
      case 4:
        break;  // the worker dies
      default:
        continue;
    }
    held.erase(held.begin() + i);
  }
  EXPECT_EQ(completed.size(), 24);
  for (const auto& [shard, times] : completed) {
    EXPECT_EQ(times, 1) << shard.first << " " << shard.second;
  }
}

}  // namespace
}  // namespace perfvec::server
