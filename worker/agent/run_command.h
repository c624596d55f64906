// `perfvec-worker run`: the flags, and the process around an Agent (signals,
// exit code).
//
//   CLI::App app("...");
//   int exit_code = 0;
//   AddRunCommand(&app, &exit_code);
//   CLI11_PARSE(app, argc, argv);   // runs the command that was named
//   return exit_code;
#ifndef PERFVEC_WORKER_AGENT_RUN_COMMAND_H_
#define PERFVEC_WORKER_AGENT_RUN_COMMAND_H_

#include <CLI/App.hpp>

namespace perfvec::worker {

// Adds the subcommand; when it is parsed it blocks until the worker ends and
// sets *exit_code: 0 after SIGTERM or SIGINT, 1 for an error (told on standard
// error). `exit_code` outlives the app.
void AddRunCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_RUN_COMMAND_H_
