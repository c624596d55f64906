#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/testing/processes.h"
#include "tests/worker/agent/scripted_server.h"
#include "tests/worker/agent/test_data.h"

namespace perfvec::worker {
namespace {

using compute::ProgramVectorAccumulator;
using ::testing::HasSubstr;

constexpr uint32_t kSegment = 1024;
constexpr uint32_t kShard = 4 * kSegment;
constexpr uint32_t kInstructions = 5 * kShard + 77;
constexpr absl::Duration kSoon = absl::Seconds(60);

// An agent with its model given, and a server that hands out the leases in
// leases_ and keeps what it is told.
class AgentTest : public ::testing::Test {
 protected:
  AgentTest() : model_(TinyModel(1)), pvt_(RandomPvt(1, kInstructions, 3000)) {
    EXPECT_TRUE(model_->Save(model_dir_.path()).ok());
    server_.lease_shard = [this](grpc::ServerContext*, const auto& request,
                                 auto* response) {
      absl::MutexLock lock(&mutex_);
      asked_.push_back(request);
      const auto something = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return !leases_.empty();
      };
      // A short wait for work instead of the one asked for.
      if (mutex_.AwaitWithTimeout(absl::Condition(&something),
                                  absl::Milliseconds(20))) {
        *response->mutable_lease() = leases_.front();
        leases_.pop_front();
      }
      return grpc::Status::OK;
    };
    server_.renew_lease = [this](grpc::ServerContext*, const auto&,
                                 auto* response) {
      absl::MutexLock lock(&mutex_);
      response->set_cancelled(cancelled_);
      return grpc::Status::OK;
    };
    server_.complete_shard = [this](grpc::ServerContext*, const auto& request,
                                    auto*) {
      absl::MutexLock lock(&mutex_);
      completed_.push_back(request);
      if (complete_errors_.empty()) return grpc::Status::OK;
      const grpc::Status error = complete_errors_.front();
      complete_errors_.pop_front();
      return error;
    };
    server_.fail_shard = [this](grpc::ServerContext*, const auto& request,
                                auto*) {
      absl::MutexLock lock(&mutex_);
      failed_.push_back(request);
      return grpc::Status::OK;
    };
    server_.read_trace = [this](grpc::ServerContext* context,
                                const auto& request, auto* writer) {
      std::string pvt;
      uint64_t end;
      {
        absl::MutexLock lock(&mutex_);
        ++streams_;
        pvt = pvt_;
        end = std::min<uint64_t>(pvt.size(), sent_at_most_);
      }
      v1::ReadTraceResponse message;
      for (uint64_t at = request.offset(); at < end; at += 10'000) {
        message.set_data(pvt.substr(at, std::min<uint64_t>(10'000, end - at)));
        if (!writer->Write(message)) break;
      }
      if (end < pvt.size()) {
        if (!stuck_.HasBeenNotified()) stuck_.Notify();
        while (!context->IsCancelled()) std::this_thread::yield();
      }
      return grpc::Status::OK;
    };
  }

  ~AgentTest() override {
    if (!thread_.joinable()) return;  // else a check failed before
    agent_->Abandon();
    thread_.join();
  }

  v1::Lease MakeLease(uint32_t shard) {
    v1::Lease lease;
    lease.set_job_id("job-1");
    lease.set_shard(shard);
    lease.set_fencing_token(100 + shard);
    lease.mutable_duration()->set_nanos(90'000'000);
    lease.set_trace_id("trace-1");
    lease.set_trace_size_bytes(pvt_.size());
    lease.set_model_id(model_->id());
    lease.set_begin_instruction(uint64_t{shard} * kShard);
    lease.set_end_instruction(
        std::min<uint64_t>(uint64_t{shard + 1} * kShard, kInstructions));
    return lease;
  }

  void Start() {
    AgentOptions options;
    options.server = server_.connection();
    options.models.directories = {model_dir_.path()};
    options.back_end.device = "cpu";
    options.back_end.threads = 1;
    options.worker_id = "w1";
    auto agent = Agent::Create(std::move(options));
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
    thread_ = std::thread([this] { result_ = agent_->Run(); });
  }
  absl::Status Join() {
    thread_.join();
    return result_;
  }
  // Waits until `condition`, read under the lock, holds.
  template <typename F>
  bool Wait(const F& condition) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), kSoon);
  }

  const std::shared_ptr<const compute::FoundationModel> model_;
  testing::TempDir model_dir_;
  absl::Mutex mutex_;
  std::string pvt_;
  std::deque<v1::Lease> leases_;
  std::deque<grpc::Status> complete_errors_;
  bool cancelled_ = false;
  int streams_ = 0;
  uint64_t sent_at_most_ = UINT64_MAX;
  absl::Notification stuck_;  // a stream has sent all it will
  std::vector<v1::LeaseShardRequest> asked_;
  std::vector<v1::CompleteShardRequest> completed_;
  std::vector<v1::FailShardRequest> failed_;
  ScriptedServer server_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
  absl::Status result_;
};

TEST_F(AgentTest, FollowingShardsComeOutOfOneStream) {
  for (uint32_t shard = 0; shard < 6; ++shard) {
    leases_.push_back(MakeLease(shard));
  }
  Start();
  ASSERT_TRUE(Wait([this] { return completed_.size() == 6; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  ProgramVectorAccumulator sum(model_->id(), 8);
  for (uint32_t shard = 0; shard < 6; ++shard) {
    EXPECT_EQ(completed_[shard].shard(), shard);
    EXPECT_EQ(completed_[shard].fencing_token(), 100 + shard);
    EXPECT_EQ(completed_[shard].worker_id(), "w1");
    EXPECT_EQ(completed_[shard].model_id(), model_->id());
    auto part =
        ProgramVectorAccumulator::Parse(completed_[shard].accumulator());
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(completed_[shard].instructions(), part->instructions());
    ASSERT_TRUE(sum.Merge(*part).ok());
  }
  EXPECT_TRUE(sum == RepresentWhole(pvt_, model_));
  EXPECT_EQ(streams_, 1);
  EXPECT_EQ(asked_[0].preferred_job_id(), "");
  EXPECT_EQ(asked_[3].preferred_job_id(), "job-1");
  EXPECT_EQ(asked_[3].preferred_shard(), 3);
  EXPECT_TRUE(failed_.empty());
}

TEST_F(AgentTest, ACompletionIsRepeatedUntilTheAnswerIsDefinite) {
  complete_errors_ = {
      grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting"),
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "disk full"),
      grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "slow")};
  leases_ = {MakeLease(0)};
  Start();
  ASSERT_TRUE(Wait([this] { return completed_.size() == 4; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  for (const auto& request : completed_) {
    EXPECT_EQ(request.SerializeAsString(), completed_[0].SerializeAsString());
  }
  EXPECT_TRUE(failed_.empty());
}

TEST_F(AgentTest, AResultThatComesTooLateIsDropped) {
  complete_errors_ = {
      grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "token 200 now")};
  leases_ = {MakeLease(0), MakeLease(1)};
  Start();
  ASSERT_TRUE(Wait([this] { return completed_.size() == 2; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(failed_.empty());
}

TEST_F(AgentTest, ACancelledJobIsDroppedInTheMiddleAndTheNextOneTaken) {
  sent_at_most_ = pvt_.size() / 2;
  leases_ = {MakeLease(5)};
  Start();
  ASSERT_TRUE(stuck_.WaitForNotificationWithTimeout(kSoon));
  const auto asked_twice = [this] { return asked_.size() >= 2; };
  {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(asked_twice());
    cancelled_ = true;
  }
  ASSERT_TRUE(Wait(asked_twice));
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = false;
    sent_at_most_ = UINT64_MAX;
    leases_ = {MakeLease(0)};
  }
  ASSERT_TRUE(Wait([this] { return completed_.size() == 1; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  EXPECT_EQ(completed_[0].shard(), 0);
  EXPECT_TRUE(failed_.empty());
}

TEST_F(AgentTest, ADamagedTraceFailsForGood) {
  pvt_[pvt_.size() / 2] ^= 4;
  leases_ = {MakeLease(5)};
  Start();
  ASSERT_TRUE(Wait([this] { return failed_.size() == 1; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  EXPECT_TRUE(failed_[0].permanent());
  EXPECT_FALSE(failed_[0].released());
  EXPECT_EQ(failed_[0].fencing_token(), 105);
  EXPECT_THAT(failed_[0].error(), HasSubstr("trace trace-1"));
  EXPECT_THAT(failed_[0].error(), HasSubstr("byte"));
}

TEST_F(AgentTest, AModelThatIsNotToBeHadFailsForNow) {
  const std::string other = TinyModel(2)->id();
  server_.get_model = [](grpc::ServerContext*, const auto& request, auto*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND,
                        "no model " + request.model());
  };
  leases_ = {MakeLease(0)};
  leases_[0].set_model_id(other);
  Start();
  ASSERT_TRUE(Wait([this] { return failed_.size() == 1; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  EXPECT_FALSE(failed_[0].permanent());
  EXPECT_FALSE(failed_[0].released());
  EXPECT_THAT(failed_[0].error(), HasSubstr("no model " + other));
}

TEST_F(AgentTest, AbandonGivesTheShardBack) {
  sent_at_most_ = pvt_.size() / 2;
  leases_ = {MakeLease(5)};
  Start();
  ASSERT_TRUE(stuck_.WaitForNotificationWithTimeout(kSoon));
  agent_->Stop();  // the shard in hand goes on
  EXPECT_TRUE(failed_.empty());
  agent_->Abandon();
  EXPECT_TRUE(Join().ok());
  ASSERT_EQ(failed_.size(), 1);
  EXPECT_TRUE(failed_[0].released());
  EXPECT_FALSE(failed_[0].permanent());
}

TEST_F(AgentTest, StopFinishesTheShardInHand) {
  complete_errors_ = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "away"),
                      grpc::Status(grpc::StatusCode::UNAVAILABLE, "away")};
  leases_ = {MakeLease(0), MakeLease(1)};
  Start();
  ASSERT_TRUE(Wait([this] { return completed_.size() >= 1; }));
  agent_->Stop();
  EXPECT_TRUE(Join().ok());
  EXPECT_EQ(completed_.size(), 3);
  EXPECT_EQ(completed_[2].shard(), 0);
  EXPECT_EQ(leases_.size(), 1);
}

TEST_F(AgentTest, ALeaseGrantedWhileStoppingIsGivenBack) {
  absl::Notification asked, go;
  server_.lease_shard = [&](grpc::ServerContext*, const auto&, auto* response) {
    asked.Notify();
    go.WaitForNotification();
    *response->mutable_lease() = MakeLease(0);
    return grpc::Status::OK;
  };
  Start();
  ASSERT_TRUE(asked.WaitForNotificationWithTimeout(kSoon));
  agent_->Abandon();
  go.Notify();
  EXPECT_TRUE(Join().ok());
  ASSERT_EQ(failed_.size(), 1);
  EXPECT_TRUE(failed_[0].released());
  EXPECT_TRUE(completed_.empty());
}

TEST_F(AgentTest, AServerThatRefusesWorkersEndsTheRun) {
  server_.lease_shard = [](grpc::ServerContext*, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no workers here");
  };
  Start();
  const absl::Status status = Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("no workers here"));
}

TEST_F(AgentTest, AWrongModelDirectoryIsNamedAtTheStart) {
  AgentOptions options;
  options.worker_id = "w1";
  options.models.directories = {"/no/such/model"};
  EXPECT_THAT(Agent::Create(options).status().message(),
              HasSubstr("'/no/such/model' is not a foundation model"));
}

}  // namespace
}  // namespace perfvec::worker
