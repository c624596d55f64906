// Hands chunks of a trace to a thread that encodes and writes them, so that
// this costs the thread that makes them nothing. At most a few wait.
//
//   ChunkWriter writer(trace_writer.get());
//   status = writer.Append(std::move(chunk));   // any number of times
//   status = writer.Join();                     // once; the first error
//
// Append, Mark and Join from one thread.
#ifndef PERFVEC_CLIENT_TRACER_CHUNK_QUEUE_H_
#define PERFVEC_CLIENT_TRACER_CHUNK_QUEUE_H_

#include <deque>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "storage/trace/writer.h"

namespace perfvec::tracer {

class ChunkWriter {
 public:
  explicit ChunkWriter(trace::TraceWriter* writer)
      : writer_(writer), thread_([this] { Run(); }) {}
  ~ChunkWriter() { Join().IgnoreError(); }

  // Waits for room; gives the writer's error once there is one.
  absl::Status Append(trace::TraceChunk&& chunk) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &ChunkWriter::HasRoom));
    if (status_.ok()) chunks_.push_back(std::move(chunk));
    return status_;
  }

  absl::Status Join() {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    if (thread_.joinable()) thread_.join();
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  static constexpr size_t kMostWaiting = 4;

  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return chunks_.size() < kMostWaiting || !status_.ok();
  }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !chunks_.empty() || ended_;
  }

  void Run() {
    for (;;) {
      trace::TraceChunk chunk;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &ChunkWriter::HasWork));
        if (chunks_.empty()) return;
        chunk = std::move(chunks_.front());
        chunks_.pop_front();
      }
      const absl::Status status = writer_->Append(chunk);
      if (status.ok()) continue;
      absl::MutexLock lock(&mutex_);
      status_ = status;
      chunks_.clear();
      return;
    }
  }

  trace::TraceWriter* const writer_;
  absl::Mutex mutex_;
  std::deque<trace::TraceChunk> chunks_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_CHUNK_QUEUE_H_
