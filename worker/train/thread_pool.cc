#include "worker/train/thread_pool.h"

namespace perfvec::train {

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::ForEach(int tasks, const std::function<void(int)>& run) {
  if (threads_.empty() || tasks <= 1) {
    for (int i = 0; i < tasks; ++i) run(i);
    return;
  }
  absl::MutexLock lock(&mutex_);
  run_ = &run;
  next_ = 0;
  tasks_ = unfinished_ = tasks;
  TakeTasks();
  mutex_.Await(absl::Condition(this, &ThreadPool::Done));
  run_ = nullptr;
}

void ThreadPool::TakeTasks() {
  while (run_ != nullptr && next_ < tasks_) {
    const std::function<void(int)>& run = *run_;
    const int task = next_++;
    mutex_.Unlock();
    run(task);
    mutex_.Lock();
    --unfinished_;
  }
}

void ThreadPool::Work() {
  absl::MutexLock lock(&mutex_);
  while (!stop_) {
    TakeTasks();
    mutex_.Await(absl::Condition(this, &ThreadPool::Wanted));
  }
}

}  // namespace perfvec::train
