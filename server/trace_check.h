// Reads a whole .pvt file and says what it holds: the last gate of an upload.
//
// Any thread; memory: one chunk and the index.
//
//   absl::StatusOr<storage::v1::TraceRecord> trace = CheckTrace(source);
#ifndef PERFVEC_SERVER_TRACE_CHECK_H_
#define PERFVEC_SERVER_TRACE_CHECK_H_

#include "absl/status/statusor.h"
#include "perfvec/storage/v1/records.pb.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::server {

// What is kept of a trace's functions and instruction addresses.
inline constexpr size_t kHotFunctions = 128;
inline constexpr size_t kHotAddresses = 256;
// More slices than a trace may have to be represented are not kept.
inline constexpr size_t kMostSlices = 512;

// Instructions, ISA, provenance, columns, slices and the code most executed;
// trace_id, sizes and chunks are the caller's. The reader's errors, which name
// the position of the fault.
absl::StatusOr<storage::v1::TraceRecord> CheckTrace(trace::ByteSource& source);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_TRACE_CHECK_H_
