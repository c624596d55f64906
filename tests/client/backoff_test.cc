#include "client/backoff.h"

#include <vector>

#include "gtest/gtest.h"

namespace perfvec::client {
namespace {

using absl::Milliseconds;

const absl::Time kNow = absl::UnixEpoch();

RetryPolicy Policy() {
  RetryPolicy policy;
  policy.max_attempts = 6;
  policy.initial_backoff = Milliseconds(100);
  policy.max_backoff = Milliseconds(500);
  return policy;
}

Attempt Failed(absl::StatusCode code,
               std::optional<absl::Duration> hint = std::nullopt) {
  return {absl::Status(code, "x"), hint};
}

TEST(BackoffTest, PausesGrowWithinTheirBounds) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Backoff backoff(Policy(), absl::InfiniteFuture(), seed);
    for (int ceiling_ms : {100, 200, 400, 500, 500}) {
      auto pause = backoff.Next(Failed(absl::StatusCode::kUnavailable),
                                Repeat::kSafe, kNow);
      ASSERT_TRUE(pause.has_value());
      EXPECT_GE(*pause, Milliseconds(ceiling_ms) / 2);
      EXPECT_LE(*pause, Milliseconds(ceiling_ms));
    }
    EXPECT_FALSE(
        backoff
            .Next(Failed(absl::StatusCode::kUnavailable), Repeat::kSafe, kNow)
            .has_value())
        << "six attempts have five pauses";
  }
}

TEST(BackoffTest, PausesDifferBetweenClients) {
  Backoff one(Policy(), absl::InfiniteFuture(), 1);
  Backoff two(Policy(), absl::InfiniteFuture(), 2);
  EXPECT_NE(one.NextPause(std::nullopt, kNow),
            two.NextPause(std::nullopt, kNow));
}

TEST(BackoffTest, OnlyWhatMayPassIsRepeated) {
  for (int code = 1; code <= 16; ++code) {
    SCOPED_TRACE(code);
    const auto c = static_cast<absl::StatusCode>(code);
    Backoff backoff(Policy(), absl::InfiniteFuture(), 1);
    EXPECT_EQ(backoff.Next(Failed(c), Repeat::kSafe, kNow).has_value(),
              c == absl::StatusCode::kUnavailable);
    EXPECT_FALSE(
        backoff.Next(Failed(c), Repeat::kOnlyIfRefused, kNow).has_value());
  }
}

TEST(BackoffTest, TheServersHintIsKept) {
  for (Repeat repeat : {Repeat::kSafe, Repeat::kOnlyIfRefused}) {
    Backoff backoff(Policy(), absl::InfiniteFuture(), 1);
    EXPECT_EQ(backoff.Next(Failed(absl::StatusCode::kResourceExhausted,
                                  absl::Seconds(7)),
                           repeat, kNow),
              absl::Seconds(7));
  }
}

TEST(BackoffTest, AHintShorterThanThePauseDoesNotShortenIt) {
  Backoff backoff(Policy(), absl::InfiniteFuture(), 1);
  EXPECT_GE(*backoff.Next(
                Failed(absl::StatusCode::kResourceExhausted, Milliseconds(1)),
                Repeat::kSafe, kNow),
            Milliseconds(50));
}

TEST(BackoffTest, NoPausePassesTheDeadline) {
  Backoff backoff(Policy(), kNow + Milliseconds(50), 1);
  EXPECT_FALSE(
      backoff.Next(Failed(absl::StatusCode::kUnavailable), Repeat::kSafe, kNow)
          .has_value());
}

TEST(BackoffTest, ProgressCountsAttemptsAnew) {
  Backoff backoff(Policy(), absl::InfiniteFuture(), 1);
  for (int i = 0; i < 20; ++i) {
    auto pause = backoff.NextPause(std::nullopt, kNow);
    ASSERT_TRUE(pause.has_value());
    EXPECT_LE(*pause, Milliseconds(100));
    backoff.Progressed();
  }
}

}  // namespace
}  // namespace perfvec::client
