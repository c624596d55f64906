// A server stream of the bytes that chunks hold, in messages of at most 1 MiB.
//
// One chunk is being sent and the next is read from disk, on the bulk pool. The
// chunks are pinned from the first to the last message. Finished exactly once,
// and never while a task of the pool still uses the stream.
//
//   return NewBlobStream<ReadTraceResponse>(context, call, offset,
//       [=]() -> absl::StatusOr<BlobList> { ...look it up... }, &counter);
#ifndef PERFVEC_SERVER_BLOB_STREAM_H_
#define PERFVEC_SERVER_BLOB_STREAM_H_

#include <prometheus/counter.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/call.h"
#include "server/executor.h"
#include "server/service_context.h"
#include "server/stream_limits.h"
#include "storage/chunk_store.h"

namespace perfvec::server {

struct BlobList {
  std::string label;  // for messages: "trace ab12..."
  uint64_t size_bytes = 0;
  uint64_t chunk_size_bytes = 0;  // of all but the last
  std::vector<std::string> digests;
};

template <typename Response>
class BlobStream final : public grpc::ServerWriteReactor<Response> {
 public:
  using Find = std::function<absl::StatusOr<BlobList>()>;

  BlobStream(const ServiceContext& context, grpc::CallbackServerContext* call,
             uint64_t offset, Find find, prometheus::Counter* bytes)
      : chunks_(context.chunks),
        bulk_(context.bulk),
        limits_(context.streams),
        bytes_(bytes),
        call_(call),
        skip_(offset) {
    absl::Status admitted =
        limits_->Add(call, CallDeadline(*call, kMaxStreamTime));
    absl::MutexLock lock(&mutex_);
    if (admitted.ok()) {
      loading_ = true;
      admitted = bulk_->Submit([this, find = std::move(find)] { Begin(find); });
      if (!admitted.ok()) loading_ = false;
    }
    status_ = admitted;
    Step();
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) status_.Update(absl::CancelledError("the client left"));
    Step();
  }
  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    status_.Update(absl::CancelledError("the client cancelled the call"));
    Step();
  }
  void OnDone() override {
    limits_->Remove(call_);
    // The mutex was free when Finish returned; gRPC has seen to that order.
    { absl::MutexLock lock(&mutex_); }
    delete this;
  }

 private:
  void Begin(const Find& find) {
    absl::StatusOr<BlobList> list = find();
    absl::MutexLock lock(&mutex_);
    loading_ = false;
    if (!list.ok()) {
      status_.Update(list.status());
    } else if (skip_ > list->size_bytes) {
      status_.Update(absl::OutOfRangeError(
          absl::StrCat(list->label, ": offset ", skip_, " lies past its ",
                       list->size_bytes, " bytes")));
    } else {
      list_ = *std::move(list);
      pin_ = chunks_->Pin(list_.digests);
      if (list_.chunk_size_bytes > 0) {
        next_chunk_ = skip_ / list_.chunk_size_bytes;
        skip_ %= list_.chunk_size_bytes;
      }
    }
    Step();
  }

  void Load(size_t index, const std::string& digest) {
    absl::StatusOr<std::string> chunk = chunks_->Get(digest);
    absl::MutexLock lock(&mutex_);
    loading_ = false;
    if (chunk.ok()) {
      next_ = *std::move(chunk);
    } else {
      // Whatever hinders the read of a chunk that must be there is a loss.
      const bool lost = absl::IsNotFound(chunk.status());
      status_.Update(absl::Status(
          lost ? absl::StatusCode::kDataLoss : chunk.status().code(),
          absl::StrCat(list_.label, " at offset ",
                       index * list_.chunk_size_bytes, ": ",
                       chunk.status().message())));
    }
    Step();
  }

  void Step() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_) return;
    if (status_.ok() && !writing_ && position_ >= current_.size() && next_) {
      current_ = *std::move(next_);
      next_.reset();
      position_ = std::min<uint64_t>(std::exchange(skip_, 0), current_.size());
    }
    if (status_.ok() && !loading_ && !next_ &&
        next_chunk_ < list_.digests.size()) {
      loading_ = true;
      const size_t index = next_chunk_++;
      bulk_->SubmitAdmitted(
          [this, index] { Load(index, list_.digests[index]); });
    }
    if (writing_) return;
    if (status_.ok() && position_ < current_.size()) {
      const size_t size =
          std::min<size_t>(kMaxDataBytes, current_.size() - position_);
      message_.mutable_data()->assign(current_, position_, size);
      position_ += size;
      if (bytes_ != nullptr) bytes_->Increment(size);
      writing_ = true;
      this->StartWrite(&message_);
      return;
    }
    if (loading_) return;
    if (status_.ok() && (next_ || next_chunk_ < list_.digests.size())) return;
    finished_ = true;
    this->Finish(WithRetryHint(call_, status_));
  }

  storage::ChunkStore* const chunks_;
  Executor* const bulk_;
  StreamLimits* const limits_;
  prometheus::Counter* const bytes_;
  grpc::CallbackServerContext* const call_;

  absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  BlobList list_;  // constant after Begin
  storage::ChunkPin pin_ ABSL_GUARDED_BY(mutex_);
  uint64_t skip_ ABSL_GUARDED_BY(mutex_);  // in the first chunk
  size_t next_chunk_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string current_ ABSL_GUARDED_BY(mutex_);
  size_t position_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<std::string> next_ ABSL_GUARDED_BY(mutex_);
  Response message_;
  bool loading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

template <typename Response>
grpc::ServerWriteReactor<Response>* NewBlobStream(
    const ServiceContext& context, grpc::CallbackServerContext* call,
    uint64_t offset, typename BlobStream<Response>::Find find,
    prometheus::Counter* bytes = nullptr) {
  return new BlobStream<Response>(context, call, offset, std::move(find),
                                  bytes);
}

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_BLOB_STREAM_H_
