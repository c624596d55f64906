#include "worker/agent/lease_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "tests/worker/agent/scripted_server.h"

namespace perfvec::worker {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Seconds(20);

v1::Lease ShortLease() {
  v1::Lease lease;
  lease.set_job_id("job-1");
  lease.set_shard(3);
  lease.set_fencing_token(42);
  lease.mutable_duration()->set_nanos(60'000'000);
  return lease;
}

TEST(LeaseKeeperTest, RenewsAgainAndAgainWithTheProgress) {
  absl::Notification told_progress;
  std::atomic<int> renewals{0};
  ScriptedServer server;
  server.renew_lease = [&](grpc::ServerContext*, const auto& request, auto*) {
    EXPECT_EQ(request.worker_id(), "w1");
    EXPECT_EQ(request.job_id(), "job-1");
    EXPECT_EQ(request.shard(), 3);
    EXPECT_EQ(request.fencing_token(), 42);
    if (++renewals > 3 && request.instructions_done() == 777 &&
        !told_progress.HasBeenNotified()) {
      told_progress.Notify();
    }
    return grpc::Status::OK;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt shard;
  LeaseKeeper keeper(&connection, "w1", ShortLease(), &shard);
  keeper.SetDone(777);
  EXPECT_TRUE(told_progress.WaitForNotificationWithTimeout(kSoon));
  EXPECT_FALSE(shard.raised());
}

TEST(LeaseKeeperTest, ACancelledJobStopsTheShard) {
  ScriptedServer server;
  server.renew_lease = [](grpc::ServerContext*, const auto&, auto* response) {
    response->set_cancelled(true);
    return grpc::Status::OK;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt shard;
  LeaseKeeper keeper(&connection, "w1", ShortLease(), &shard);
  ASSERT_TRUE(shard.WaitFor(kSoon));
  EXPECT_EQ(shard.reason().code(), absl::StatusCode::kCancelled);
}

TEST(LeaseKeeperTest, AStaleTokenStopsTheShard) {
  ScriptedServer server;
  server.renew_lease = [](grpc::ServerContext*, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "token 43 now");
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt shard;
  LeaseKeeper keeper(&connection, "w1", ShortLease(), &shard);
  ASSERT_TRUE(shard.WaitFor(kSoon));
  EXPECT_EQ(shard.reason().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(shard.reason().message(), HasSubstr("token 43 now"));
}

TEST(LeaseKeeperTest, AServerThatIsAwayDoesNotStopTheShard) {
  absl::Notification back;
  std::atomic<int> calls{0};
  ScriptedServer server;
  server.renew_lease = [&](grpc::ServerContext*, const auto&, auto*) {
    if (++calls < 5) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
    }
    if (calls == 5) back.Notify();
    return grpc::Status::OK;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt shard;
  LeaseKeeper keeper(&connection, "w1", ShortLease(), &shard);
  EXPECT_TRUE(back.WaitForNotificationWithTimeout(kSoon));
  EXPECT_FALSE(shard.raised());
}

TEST(LeaseKeeperTest, EndsAtOnceWhileACallWaits) {
  absl::Notification called;
  ScriptedServer server;
  server.renew_lease = [&](grpc::ServerContext* context, const auto&, auto*) {
    called.Notify();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt shard;
  {
    LeaseKeeper keeper(&connection, "w1", ShortLease(), &shard);
    ASSERT_TRUE(called.WaitForNotificationWithTimeout(kSoon));
  }
  EXPECT_FALSE(shard.raised());
}

}  // namespace
}  // namespace perfvec::worker
