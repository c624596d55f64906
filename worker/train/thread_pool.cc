#include "worker/train/thread_pool.h"

namespace perfvec::train {

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stop_ = true;
  }
  begin_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::ForEach(int tasks, const std::function<void(int)>& run) {
  if (threads_.empty() || tasks <= 1) {
    for (int i = 0; i < tasks; ++i) run(i);
    return;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  run_ = &run;
  next_ = 0;
  tasks_ = unfinished_ = tasks;
  begin_.notify_all();
  TakeTasks(lock);
  end_.wait(lock, [this] { return unfinished_ == 0; });
  run_ = nullptr;
}

void ThreadPool::TakeTasks(std::unique_lock<std::mutex>& lock) {
  while (run_ != nullptr && next_ < tasks_) {
    const std::function<void(int)>& run = *run_;
    const int task = next_++;
    lock.unlock();
    run(task);
    lock.lock();
    if (--unfinished_ == 0) end_.notify_one();
  }
}

void ThreadPool::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    TakeTasks(lock);
    begin_.wait(
        lock, [this] { return stop_ || (run_ != nullptr && next_ < tasks_); });
  }
}

}  // namespace perfvec::train
