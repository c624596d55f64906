// A few threads that share the tasks of one call at a time: the caller's own
// and threads - 1 that sleep between calls. Which thread runs a task is left
// open, so results are the same for any number when tasks write to different
// places.
//
//   ThreadPool pool(2);
//   pool.ForEach(16, [&](int task) { ... });   // returns when all are done
//
// ForEach: one caller at a time, not from inside a task.
#ifndef PERFVEC_WORKER_TRAIN_THREAD_POOL_H_
#define PERFVEC_WORKER_TRAIN_THREAD_POOL_H_

#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::train {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(threads_.size()) + 1; }
  void ForEach(int tasks, const std::function<void(int)>& run);

 private:
  void Work();
  // Takes tasks until none is left; lets go of the mutex while one runs.
  void TakeTasks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Wanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stop_ || (run_ != nullptr && next_ < tasks_);
  }
  bool Done() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return unfinished_ == 0;
  }

  absl::Mutex mutex_;
  // Null between calls.
  const std::function<void(int)>* run_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int next_ ABSL_GUARDED_BY(mutex_) = 0;
  int tasks_ ABSL_GUARDED_BY(mutex_) = 0;
  int unfinished_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_THREAD_POOL_H_
