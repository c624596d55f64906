// When to repeat a failed call, and after which pause.
//
// One object for one call, one thread; no clock of its own.
//
//   Backoff backoff(policy, deadline, seed);
//   while (!(attempt = Try()).status.ok()) {
//     auto pause = backoff.Next(attempt, Repeat::kSafe, absl::Now());
//     if (!pause) return attempt.status;
//     sleep(*pause);
//   }
#ifndef PERFVEC_CLIENT_BACKOFF_H_
#define PERFVEC_CLIENT_BACKOFF_H_

#include <cstdint>
#include <optional>
#include <random>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client.h"

namespace perfvec::client {

// What repeating a call can do.
enum class Repeat {
  kSafe,           // the same as doing it once
  kOnlyIfRefused,  // harm, unless the server refused it before it acted
};

// How one attempt ended.
struct Attempt {
  absl::Status status;
  // The server's hint when to come back, from the trailing metadata.
  std::optional<absl::Duration> retry_after;
};

class Backoff {
 public:
  Backoff(const RetryPolicy& policy, absl::Time deadline, uint64_t seed);

  // The pause before the next attempt; nullopt: give up, because the failure
  // is final, the attempts are used up, or the pause would pass the deadline.
  // The k-th pause is drawn from [½, 1]·initial·multiplier^k, bounded by
  // max_backoff, and is never shorter than the server's hint.
  std::optional<absl::Duration> Next(const Attempt& attempt, Repeat repeat,
                                     absl::Time now);

  // The same for a failure that the caller knows to be worth repeating.
  std::optional<absl::Duration> NextPause(
      std::optional<absl::Duration> retry_after, absl::Time now);

  // The work has come further: attempts and pauses are counted anew.
  void Progressed();

 private:
  const RetryPolicy policy_;
  const absl::Time deadline_;
  std::mt19937_64 random_;
  int failures_ = 0;
  absl::Duration ceiling_;
};

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_BACKOFF_H_
