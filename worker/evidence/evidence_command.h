// `perfvec-worker evidence`: what traces with latencies say of architectures,
// as files that `perfvec arch learn --trace` sends. docs/learning.md is its
// page.
#ifndef PERFVEC_WORKER_EVIDENCE_EVIDENCE_COMMAND_H_
#define PERFVEC_WORKER_EVIDENCE_EVIDENCE_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::evidence {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddEvidenceCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::evidence

#endif  // PERFVEC_WORKER_EVIDENCE_EVIDENCE_COMMAND_H_
