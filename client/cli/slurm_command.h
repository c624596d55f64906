// perfvec slurm check|learn; as commands.h says.
#ifndef PERFVEC_CLIENT_CLI_SLURM_COMMAND_H_
#define PERFVEC_CLIENT_CLI_SLURM_COMMAND_H_

#include "client/cli/context.h"

namespace perfvec::client::cli {

void AddSlurmCommands(CLI::App& app, Context& context);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_SLURM_COMMAND_H_
