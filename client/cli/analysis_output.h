// What `perfvec analyze` shows of an answer: a table, CSV, a picture. The first
// architecture is the one asked for, a second one what it is compared with.
//
//   std::cout << AnalysisTable(answer, {.limit = 20});
//
// Pure functions of the answer.
#ifndef PERFVEC_CLIENT_CLI_ANALYSIS_OUTPUT_H_
#define PERFVEC_CLIENT_CLI_ANALYSIS_OUTPUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/client.h"

namespace perfvec::client::cli {

namespace api = perfvec::v1;

// The parts to show: all in their order, or the `most` that differ most, whose
// time on the second architecture is furthest from what the ratio of the whole
// program's times makes of that on the first.
std::vector<int> ChooseParts(const api::AnalyzeProgramResponse& answer,
                             uint64_t most);

// Of the chosen parts, and a line for all others.
std::string AnalysisTable(const api::AnalyzeProgramResponse& answer,
                          const std::vector<int>& chosen);
// Time and instructions of each phase.
std::string PhaseTable(const api::AnalyzeProgramResponse& answer);
// Every part, exact.
std::string AnalysisCsv(const api::AnalyzeProgramResponse& answer);
// SVG: time of an instruction over the run, or shares of functions.
std::string AnalysisPicture(const api::AnalyzeProgramResponse& answer);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_ANALYSIS_OUTPUT_H_
