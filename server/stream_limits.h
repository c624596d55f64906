// Bounds on long streams: how many at once, and for how long one may last when
// its client sets no deadline.
//
// Any thread. Tick() cancels the calls whose time is up; a call must be removed
// before its context goes (in OnDone).
//
//   absl::Status room = limits.Add(call, deadline);   // RESOURCE_EXHAUSTED
//   ... limits.Remove(call);
#ifndef PERFVEC_SERVER_STREAM_LIMITS_H_
#define PERFVEC_SERVER_STREAM_LIMITS_H_

#include <grpcpp/grpcpp.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::server {

class StreamLimits {
 public:
  explicit StreamLimits(size_t max_streams) : max_streams_(max_streams) {}

  absl::Status Add(grpc::CallbackServerContext* call, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    if (open_.size() >= max_streams_) {
      return absl::ResourceExhaustedError(
          absl::StrCat(max_streams_, " streams are open; retry later"));
    }
    open_[call] = deadline;
    return absl::OkStatus();
  }
  void Remove(grpc::CallbackServerContext* call) {
    absl::MutexLock lock(&mutex_);
    open_.erase(call);
  }
  void Tick(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    for (const auto& [call, deadline] : open_) {
      if (deadline <= now) call->TryCancel();
    }
  }
  size_t open() const {
    absl::MutexLock lock(&mutex_);
    return open_.size();
  }

 private:
  const size_t max_streams_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<grpc::CallbackServerContext*, absl::Time> open_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_STREAM_LIMITS_H_
