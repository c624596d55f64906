// The command line as a whole: global options, configuration, errors.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/explore_command.h"
#include "client/cli/help.h"
#include "client/cli/load_command.h"
#include "client/cli/slurm_command.h"
#include "client/cli/trace_commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

std::string ConfigPath() {
  const char* base = std::getenv("XDG_CONFIG_HOME");
  if (base != nullptr && base[0] == '/') {
    return absl::StrCat(base, "/perfvec/config.toml");
  }
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] != '\0') {
    return absl::StrCat(home, "/.config/perfvec/config.toml");
  }
  return "";
}

void PrintError(absl::string_view message) {
  std::cerr << "perfvec: " << Printable(message) << "\n";
}

void Report(const absl::Status& status) {
  PrintError(status.message());
  if (absl::IsUnavailable(status)) {
    std::cerr << "Is perfvec-server running there? Name another server with "
                 "--server or PERFVEC_SERVER.\n";
  }
}

int ToInt(ExitCode code) { return static_cast<int>(code); }

}  // namespace

std::unique_ptr<CLI::App> MakeApp(Context& context) {
  auto app = std::make_unique<CLI::App>(
      "Predicts how long programs run on processors, from their traces.",
      "perfvec");
  app->fallthrough();  // global options may stand behind the command
  app->require_subcommand(1);
  app->formatter(std::make_shared<HelpFormatter>());
  app->set_version_flag("--version", absl::StrCat("perfvec ", PERFVEC_VERSION));
  app->add_option("--server", context.server,
                  "The server; also PERFVEC_SERVER [127.0.0.1:7450]")
      ->take_last()
      ->type_name("HOST:PORT");
  app->add_option("--timeout", context.timeout,
                  "How long a call may take with its repetitions [30s]")
      ->check(Parses(&ParseDuration))
      ->type_name("TIME");
  app->add_option("--tls-ca", context.tls_ca,
                  "Who may sign the server's certificate, or \"system\"; also "
                  "PERFVEC_TLS_CA [no TLS]")
      ->take_last()
      ->type_name(kFileType);
  app->add_option("--tls-cert", context.tls_certificate,
                  "The client's certificate; also PERFVEC_TLS_CERT")
      ->take_last()
      ->type_name(kFileType);
  app->add_option("--tls-key", context.tls_key, "Its key; also PERFVEC_TLS_KEY")
      ->take_last()
      ->type_name(kFileType);
  app->add_option("--token-file", context.token_file,
                  "File with the token; also PERFVEC_TOKEN_FILE; else "
                  "PERFVEC_TOKEN")
      ->take_last()
      ->type_name(kFileType);
  app->add_option("--request-id", context.request_id,
                  "By which the logs of server and workers tell this command; "
                  "also PERFVEC_REQUEST_ID [made at random]")
      ->take_last()
      ->type_name("ID");
  app->add_flag("--json", context.json, "Print JSON, for programs");
  app->set_config("--config", ConfigPath(),
                  "Configuration file "
                  "[$XDG_CONFIG_HOME/perfvec/config.toml]")
      ->type_name(kFileType);
  app->allow_config_extras(CLI::config_extras_mode::error);
  app->footer(
      "From a gem5 trace to a ranked list of processors:\n"
      "  perfvec import --trace trace.txt.zst --store trace.sq.txt.zst "
      "-o lbm.pvt\n"
      "  perfvec upload lbm.pvt --program lbm --wait\n"
      "  perfvec rank lbm\n"
      "\n"
      "perfvec COMMAND --help explains a command. Global options may stand "
      "behind it.");

  AddImportCommand(*app, context);
  AddTraceCommands(*app, context);
  AddRepresentCommand(*app, context);
  AddUploadCommand(*app, context);
  AddProgramCommands(*app, context);
  AddArchitectureCommands(*app, context);
  AddModelCommands(*app, context);
  AddJobCommands(*app, context);
  AddPredictCommand(*app, context);
  AddAnalyzeCommand(*app, context);
  AddMatrixCommand(*app, context);
  AddRankCommand(*app, context);
  AddExploreCommand(*app, context);
  AddLoadCommand(*app, context);
  AddServerCommands(*app, context);
  AddSlurmCommands(*app, context);
  AddManCommand(*app, context);
  return app;
}

int Main(int argc, char** argv) {
  Context context;
  auto app = MakeApp(context);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::vector<std::string> completing;
  const bool completes = !arguments.empty() && arguments[0] == "__complete";
  if (completes) {
    // Any command does: what is wanted is the configuration.
    completing.swap(arguments);
    arguments = {"server", "status"};
  }
  // CLI11 would let the configuration file win over the environment. As the
  // first argument the variable stands between the two.
  static constexpr std::pair<const char*, const char*> kVariables[] = {
      {"PERFVEC_SERVER", "--server="},
      {"PERFVEC_TLS_CA", "--tls-ca="},
      {"PERFVEC_TLS_CERT", "--tls-cert="},
      {"PERFVEC_TLS_KEY", "--tls-key="},
      {"PERFVEC_TOKEN_FILE", "--token-file="},
      {"PERFVEC_REQUEST_ID", "--request-id="}};
  for (const auto& [variable, option] : kVariables) {
    const char* value = std::getenv(variable);
    if (value == nullptr || value[0] == '\0') continue;
    arguments.insert(arguments.begin(), absl::StrCat(option, value));
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app->parse(arguments);
  } catch (const CLI::Success& success) {  // --help, --version
    return app->exit(success);
  } catch (const CLI::Error& error) {
    PrintError(UsageMessage(*app, error));
    std::cerr << "Try --help.\n";
    return ToInt(ExitCode::kUsage);
  }
  if (completes) {
    completing.erase(completing.begin());
    Complete(context, *app, std::move(completing));
    return ToInt(ExitCode::kSuccess);
  }
  const absl::Status status = context.action();
  std::cout.flush();
  if (!status.ok()) {
    Report(status);
    return ToInt(ExitCodeOf(status));
  }
  if (!std::cout) {
    PrintError("cannot write to standard output");
    return ToInt(ExitCode::kExhausted);
  }
  return SuccessExitCode();
}

}  // namespace perfvec::client::cli
