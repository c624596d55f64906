// Sending a .pvt trace and registering it as a program: what `perfvec upload`
// does, and `perfvec trace run --upload` behind the trace.
#ifndef PERFVEC_CLIENT_CLI_UPLOAD_COMMAND_H_
#define PERFVEC_CLIENT_CLI_UPLOAD_COMMAND_H_

#include <ostream>
#include <string>
#include <vector>

#include "client/cli/context.h"

namespace perfvec::client::cli {

struct UploadCommandOptions {
  std::string file, program;
  std::string draft;  // what has been sent of it (client/draft_upload.h)
  std::vector<std::string> tags, aliases, models;
  bool wait = false, skip_represent = false;
  PartCommandOptions parts;
};

// --tag, --alias, --model, --interval, --by-address, --wait, --skip-represent.
// `needed`: the option without which they mean nothing, or nullptr.
void AddUploadOptions(CLI::App* command, UploadCommandOptions* options,
                      CLI::Option* needed);

// Reports on `out`.
absl::Status UploadProgram(Context& context,
                           const UploadCommandOptions& options,
                           std::ostream& out);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_UPLOAD_COMMAND_H_
