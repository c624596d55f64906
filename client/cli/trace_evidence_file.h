// The files that `perfvec-worker evidence` writes: TraceEvidence as JSON.
//
// Free function; any thread.
//
//   ASSIGN evidence = ReadTraceEvidence("lbm.json", "", "lab1");
#ifndef PERFVEC_CLIENT_CLI_TRACE_EVIDENCE_FILE_H_
#define PERFVEC_CLIENT_CLI_TRACE_EVIDENCE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "perfvec/v1/learning_service.pb.h"

namespace perfvec::client::cli {

// With one column only: that called `column`; if it is empty, the only one, or
// the one called like the architecture. INVALID_ARGUMENT: no such file of
// evidence; NOT_FOUND: no such column, with those that are there.
absl::StatusOr<perfvec::v1::TraceEvidence> ReadTraceEvidence(
    const std::string& path, const std::string& column,
    const std::string& architecture);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_TRACE_EVIDENCE_FILE_H_
