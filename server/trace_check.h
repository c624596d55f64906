// Reads a whole .pvt file and says what it holds: the last gate of an upload.
//
// Any thread; memory: one chunk and the index.
//
//   absl::StatusOr<v1::Trace> trace = CheckTrace(source);
#ifndef PERFVEC_SERVER_TRACE_CHECK_H_
#define PERFVEC_SERVER_TRACE_CHECK_H_

#include "absl/status/statusor.h"
#include "perfvec/v1/resources.pb.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::server {

// Instructions, ISA, provenance and columns; trace_id and sizes are the
// caller's. The reader's errors, which name the position of the fault.
absl::StatusOr<v1::Trace> CheckTrace(trace::ByteSource& source);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_TRACE_CHECK_H_
