// `perfvec-worker learn-study`: how well architectures are learned from a few
// whole runs. docs/learning.md, How well, is its page.
#ifndef PERFVEC_WORKER_EVALUATE_LEARN_STUDY_COMMAND_H_
#define PERFVEC_WORKER_EVALUATE_LEARN_STUDY_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::train {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddLearnStudyCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_LEARN_STUDY_COMMAND_H_
