// `perfvec-worker import-checkpoint`: a published PerfVec checkpoint to a
// foundation model directory (docs/foundation_model.md).
#ifndef PERFVEC_WORKER_CHECKPOINT_IMPORT_COMMAND_H_
#define PERFVEC_WORKER_CHECKPOINT_IMPORT_COMMAND_H_

#include <CLI/CLI.hpp>

namespace perfvec::checkpoint {

// Adds the subcommand; when it is parsed it runs, prints its errors to standard
// error and stores the exit code. `exit_code` outlives parsing.
void AddImportCheckpointCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_IMPORT_COMMAND_H_
