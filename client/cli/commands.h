// The commands of `perfvec`, one file each (or each group). Every function adds
// its command to `app`; `context` outlives it. Called once, before parsing.
#ifndef PERFVEC_CLIENT_CLI_COMMANDS_H_
#define PERFVEC_CLIENT_CLI_COMMANDS_H_

#include <memory>

#include "client/cli/context.h"

namespace perfvec::client::cli {

void AddImportCommand(CLI::App& app, Context& context);
void AddTraceCommands(CLI::App& app, Context& context);
void AddRepresentCommand(CLI::App& app, Context& context);
void AddUploadCommand(CLI::App& app, Context& context);
void AddProgramCommands(CLI::App& app, Context& context);
void AddArchitectureCommands(CLI::App& app, Context& context);
// Of the group of AddArchitectureCommands.
void AddLearnCommand(CLI::App& group, Context& context);
void AddModelCommands(CLI::App& app, Context& context);
void AddJobCommands(CLI::App& app, Context& context);
void AddPredictCommand(CLI::App& app, Context& context);
void AddAnalyzeCommand(CLI::App& app, Context& context);
void AddMatrixCommand(CLI::App& app, Context& context);
void AddRankCommand(CLI::App& app, Context& context);
void AddServerCommands(CLI::App& app, Context& context);
// Hidden, for the build: `__man`.
void AddManCommand(CLI::App& app, Context& context);

// `perfvec __complete WORD...`: prints proposals for the last word, one a line.
void Complete(Context& context, const CLI::App& app,
              std::vector<std::string> words);

// The whole command line: global options and every command.
std::unique_ptr<CLI::App> MakeApp(Context& context);

// Parses, runs, reports; returns the exit code.
int Main(int argc, char** argv);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_COMMANDS_H_
