// perfvec server status|backup
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

absl::StatusOr<double> ParseWait(absl::string_view text) {
  double seconds;
  if (!absl::SimpleAtod(text, &seconds) || !(seconds >= 0) || seconds > 86400) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected seconds from 0 to 86400"));
  }
  return seconds;
}

// Asks again as long as the server cannot be reached.
absl::StatusOr<api::ServerStatus> WaitForServer(const Context& context,
                                                double seconds) {
  ClientOptions options;
  options.server = context.server;
  options.timeout = absl::Seconds(seconds);
  options.retry.max_attempts = std::numeric_limits<int>::max();
  options.retry.max_backoff = absl::Seconds(1);
  auto client = Client::Create(options);
  if (!client.ok()) return client.status();
  return (*client)->GetServerStatus();
}

absl::StatusOr<api::ServerStatus> GetStatus(Context& context,
                                            double wait_seconds) {
  if (wait_seconds > 0) return WaitForServer(context, wait_seconds);
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return (*client)->GetServerStatus();
}

absl::Status ShowStatus(Context& context, double wait_seconds) {
  auto status = GetStatus(context, wait_seconds);
  if (!status.ok()) return status.status();
  if (context.json) return PrintJson(std::cout, *status);
  std::cout << RenderFields(
      {{"server", context.server},
       {"version", status->version()},
       {"up for", FormatSeconds(absl::Seconds(status->uptime().seconds()))},
       {"programs", absl::StrCat(status->programs())},
       {"architectures", absl::StrCat(status->architectures())},
       {"models", absl::StrCat(status->models())},
       {"default model", status->default_model_id().empty()
                             ? "none"
                             : status->default_model_id()},
       {"jobs queued", absl::StrCat(status->jobs_queued())},
       {"jobs running", absl::StrCat(status->jobs_running())},
       {"workers", absl::StrCat(status->workers())},
       {"traces", FormatBytes(status->trace_bytes())}});
  return absl::OkStatus();
}

absl::Status Backup(Context& context, const std::string& directory) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto backup = (*client)->CreateBackup(directory);
  if (!backup.ok()) return backup.status();
  if (context.json) return PrintJson(std::cout, *backup);
  std::cout << Printable(backup->directory()) << ": " << backup->files()
            << " files, " << FormatBytes(backup->size_bytes()) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddServerCommands(CLI::App& app, Context& context) {
  CLI::App* group = AddGroup(app, "server", "The server");
  CLI::App* status =
      AddCommand(*group, "status", "Show what the server holds and does",
                 {"perfvec server status", "perfvec server status --wait 60",
                  "perfvec --server host:7450 server status --json"});
  auto wait_seconds = std::make_shared<double>(0);
  status
      ->add_option("--wait", *wait_seconds,
                   "Wait up to so many seconds until the server answers")
      ->check(Parses(&ParseWait))
      ->type_name("SECONDS");
  SetAction(status, context, [&context, wait_seconds] {
    return ShowStatus(context, *wait_seconds);
  });

  auto directory = std::make_shared<std::string>();
  CLI::App* backup = AddCommand(
      *group, "backup",
      "Let the server write a verified copy of all it holds, while it serves, "
      "into a new directory of its own machine",
      {"perfvec server backup 2025-03-01"});
  backup
      ->add_option("directory", *directory,
                   "A name, or a path, below the server's backup root")
      ->type_name("NAME")
      ->required();
  SetAction(backup, context,
            [&context, directory] { return Backup(context, *directory); });
}

}  // namespace perfvec::client::cli
