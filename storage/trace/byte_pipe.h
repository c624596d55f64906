// A bounded pipe between the thread that receives bytes (from the network) and
// the thread that reads the trace in them.
//
//   auto pipe = std::make_shared<BytePipe>("upload 7", 4 << 20);
//   // Thread 1: pipe->Write(bytes); ...; pipe->CloseWrite(status);
//   // Thread 2: TraceReader::Open(BytePipe::ReadEnd(pipe));
//
// One thread writes, one reads. Write blocks while the pipe is full, Read
// while it is empty; when either end goes, the other is told.
#ifndef PERFVEC_STORAGE_TRACE_BYTE_PIPE_H_
#define PERFVEC_STORAGE_TRACE_BYTE_PIPE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::trace {

class BytePipe {
 public:
  BytePipe(std::string name, size_t capacity_bytes);

  // Cancelled once the reader has gone.
  absl::Status Write(absl::string_view bytes);
  // The reader gets what is left, then the end or this error.
  void CloseWrite(absl::Status status);

  // To be called once. Destroying it tells the writer that nobody reads.
  static std::unique_ptr<ByteSource> ReadEnd(std::shared_ptr<BytePipe> pipe);

 private:
  class Source;

  const std::string name_;
  const size_t capacity_bytes_;
  absl::Mutex mutex_;
  std::string bytes_ ABSL_GUARDED_BY(mutex_);
  size_t begin_ ABSL_GUARDED_BY(mutex_) = 0;  // of the unread part of bytes_
  bool write_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  uint64_t consumed_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_BYTE_PIPE_H_
