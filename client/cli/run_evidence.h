// Times of runs, as people write them for `perfvec arch learn`.
//
// Free functions; any thread.
//
//   ParseRun("lbm=12.3ms,12.5ms", 0);
//   ParseRun("lbm=28.1e6cycles", 2.4);
#ifndef PERFVEC_CLIENT_CLI_RUN_EVIDENCE_H_
#define PERFVEC_CLIENT_CLI_RUN_EVIDENCE_H_

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "perfvec/v1/learning_service.pb.h"

namespace perfvec::client::cli {

// "2.4GHz", "800MHz", in GHz; positive.
absl::StatusOr<double> ParseFrequency(absl::string_view text);

// PROGRAM=TIME[,TIME...][+-SPREAD]. A time is a duration ("12.3ms", "1m2s") or,
// with a frequency above 0, a number of cycles ("28.1e6cycles"); the spread,
// one standard deviation of a run, likewise. INVALID_ARGUMENT: the text and the
// form expected.
absl::StatusOr<perfvec::v1::RunEvidence> ParseRun(absl::string_view text,
                                                  double frequency_ghz);

// The same, one run a line, PROGRAM and times apart by blanks or "="; "#" opens
// a comment. Messages name `label` and the line.
absl::StatusOr<std::vector<perfvec::v1::RunEvidence>> ReadRuns(
    std::istream& in, const std::string& label, double frequency_ghz);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_RUN_EVIDENCE_H_
