// How long to wait before the next attempt: doubling from `initial` to
// `longest`, each wait drawn from the upper half of its range, so that workers
// that lost the server together do not come back together.
//
// One thread at a time.
//
//   Backoff backoff({}, seed);
//   while (IsTransient(status = Try())) {
//     if (interrupt->WaitFor(backoff.Next())) return interrupt->reason();
//   }
#ifndef PERFVEC_WORKER_AGENT_BACKOFF_H_
#define PERFVEC_WORKER_AGENT_BACKOFF_H_

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace perfvec::worker {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(100);
  absl::Duration longest = absl::Seconds(5);
};

class Backoff {
 public:
  Backoff(const BackoffOptions& options, uint64_t seed)
      : options_(options), random_(seed), next_(options.initial) {}

  absl::Duration Next() {
    const double share = std::uniform_real_distribution<>(0.5, 1)(random_);
    const absl::Duration wait = next_ * share;
    next_ = std::min(2 * next_, options_.longest);
    return wait;
  }
  void Reset() { next_ = options_.initial; }

 private:
  const BackoffOptions options_;
  std::mt19937_64 random_;
  absl::Duration next_;
};

// The same call may succeed later: the server is away, restarts, is full, or
// did not answer in time. A connection that breaks under a call may also show
// as UNKNOWN or CANCELLED.
inline bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status) || absl::IsUnknown(status) ||
         absl::IsCancelled(status);
}

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_BACKOFF_H_
