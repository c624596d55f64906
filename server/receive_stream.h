// A client stream whose messages are worked off on the bulk pool, in order,
// while the next ones arrive.
//
// One task of the pool at a time handles what has come; at most
// kMaxQueuedBytes wait for it, then reading pauses. Derived classes implement
// Handle (each message), End (the client has sent all: what the call returns)
// and Cut (it left before: keep what can be kept), all on the pool and never at
// once. Finished exactly once, and never while a task uses the stream; whoever
// ends early with an error stops reading.
//
//   class Upload : public ReceiveStream<WriteUploadRequest> { ... };
//   return (new Upload(context, call))->Start();
#ifndef PERFVEC_SERVER_RECEIVE_STREAM_H_
#define PERFVEC_SERVER_RECEIVE_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "proto/log.h"
#include "server/call.h"
#include "server/executor.h"
#include "server/service_context.h"
#include "server/stream_limits.h"

namespace perfvec::server {

inline constexpr size_t kMaxQueuedBytes = 8 << 20;

template <typename Request>
class ReceiveStream : public grpc::ServerReadReactor<Request> {
 public:
  ReceiveStream(const ServiceContext& context,
                grpc::CallbackServerContext* call)
      : bulk_(context.bulk), limits_(context.streams), call_(call) {}

  ReceiveStream* Start() {
    absl::Status admitted =
        limits_->Add(call_, CallDeadline(*call_, kMaxStreamTime));
    absl::MutexLock lock(&mutex_);
    if (!admitted.ok()) {
      status_ = admitted;
      finished_ = true;
      this->Finish(WithRetryHint(call_, status_));
    } else {
      Read();
    }
    return this;
  }

  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!ok) {
      ended_ = true;
    } else {
      queued_bytes_ += incoming_->ByteSizeLong();
      queue_.push_back(std::move(incoming_));
    }
    Step();
  }
  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    Step();
  }
  void OnDone() override {
    limits_->Remove(call_);
    { absl::MutexLock lock(&mutex_); }
    delete this;
  }

 protected:
  ~ReceiveStream() override = default;
  virtual absl::Status Handle(Request& request) = 0;
  virtual absl::Status End() = 0;
  virtual void Cut() = 0;

 private:
  void Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    reading_ = true;
    incoming_ = std::make_unique<Request>();
    this->StartRead(incoming_.get());
  }

  void Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_) return;
    if (!reading_ && !ended_ && !cancelled_ && !over_ &&
        queued_bytes_ < kMaxQueuedBytes) {
      Read();
    }
    if (working_) return;
    if (!over_ && (!queue_.empty() || ended_ || cancelled_)) {
      working_ = true;
      bulk_->SubmitAdmitted([this] { Work(); });
      return;
    }
    // A pending read ends with the call.
    if (!over_) return;
    finished_ = true;
    this->Finish(WithRetryHint(call_, status_));
  }

  // Works off what is queued, then returns the thread.
  void Work() {
    for (;;) {
      std::unique_ptr<Request> request;
      bool cancelled, ended;
      {
        absl::MutexLock lock(&mutex_);
        cancelled = cancelled_;
        ended = ended_;
        if (!queue_.empty()) {
          request = std::move(queue_.front());
          queue_.pop_front();
          queued_bytes_ -= request->ByteSizeLong();
          if (!reading_ && !ended_ && !cancelled_ &&
              queued_bytes_ < kMaxQueuedBytes) {
            Read();
          }
        } else if (!cancelled && !ended) {
          working_ = false;
          return;
        }
      }
      absl::Status status;
      bool over = true;
      LogScope scope(RequestIdOf(*call_));
      if (request != nullptr) {
        status = Handle(*request);
        over = !status.ok();
      } else if (cancelled || call_->IsCancelled()) {
        Cut();
        status = absl::CancelledError("the client left");
      } else {
        status = End();
      }
      if (!over) continue;
      if (request != nullptr) Cut();
      absl::MutexLock lock(&mutex_);
      over_ = true;
      working_ = false;
      status_ = std::move(status);
      queue_.clear();
      Step();
      return;
    }
  }

  Executor* const bulk_;
  StreamLimits* const limits_;
  grpc::CallbackServerContext* const call_;
  absl::Mutex mutex_;
  std::unique_ptr<Request> incoming_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::unique_ptr<Request>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // no message comes any more
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;  // status_ is what it returns
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_RECEIVE_STREAM_H_
