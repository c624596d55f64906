// A request to stop, seen by everything one piece of work waits for.
//
// A computation looks at raised(), a wait for time uses WaitFor, and a wait for
// the server registers how to cancel itself (Scope). An Interrupt with a parent
// is raised with it. Raised once, it stays so; the first reason counts.
//
// Any thread. A parent outlives its children, an Interrupt its Scopes.
//
//   Interrupt work(&agent_stops);
//   grpc::ClientContext context;
//   Interrupt::Scope scope(&work, [&] { context.TryCancel(); });
//   ... another thread: work.Raise(absl::CancelledError("job cancelled"));
#ifndef PERFVEC_WORKER_AGENT_INTERRUPT_H_
#define PERFVEC_WORKER_AGENT_INTERRUPT_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::worker {

class Interrupt {
 public:
  explicit Interrupt(Interrupt* parent = nullptr);
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // `reason` is an error.
  void Raise(absl::Status reason);
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  absl::Status reason() const;  // OK as long as it is not raised
  // Returns true at once when raised, false after `duration`.
  bool WaitFor(absl::Duration duration);

  // While it lives, Raise calls `cancel` (at once if already raised). `cancel`
  // must not block and not touch this Interrupt; once the destructor has
  // returned it is not running any more.
  class Scope {
   public:
    Scope(Interrupt* interrupt, std::function<void()> cancel);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interrupt* const interrupt_;
    std::list<std::function<void()>>::iterator position_;
  };

 private:
  std::atomic<bool> raised_{false};
  mutable absl::Mutex mutex_;
  absl::Status reason_ ABSL_GUARDED_BY(mutex_);
  std::list<std::function<void()>> cancels_ ABSL_GUARDED_BY(mutex_);
  // Last: gone before anything it could call into.
  std::unique_ptr<Scope> parent_scope_;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_INTERRUPT_H_
