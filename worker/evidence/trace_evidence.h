// What a trace with latencies says of the architectures they were measured on:
// the sums that LearnArchitecture takes, made where the trace is.
//
// One pass over the trace for any number of its latency columns; memory does
// not grow with the trace. Blocks until done; one call at a time for a back
// end.
//
//   ASSIGN evidence = MakeTraceEvidence("lbm.pvt", back_end.get(), {});
//   evidence.columns(0).name();   // a column of the trace
//   RETURN_IF_ERROR(WriteTraceEvidence("lbm.json", evidence));
#ifndef PERFVEC_WORKER_EVIDENCE_TRACE_EVIDENCE_H_
#define PERFVEC_WORKER_EVIDENCE_TRACE_EVIDENCE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "perfvec/v1/learning_service.pb.h"
#include "worker/represent/represent_trace.h"
#include "worker/represent/representer.h"

namespace perfvec::evidence {

struct TraceEvidenceOptions {
  std::string program;               // "": the file's name without ".pvt"
  std::vector<std::string> columns;  // of the trace, by name; empty: all
  uint64_t skip = 0;                 // instructions from the start on
  uint64_t interval = 10000;         // instructions; longer above 16 intervals
  // Totals of intervals only, no sums of products.
  bool totals_only = false;
  // A directory that keeps representations, 4 bytes × width an instruction; if
  // it has those of the trace, the network does not run. Sums that no
  // architecture has a part in (kept_sums.h) are kept too. Empty: none.
  std::string cache;
  // Of all files in it together; the longest unused make room. Representations
  // that are larger alone are not kept.
  uint64_t cache_bytes = uint64_t{64} << 30;
  std::function<absl::Status(const compute::TraceProgress&)> progress;
};

// NOT_FOUND: the trace lacks a column, or has none (the message names those it
// has); INVALID_ARGUMENT: nothing behind `skip`. Others are RepresentTrace's.
absl::StatusOr<v1::TraceEvidence> MakeTraceEvidence(
    const std::string& path, compute::Representer* back_end,
    const TraceEvidenceOptions& options);

// proto3's JSON mapping; every double comes back as it was.
absl::Status WriteTraceEvidence(const std::string& path,
                                const v1::TraceEvidence& evidence);

}  // namespace perfvec::evidence

#endif  // PERFVEC_WORKER_EVIDENCE_TRACE_EVIDENCE_H_
