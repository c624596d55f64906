// `perfvec explore`; see commands.h.
#ifndef PERFVEC_CLIENT_CLI_EXPLORE_COMMAND_H_
#define PERFVEC_CLIENT_CLI_EXPLORE_COMMAND_H_

#include "client/cli/context.h"

namespace perfvec::client::cli {

void AddExploreCommand(CLI::App& app, Context& context);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_EXPLORE_COMMAND_H_
