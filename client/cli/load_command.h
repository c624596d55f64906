// perfvec load: how many calls a server bears, and how fast it answers them.
// See commands.h.
#ifndef PERFVEC_CLIENT_CLI_LOAD_COMMAND_H_
#define PERFVEC_CLIENT_CLI_LOAD_COMMAND_H_

#include "client/cli/context.h"

namespace perfvec::client::cli {

void AddLoadCommand(CLI::App& app, Context& context);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_LOAD_COMMAND_H_
