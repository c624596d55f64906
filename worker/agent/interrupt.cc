#include "worker/agent/interrupt.h"

#include <utility>

namespace perfvec::worker {

Interrupt::Interrupt(Interrupt* parent) {
  if (parent == nullptr) return;
  parent_scope_ = std::make_unique<Scope>(
      parent, [this, parent]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        Raise(parent->reason_);  // the parent's mutex is held
      });
}

void Interrupt::Raise(absl::Status reason) {
  absl::MutexLock lock(&mutex_);
  if (raised()) return;
  reason_ = std::move(reason);
  raised_.store(true, std::memory_order_release);
  for (const std::function<void()>& cancel : cancels_) cancel();
}

absl::Status Interrupt::reason() const {
  absl::MutexLock lock(&mutex_);
  return reason_;
}

bool Interrupt::WaitFor(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](std::atomic<bool>* raised) { return raised->load(); }, &raised_),
      duration);
}

Interrupt::Scope::Scope(Interrupt* interrupt, std::function<void()> cancel)
    : interrupt_(interrupt) {
  absl::MutexLock lock(&interrupt_->mutex_);
  position_ = interrupt_->cancels_.insert(interrupt_->cancels_.end(),
                                          std::move(cancel));
  if (interrupt_->raised()) (*position_)();
}

Interrupt::Scope::~Scope() {
  absl::MutexLock lock(&interrupt_->mutex_);
  interrupt_->cancels_.erase(position_);
}

}  // namespace perfvec::worker
