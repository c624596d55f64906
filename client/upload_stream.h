// One WriteUpload stream: a part of a file, sent. Internal to client/.
//
//   grpc::ClientContext context;   // with a deadline; may be cancelled
//   api::Upload committed;
//   StreamEnd end = SendStream(caller, stub, context, file, upload_id,
//                              offset, end, go_on, &committed);
//   if (end.local) return end.attempt.status;   // nothing to resume
//   if (!WorthResuming(end.attempt)) return end.attempt.status;
#ifndef PERFVEC_CLIENT_UPLOAD_STREAM_H_
#define PERFVEC_CLIENT_UPLOAD_STREAM_H_

#include <grpcpp/client_context.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "client/call.h"
#include "client/local_file.h"
#include "perfvec/v1/trace_service.grpc.pb.h"

namespace perfvec::client {

// How a stream ended; `local`: the fault is on this side, nothing to resume.
struct StreamEnd {
  Attempt attempt;
  bool local = false;
};

// Sends the bytes from `offset` to `end`. `go_on` is told, about once a MiB, up
// to where it has sent; an error from it ends the stream, whose bytes so far
// are committed. *committed: the server's answer, where there was one.
StreamEnd SendStream(const Caller& caller, api::TraceService::Stub& stub,
                     grpc::ClientContext& context, const LocalFile& file,
                     const std::string& upload_id, uint64_t offset,
                     uint64_t end,
                     const std::function<absl::Status(uint64_t)>& go_on,
                     api::Upload* committed);

// Whether the upload may be begun again after a stream or a finish that ended
// so: the connection broke, another client moved the offset, the upload was
// finished or dropped meanwhile, or a message was damaged on its way.
bool WorthResuming(const Attempt& attempt);

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_UPLOAD_STREAM_H_
