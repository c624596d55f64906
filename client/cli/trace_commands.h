// The two larger commands of the group `trace`, and the exit code that they
// give the process when they succeed: a traced program's own, or 1 where
// traces differ. One thread.
#ifndef PERFVEC_CLIENT_CLI_TRACE_COMMANDS_H_
#define PERFVEC_CLIENT_CLI_TRACE_COMMANDS_H_

#include "client/cli/context.h"

namespace perfvec::client::cli {

void AddTraceRunCommand(CLI::App& group, Context& context);
void AddTraceSlicesCommand(CLI::App& group, Context& context);
void AddTraceCompareCommand(CLI::App& group, Context& context);

// Of an action that succeeded; 0 unless the action has set it.
inline int& SuccessExitCode() {
  static int code = 0;
  return code;
}

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_TRACE_COMMANDS_H_
