#include "client/backoff.h"

#include <algorithm>

namespace perfvec::client {

Backoff::Backoff(const RetryPolicy& policy, absl::Time deadline, uint64_t seed)
    : policy_(policy),
      deadline_(deadline),
      random_(seed),
      ceiling_(policy.initial_backoff) {}

std::optional<absl::Duration> Backoff::Next(const Attempt& attempt,
                                            Repeat repeat, absl::Time now) {
  const bool refused = absl::IsResourceExhausted(attempt.status) &&
                       attempt.retry_after.has_value();
  const bool lost =
      absl::IsUnavailable(attempt.status) && repeat == Repeat::kSafe;
  if (!refused && !lost) return std::nullopt;
  return NextPause(attempt.retry_after, now);
}

std::optional<absl::Duration> Backoff::NextPause(
    std::optional<absl::Duration> retry_after, absl::Time now) {
  if (++failures_ >= policy_.max_attempts) return std::nullopt;
  absl::Duration pause =
      ceiling_ * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
  ceiling_ = std::min(ceiling_ * policy_.multiplier, policy_.max_backoff);
  if (retry_after) pause = std::max(pause, *retry_after);
  if (now + pause >= deadline_) return std::nullopt;
  return pause;
}

void Backoff::Progressed() {
  failures_ = 0;
  ceiling_ = policy_.initial_backoff;
}

}  // namespace perfvec::client
