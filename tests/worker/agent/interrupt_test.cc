#include "worker/agent/interrupt.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "worker/agent/backoff.h"

namespace perfvec::worker {
namespace {

TEST(InterruptTest, TheFirstReasonStays) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.raised());
  EXPECT_TRUE(interrupt.reason().ok());
  interrupt.Raise(absl::CancelledError("first"));
  interrupt.Raise(absl::AbortedError("second"));
  EXPECT_TRUE(interrupt.raised());
  EXPECT_EQ(interrupt.reason(), absl::CancelledError("first"));
  EXPECT_TRUE(interrupt.WaitFor(absl::InfiniteDuration()));
}

TEST(InterruptTest, EndsAWait) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.WaitFor(absl::Milliseconds(1)));
  absl::Notification waiting;
  std::thread waiter([&] {
    waiting.Notify();
    EXPECT_TRUE(interrupt.WaitFor(absl::InfiniteDuration()));
  });
  waiting.WaitForNotification();
  interrupt.Raise(absl::CancelledError("now"));
  waiter.join();
}

TEST(InterruptTest, CancelsWhatIsInScopeOnce) {
  Interrupt interrupt;
  int before = 0, during = 0, after = 0;
  {
    Interrupt::Scope scope(&interrupt, [&] { ++before; });
  }
  Interrupt::Scope scope(&interrupt, [&] { ++during; });
  interrupt.Raise(absl::CancelledError("x"));
  interrupt.Raise(absl::CancelledError("x"));
  Interrupt::Scope late(&interrupt, [&] { ++after; });
  EXPECT_EQ(before, 0);
  EXPECT_EQ(during, 1);
  EXPECT_EQ(after, 1);
}

TEST(InterruptTest, PassesFromParentToChildOnly) {
  Interrupt parent;
  Interrupt first(&parent), second(&parent);
  first.Raise(absl::AbortedError("own"));
  EXPECT_FALSE(parent.raised());
  EXPECT_FALSE(second.raised());
  parent.Raise(absl::CancelledError("all"));
  EXPECT_EQ(first.reason(), absl::AbortedError("own"));
  EXPECT_EQ(second.reason(), absl::CancelledError("all"));
  Interrupt late(&parent);
  EXPECT_EQ(late.reason(), absl::CancelledError("all"));
}

TEST(BackoffTest, DoublesUpToTheLongestAndVaries) {
  Backoff backoff({absl::Milliseconds(100), absl::Seconds(5)}, 1);
  absl::Duration full = absl::Milliseconds(100);
  std::vector<double> shares;
  for (int i = 0; i < 20; ++i) {
    const absl::Duration wait = backoff.Next();
    EXPECT_GE(wait, full / 2);
    EXPECT_LE(wait, full);
    shares.push_back(absl::FDivDuration(wait, full));
    full = std::min(2 * full, absl::Seconds(5));
  }
  EXPECT_NE(shares[18], shares[19]);
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

}  // namespace
}  // namespace perfvec::worker
