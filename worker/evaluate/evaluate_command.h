// `perfvec-worker evaluate`: how good a model is, on which programs and
// architectures, beside simple methods. docs/evaluation.md is its page.
#ifndef PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_
#define PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::train {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddEvaluateCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_EVALUATE_COMMAND_H_
