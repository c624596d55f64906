#include "worker/agent/trace_stream.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status.h"

namespace perfvec::worker {

TraceStream::TraceStream(ServerConnection* server, std::string trace_id,
                         uint64_t size_bytes, absl::Duration stall_limit)
    : server_(server),
      trace_id_(std::move(trace_id)),
      size_bytes_(size_bytes),
      stall_limit_(stall_limit),
      backoff_(server->options().backoff, std::random_device{}()) {}

TraceStream::~TraceStream() { Close(); }

std::string TraceStream::name() const {
  return absl::StrCat("trace ", trace_id_.substr(0, 12));
}

void TraceStream::Close() {
  if (call_ == nullptr) return;
  call_->context.TryCancel();
  call_->reader->Finish();
  call_ = nullptr;
}

absl::Status TraceStream::NextMessage() {
  if (call_ == nullptr) call_ = server_->ReadTrace(trace_id_, received_bytes_);
  {
    Interrupt::Scope scope(interrupt_, [this] { call_->context.TryCancel(); });
    if (call_->reader->Read(&message_)) return absl::OkStatus();
  }
  const grpc::Status status = call_->reader->Finish();
  call_ = nullptr;
  if (interrupt_->raised()) return interrupt_->reason();
  if (!status.ok()) return FromGrpcStatus(status);
  return absl::OutOfRangeError("end of the stream");
}

absl::StatusOr<size_t> TraceStream::Read(char* out, size_t size) {
  const absl::Time give_up = absl::Now() + stall_limit_;
  while (message_used_ == message_.data().size()) {
    if (received_bytes_ == size_bytes_) {
      Close();
      return 0;
    }
    message_.Clear();
    message_used_ = 0;
    absl::Status status = NextMessage();
    if (status.ok()) {
      received_bytes_ += message_.data().size();
      if (received_bytes_ > size_bytes_) {
        return absl::DataLossError(
            absl::StrCat(name(), ": expected ", size_bytes_,
                         " bytes, the server sent more"));
      }
      if (!message_.data().empty()) backoff_.Reset();
      continue;
    }
    if (interrupt_->raised()) return interrupt_->reason();
    // A stream that ends early is a cut like any other.
    const bool ended_early = absl::IsOutOfRange(status);
    if (!ended_early && !IsTransient(status)) {
      return absl::Status(
          status.code(),
          absl::StrCat(name(), " at byte ", received_bytes_, " of ",
                       size_bytes_, ": ", status.message()));
    }
    if (absl::Now() >= give_up) {
      return absl::UnavailableError(absl::StrCat(
          name(), ": no byte after ", received_bytes_, " of ", size_bytes_,
          " for ", absl::FormatDuration(stall_limit_), ": ", status.message()));
    }
    ++reconnects_;
    interrupt_->WaitFor(backoff_.Next());
  }
  const size_t n = std::min(size, message_.data().size() - message_used_);
  std::memcpy(out, message_.data().data() + message_used_, n);
  message_used_ += n;
  consumed_bytes_ += n;
  return n;
}

}  // namespace perfvec::worker
