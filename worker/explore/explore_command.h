// `perfvec-worker explore-study`: a whole design-space exploration on a folder
// of simulated designs, judged by the simulations it did not use.
// docs/exploration.md is its page.
#ifndef PERFVEC_WORKER_EXPLORE_EXPLORE_COMMAND_H_
#define PERFVEC_WORKER_EXPLORE_EXPLORE_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::explore {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddExploreStudyCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_EXPLORE_COMMAND_H_
