#include "server/executor.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"

namespace perfvec::server {
namespace {

TEST(ExecutorTest, RefusesPastItsBoundAndRunsTheRest) {
  Executor pool({.threads = 1, .max_queued = 2, .name = "test"});
  absl::Notification started, go_on;
  std::atomic<int> done{0};
  ASSERT_TRUE(pool.Submit([&] {
                    started.Notify();
                    go_on.WaitForNotification();
                    ++done;
                  })
                  .ok());
  started.WaitForNotification();
  ASSERT_TRUE(pool.Submit([&] { ++done; }).ok());
  ASSERT_TRUE(pool.Submit([&] { ++done; }).ok());
  const absl::Status refused = pool.Submit([&] { ++done; });
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  pool.SubmitAdmitted([&] { ++done; });  // part of a call that is under way
  go_on.Notify();
  pool.Stop();
  EXPECT_EQ(done, 4);
}

TEST(ExecutorTest, AfterStopAdmittedCallsStillEnd) {
  Executor pool({.threads = 1});
  pool.Stop();
  EXPECT_EQ(pool.Submit([] {}).code(), absl::StatusCode::kUnavailable);
  bool ran = false;
  pool.SubmitAdmitted([&] { ran = true; });
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace perfvec::server
