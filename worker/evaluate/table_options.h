// Options of the commands that work on a table of programs (calibrate,
// learn-study), and the model they are about.
#ifndef PERFVEC_WORKER_EVALUATE_TABLE_OPTIONS_H_
#define PERFVEC_WORKER_EVALUATE_TABLE_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "worker/evaluate/program_table.h"

namespace perfvec::train {

// --model, --data, --cache and --threads; progress goes to standard error.
void AddTableOptions(CLI::App* command, std::string* model,
                     TableOptions* table);

// Runs it when the command is parsed; an error goes to standard error.
void SetTableAction(CLI::App* command, int* exit_code,
                    std::function<absl::Status()> run);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_TABLE_OPTIONS_H_
