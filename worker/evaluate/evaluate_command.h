// `perfvec-worker evaluate`: errors of total time on simulated programs.
//
// For each program of a data folder (docs/training.md) and each architecture
// the model was trained with: |T̂ − T| / T, with the representations computed
// as the service computes them, and what the choice costs: by how much the
// architecture predicted fastest is slower than the fastest. The first 10,240
// instructions, libc's start-up that all programs share, are left out.
#ifndef PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_
#define PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::train {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddEvaluateCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_
