#include "server/http/stream_call.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "proto/status.h"

namespace perfvec::server::http {

Outcome MakeOutcome(const grpc::Status& status,
                    const grpc::ClientContext& context) {
  Outcome outcome{FromGrpcStatus(status), 0};
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto hint = trailers.find(kRetryAfterMetadata);
  if (hint != trailers.end() &&
      !absl::SimpleAtoi(
          absl::string_view(hint->second.data(), hint->second.size()),
          &outcome.retry_after_ms)) {
    outcome.retry_after_ms = 0;
  }
  return outcome;
}

std::shared_ptr<StreamCall> StreamCall::Start(
    GenericStub& stub, const std::string& path, const CallMetadata& metadata,
    const google::protobuf::Descriptor* response, CallCount* count) {
  std::shared_ptr<StreamCall> call(new StreamCall(response, count));
  count->Begin();
  call->self_ = call;
  for (const auto& [key, value] : metadata) {
    call->context_.AddMetadata(key, value);
  }
  stub.PrepareBidiStreamingCall(&call->context_, path, {}, call.get());
  // Operations come from outside of gRPC's callbacks.
  call->AddHold();
  call->StartCall();
  return call;
}

void StreamCall::Write(MessagePtr message, std::function<void(bool)> done) {
  {
    absl::MutexLock lock(&mutex_);
    if (held_) {
      on_write_ = std::move(done);
      request_ = std::move(message);
      StartWrite(request_.get());
      return;
    }
  }
  done(false);
}

void StreamCall::WriteLast(MessagePtr message) {
  absl::MutexLock lock(&mutex_);
  if (!held_) return;
  request_ = std::move(message);
  StartWriteLast(request_.get(), grpc::WriteOptions());
}

void StreamCall::WritesDone() {
  absl::MutexLock lock(&mutex_);
  if (held_) StartWritesDone();
}

void StreamCall::Read(ReadHandler handler) {
  Outcome outcome;
  {
    absl::MutexLock lock(&mutex_);
    if (!over_) {
      on_read_ = std::move(handler);
      if (held_) StartRead(answer_.get());
      return;
    }
    outcome = outcome_;
  }
  handler(nullptr, outcome);
}

void StreamCall::Cancel() {
  context_.TryCancel();
  LetEnd();
}

// A pending operation ends before OnDone comes.
void StreamCall::LetEnd() {
  absl::MutexLock lock(&mutex_);
  if (!held_) return;
  held_ = false;
  RemoveHold();
}

void StreamCall::OnWriteDone(bool ok) {
  std::function<void(bool)> done;
  {
    absl::MutexLock lock(&mutex_);
    done = std::move(on_write_);
    on_write_ = nullptr;
  }
  if (done) done(ok);
}

void StreamCall::OnReadDone(bool ok) {
  if (!ok) {
    LetEnd();
    return;
  }
  ReadHandler handler;
  {
    absl::MutexLock lock(&mutex_);
    handler = std::move(on_read_);
    on_read_ = nullptr;
  }
  if (handler) handler(answer_.get(), Outcome());
}

void StreamCall::OnDone(const grpc::Status& status) {
  ReadHandler handler;
  Outcome outcome = MakeOutcome(status, context_);
  {
    absl::MutexLock lock(&mutex_);
    over_ = true;
    outcome_ = outcome;
    handler = std::move(on_read_);
    on_read_ = nullptr;
  }
  if (handler) handler(nullptr, outcome);
  CallCount* const count = count_;
  self_.reset();
  count->End();
}

}  // namespace perfvec::server::http
