// `perfvec-worker calibrate`: measures how far a model's predictions are off on
// programs that it was not trained on and writes that into its manifest.
// docs/evaluation.md, Calibration, is its page.
#ifndef PERFVEC_WORKER_EVALUATE_CALIBRATE_COMMAND_H_
#define PERFVEC_WORKER_EVALUATE_CALIBRATE_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::train {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddCalibrateCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_CALIBRATE_COMMAND_H_
