#include "server/matrix_stream.h"

#include <chrono>
#include <utility>

#include "server/call.h"

namespace perfvec::server {

MatrixStream::MatrixStream(grpc::CallbackServerContext* context, Executor* pool,
                           absl::Duration stall_timeout,
                           std::function<void()> on_done)
    : context_(context),
      pool_(pool),
      stall_timeout_(stall_timeout),
      on_done_(std::move(on_done)),
      watch_(std::make_shared<Watch>()) {
  absl::MutexLock lock(&watch_->mutex);
  watch_->context = context;
}

void MatrixStream::Start(Snapshot snapshot,
                         const v1::PredictMatrixRequest* request) {
  const absl::Status admitted =
      pool_->Submit([this, snapshot = std::move(snapshot), request]() mutable {
        auto cursor = MatrixCursor::Start(std::move(snapshot), *request);
        if (!cursor.ok()) return Refuse(cursor.status());
        cursor_ = *std::move(cursor);
        WriteNext();
      });
  if (!admitted.ok()) Refuse(admitted);
}

void MatrixStream::Refuse(const absl::Status& status) {
  Finish(WithRetryHint(context_, status));
}

void MatrixStream::WriteNext() {
  if (context_->IsCancelled()) {
    return Refuse(absl::CancelledError("the caller has gone"));
  }
  if (!cursor_->Next(&message_)) return Refuse(absl::OkStatus());
  stall_alarm_ = std::make_unique<grpc::Alarm>();
  stall_alarm_->Set(std::chrono::system_clock::now() +
                        absl::ToChronoMilliseconds(stall_timeout_),
                    [watch = watch_](bool expired) {
                      absl::MutexLock lock(&watch->mutex);
                      if (expired && watch->context)
                        watch->context->TryCancel();
                    });
  StartWrite(&message_);
}

void MatrixStream::OnWriteDone(bool ok) {
  stall_alarm_->Cancel();
  if (!ok) return Refuse(absl::CancelledError("the caller stopped reading"));
  pool_->SubmitAdmitted([this] { WriteNext(); });
}

void MatrixStream::OnDone() {
  {
    absl::MutexLock lock(&watch_->mutex);
    watch_->context = nullptr;
  }
  on_done_();
  delete this;
}

}  // namespace perfvec::server
