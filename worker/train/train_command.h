// `perfvec-worker train`: from a data folder to a foundation model directory.
//
// Holds every eighth family back for validation, trains, fits the architecture
// vectors in closed form with weights chosen by leaving training families out,
// and reports the error of total time on the families held back.
//
//   CLI::App app;
//   AddTrainCommand(&app, &exit_code);
#ifndef PERFVEC_WORKER_TRAIN_TRAIN_COMMAND_H_
#define PERFVEC_WORKER_TRAIN_TRAIN_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::train {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddTrainCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_TRAIN_COMMAND_H_
