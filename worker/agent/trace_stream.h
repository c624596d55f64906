// The bytes of an uploaded trace as the reader wants them: one sequence from
// the first to the last, whatever happens to the connections under it.
//
// A cut, a server that restarts, a stream that reached its time limit: the
// stream is opened anew at the byte where it ended. Only a definite answer
// (no such trace, a damaged chunk), an interrupt, or `stall_limit` without a
// single byte end it with an error. Holds one message, at most 1 MiB.
//
// One thread at a time; the interrupt may be raised from any.
//
//   auto stream = std::make_unique<TraceStream>(&server, trace_id, size_bytes);
//   stream->set_interrupt(&shard_interrupt);
//   trace::Reader reader(std::move(stream));
#ifndef PERFVEC_WORKER_AGENT_TRACE_STREAM_H_
#define PERFVEC_WORKER_AGENT_TRACE_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "storage/trace/byte_stream.h"
#include "worker/agent/backoff.h"
#include "worker/agent/interrupt.h"
#include "worker/agent/server_connection.h"

namespace perfvec::worker {

class TraceStream : public trace::ByteSource {
 public:
  // `server` outlives the stream.
  TraceStream(ServerConnection* server, std::string trace_id,
              uint64_t size_bytes,
              absl::Duration stall_limit = absl::Minutes(5));
  ~TraceStream() override;

  // What ends a waiting Read from now on. Must be set before the first Read,
  // and live until another is set.
  void set_interrupt(Interrupt* interrupt) { interrupt_ = interrupt; }

  absl::StatusOr<size_t> Read(char* out, size_t size) override;
  std::string name() const override;
  uint64_t consumed_bytes() const override { return consumed_bytes_; }
  uint64_t total_bytes() const override { return size_bytes_; }

  // How often the stream was opened anew, for logs and tests.
  int reconnects() const { return reconnects_; }

 private:
  // The next message into message_, or why there is none: OUT_OF_RANGE at the
  // end of the stream.
  absl::Status NextMessage();
  void Close();

  ServerConnection* const server_;
  const std::string trace_id_;
  const uint64_t size_bytes_;
  const absl::Duration stall_limit_;
  Backoff backoff_;
  Interrupt* interrupt_ = nullptr;
  std::unique_ptr<ServerConnection::TraceCall> call_;
  v1::ReadTraceResponse message_;
  size_t message_used_ = 0;
  uint64_t received_bytes_ = 0;
  uint64_t consumed_bytes_ = 0;
  int reconnects_ = 0;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_TRACE_STREAM_H_
