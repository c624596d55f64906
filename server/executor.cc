#include "server/executor.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::server {

Executor::Executor(Options options) : options_(std::move(options)) {
  threads_.reserve(options_.threads);
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

Executor::~Executor() { Stop(); }

absl::Status Executor::Submit(Task task) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (tasks_.size() >= options_.max_queued) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server's ", options_.name, " queue is full (",
                     options_.max_queued, " calls wait); retry later"));
  }
  tasks_.push_back(std::move(task));
  return absl::OkStatus();
}

void Executor::SubmitAdmitted(Task task) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      tasks_.push_back(std::move(task));
      return;
    }
  }
  task();
}

void Executor::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

size_t Executor::queued() const {
  absl::MutexLock lock(&mutex_);
  return tasks_.size();
}

void Executor::Work() {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !tasks_.empty();
  };
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&ready));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace perfvec::server
