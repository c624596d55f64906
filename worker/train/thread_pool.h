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

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

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
  // Takes tasks until none is left; `lock` is held before and after.
  void TakeTasks(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(int)>* run_ = nullptr;  // null between calls
  int next_ = 0, tasks_ = 0, unfinished_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_THREAD_POOL_H_
