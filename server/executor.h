// A bounded pool of threads for what may block: disk, the registry, hashing.
//
// Callback handlers never block; they submit a task and finish the call from
// it. Submit() refuses with RESOURCE_EXHAUSTED once `max_queued` tasks wait, so
// that overload is answered at once. A stream that was admitted goes on with
// SubmitAdmitted(), which is never refused: each stream has at most one task
// in the pool, and the number of streams has a bound of its own.
//
// Any thread may call every method, tasks of the pool included (but not Stop).
// Stop() runs what is queued, then joins; later submissions are UNAVAILABLE.
//
//   Executor pool({.threads = 4, .max_queued = 1024});
//   absl::Status admitted = pool.Submit([reactor] { ...; reactor->Finish(s);
//   }); if (!admitted.ok()) reactor->Finish(ToGrpcStatus(admitted));
#ifndef PERFVEC_SERVER_EXECUTOR_H_
#define PERFVEC_SERVER_EXECUTOR_H_

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::server {

class Executor {
 public:
  struct Options {
    int threads = 4;
    size_t max_queued = 1024;
    std::string name = "pool";  // for messages
  };
  using Task = absl::AnyInvocable<void()>;

  explicit Executor(Options options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] absl::Status Submit(Task task);
  // Runs the task on the caller's thread if the pool has been stopped, so that
  // an admitted call is always finished.
  void SubmitAdmitted(Task task);
  void Stop();

  size_t queued() const;
  const Options& options() const { return options_; }

 private:
  void Work();

  const Options options_;
  mutable absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_EXECUTOR_H_
