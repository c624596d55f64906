// perfvec slurm check|learn
#include "client/cli/slurm_command.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/learn_report.h"
#include "client/cli/slurm_site.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

constexpr size_t kMaxOutputBytes = 256 << 20;

// The output of one of Slurm's commands, and of its errors if `errors_too`.
absl::StatusOr<std::string> RunTool(const std::vector<std::string>& words,
                                    bool errors_too = false) {
  std::string line;
  for (const std::string& word : words) {
    absl::StrAppend(&line, "'", absl::StrReplaceAll(word, {{"'", "'\\''"}}),
                    "' ");
  }
  if (errors_too) line += "2>&1";
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) {
    return absl::InternalError(absl::StrCat(words[0], ": cannot be started"));
  }
  std::string output;
  char bytes[65536];
  while (const size_t got = fread(bytes, 1, sizeof(bytes), pipe)) {
    if (output.size() < kMaxOutputBytes) output.append(bytes, got);
  }
  const int status = pclose(pipe);
  if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        words[0],
        status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 127
            ? " is not here"
            : " failed",
        errors_too ? absl::StrCat(": ", output.substr(0, 500)) : ""));
  }
  return output;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

struct SlurmOptions {
  std::string site, program, sacct, since = "now-30days", model;
  std::vector<std::string> features;
  bool write_nodes = false, dry_run = false, print = false;
  int64_t min_seconds = 10;
};

absl::StatusOr<SlurmSite> ReadSite(const SlurmOptions& options) {
  auto text = ReadWhole(options.site);
  if (!text.ok()) return text.status();
  return ParseSlurmSite(*text, options.site);
}

absl::StatusOr<NodeTable> ReadNodes() {
  auto text = RunTool({"sinfo", "-h", "-N", "-o", kNodeFormat});
  if (!text.ok()) return text.status();
  return ParseNodes(*text);
}

// --- check ------------------------------------------------------------------

// One line a proof; counts the failures.
class Report {
 public:
  void Say(bool good, const std::string& what, absl::string_view detail) {
    failed_ += !good;
    table_.Add({good ? "ok" : "FAILED", what, std::string(detail)});
  }
  void Say(const std::string& what, const absl::Status& status,
           const std::string& good) {
    Say(status.ok(), what, status.ok() ? good : status.message());
  }
  absl::Status End() {
    std::cout << table_.Render();
    if (failed_ == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(failed_, failed_ == 1 ? " check" : " checks", " failed"));
  }

 private:
  Table table_{{{"RESULT"}, {"CHECK"}, {"DETAIL", Table::kElastic}}, 0};
  int failed_ = 0;
};

absl::Status CheckPlugin() {
  auto config = RunTool({"scontrol", "show", "config"});
  if (!config.ok()) return config.status();
  for (absl::string_view line : absl::StrSplit(*config, '\n')) {
    if (absl::StartsWith(line, "CliFilterPlugins") &&
        absl::StrContains(line, "lua")) {
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(
      "slurm.conf has no CliFilterPlugins=cli_filter/lua");
}

absl::Status CheckFeature(const NodeTable& nodes, const std::string& name) {
  for (const auto& [partition, shapes] : nodes.partitions) {
    if (shapes.count(name) != 0) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "no node of any partition has this feature; Slurm refuses jobs that "
      "prefer it");
}

absl::Status CheckArchitecture(Client& client, const SlurmSite& site,
                               const std::string& name,
                               const std::string& model_id) {
  auto architecture = client.GetArchitecture(name);
  if (!architecture.ok()) return architecture.status();
  if (site.objective == "cost" && !architecture->has_price_per_hour()) {
    return absl::FailedPreconditionError("has no price_per_hour");
  }
  if (site.objective == "energy" && !architecture->has_power_watts()) {
    return absl::FailedPreconditionError("has no power_watts");
  }
  for (const api::ArchitectureVector& vector : architecture->vectors()) {
    if (vector.model_id() == model_id) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "has no vector under the default model; see perfvec arch learn");
}

absl::Status CheckNodesFile(const SlurmSite& site, const NodeTable& nodes,
                            bool write) {
  const std::string wanted = nodes.ToJson(site);
  if (write) {
    const std::string part = site.nodes_file + ".part";
    std::ofstream file(part, std::ios::binary);
    file << wanted;
    file.close();
    if (!file || std::rename(part.c_str(), site.nodes_file.c_str()) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(site.nodes_file, ": cannot be written"));
    }
    return absl::OkStatus();
  }
  auto found = ReadWhole(site.nodes_file);
  if (!found.ok()) return found.status();
  if (*found == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      site.nodes_file, ": differs from Slurm's nodes; --write renews it"));
}

// Slurm's own sbatch with the filter, up to its question whether the job could
// run: the last line that the filter says of it.
absl::StatusOr<std::string> TrySubmission(const SlurmOptions& options,
                                          const std::string& program) {
  setenv("PERFVEC_SLURM_SITE", options.site.c_str(), 1);
  setenv("XDG_CACHE_HOME", "/nonexistent", 1);  // nothing that it remembers
  auto said =
      RunTool({"sbatch", "--test-only", "--verbose",
               absl::StrCat("--comment=perfvec=", program), "--wrap=true"},
              /*errors_too=*/true);
  if (!said.ok()) return said.status();
  std::string last;
  for (absl::string_view line : absl::StrSplit(*said, '\n')) {
    const size_t at = line.find("perfvec: ");
    if (at != line.npos) last = std::string(line.substr(at + 9));
  }
  if (last.empty()) {
    return absl::FailedPreconditionError(
        "the filter said nothing: is perfvec.lua called by the cli_filter.lua "
        "beside slurm.conf?");
  }
  if (absl::StartsWith(last, "no hint") && !absl::EndsWith(last, "alike")) {
    return absl::FailedPreconditionError(last);
  }
  return last;
}

absl::StatusOr<std::string> AnyProgram(Client& client,
                                       const std::string& model_id) {
  auto programs = client.ListPrograms({});
  if (!programs.ok()) return programs.status();
  for (const api::Program& program : programs->programs()) {
    for (const api::ProgramVectorInfo& vector : program.vectors()) {
      if (vector.model_id() == model_id) return program.name();
    }
  }
  return absl::FailedPreconditionError("no program has a vector");
}

absl::Status Check(Context& context, const SlurmOptions& options) {
  auto site = ReadSite(options);
  if (!site.ok()) return site.status();
  Report report;
  report.Say(true, "site file", options.site);
  report.Say("plugin", CheckPlugin(), "cli_filter/lua");
  auto nodes = ReadNodes();
  report.Say("nodes", nodes.status(), "sinfo answers");
  if (nodes.ok()) {
    for (const auto& [name, feature] : site->features) {
      report.Say("feature " + name, CheckFeature(*nodes, name),
                 feature.architecture);
    }
    report.Say("list of nodes",
               CheckNodesFile(*site, *nodes, options.write_nodes),
               site->nodes_file);
  }
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto status = (*client)->GetServerStatus();
  report.Say("server", status.status(), context.server);
  if (!status.ok()) return report.End();
  std::set<std::string> seen;
  for (const auto& [name, feature] : site->features) {
    if (!seen.insert(feature.architecture).second) continue;
    report.Say("architecture " + feature.architecture,
               CheckArchitecture(**client, *site, feature.architecture,
                                 status->default_model_id()),
               "has a vector");
  }
  absl::StatusOr<std::string> program = options.program;
  if (options.program.empty()) {
    program = AnyProgram(**client, status->default_model_id());
  }
  if (program.ok()) program = TrySubmission(options, *program);
  report.Say("sbatch", program.status(), program.ok() ? *program : "");
  return report.End();
}

// --- learn ------------------------------------------------------------------

absl::StatusOr<std::string> ReadAccounting(const SlurmOptions& options) {
  if (options.sacct == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), {});
  }
  if (!options.sacct.empty()) return ReadWhole(options.sacct);
  return RunTool({"sacct", "-a", "-P", "-X", "--state=COMPLETED",
                  "--starttime=" + options.since,
                  absl::StrCat("--format=", kAccountingFormat)});
}

void PrintRuns(const SlurmRuns& runs) {
  for (const auto& [feature, programs] : runs.runs) {
    std::cout << "# " << Printable(feature) << "\n";
    for (const auto& [program, run] : programs) {
      std::cout << Printable(program) << " ";
      for (int i = 0; i < run.time_ns_size(); ++i) {
        std::cout << (i > 0 ? "," : "") << run.time_ns(i) / 1e9 << "s";
      }
      if (run.spread_ns() > 0)
        std::cout << "+-" << run.spread_ns() / 1e9 << "s";
      std::cout << "\n";
    }
  }
}

absl::Status Learn(Context& context, const SlurmOptions& options) {
  auto site = ReadSite(options);
  if (!site.ok()) return site.status();
  for (const std::string& feature : options.features) {
    if (site->features.count(feature) == 0) {
      return absl::NotFoundError(
          absl::StrCat(options.site, ": has no feature \"", feature, "\""));
    }
  }
  auto nodes = ReadNodes();
  if (!nodes.ok()) return nodes.status();
  auto text = ReadAccounting(options);
  if (!text.ok()) return text.status();
  auto runs = ParseAccounting(*text, *site, *nodes, options.min_seconds);
  if (!runs.ok()) return runs.status();
  if (!options.features.empty()) {
    const std::set<std::string> wanted(options.features.begin(),
                                       options.features.end());
    for (auto it = runs->runs.begin(); it != runs->runs.end();) {
      it = wanted.count(it->first) ? std::next(it) : runs->runs.erase(it);
    }
  }
  std::cerr << runs->used << " runs used";
  for (const auto& [why, count] : runs->left_out) {
    std::cerr << "; " << count << " left out: " << why;
  }
  std::cerr << "\n";
  if (runs->runs.empty()) {
    return absl::FailedPreconditionError(
        "no job of the accounting can be learned from; see docs/slurm.md");
  }
  if (options.print) {
    PrintRuns(*runs);
    return absl::OkStatus();
  }
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  for (const auto& [feature, programs] : runs->runs) {
    api::LearnArchitectureRequest request;
    request.mutable_architecture()->set_name(
        site->features[feature].architecture);
    request.set_model(options.model);
    request.set_dry_run(options.dry_run);
    for (const auto& [program, run] : programs) *request.add_runs() = run;
    auto answer = (*client)->LearnArchitecture(request);
    if (!answer.ok()) return answer.status();
    const absl::Status printed =
        PrintLearned(context, options.dry_run, answer->architecture());
    if (!printed.ok()) return printed;
  }
  return absl::OkStatus();
}

std::string DefaultSite() {
  const char* site = std::getenv("PERFVEC_SLURM_SITE");
  return site != nullptr && *site != '\0' ? site : "/etc/perfvec/slurm.json";
}

void AddSite(CLI::App* command, SlurmOptions* options) {
  options->site = DefaultSite();
  command
      ->add_option("--site", options->site,
                   "The site's file; else PERFVEC_SLURM_SITE "
                   "[/etc/perfvec/slurm.json]")
      ->type_name(kFileType);
}

}  // namespace

void AddSlurmCommands(CLI::App& app, Context& context) {
  CLI::App* group = AddGroup(app, "slurm", "Hints for Slurm's jobs");
  auto check = std::make_shared<SlurmOptions>();
  CLI::App* command = AddCommand(
      *group, "check",
      "Prove a site's set-up: the plugin, the features of nodes, the "
      "architectures, and a submission with sbatch --test-only",
      {"perfvec slurm check --write   # after each change of slurm.conf",
       "perfvec slurm check --program lbm"});
  AddSite(command, check.get());
  command
      ->add_option("--program", check->program,
                   "Try a submission of this program; else of any")
      ->type_name(kProgramType);
  command->add_flag("--write", check->write_nodes,
                    "Renew the list of nodes that the filter goes by");
  SetAction(command, context,
            [&context, check] { return Check(context, *check); });

  auto learn = std::make_shared<SlurmOptions>();
  command = AddCommand(
      *group, "learn",
      "Learn the architectures of features from the run times of jobs in "
      "Slurm's accounting whose comment has perfvec=PROGRAM",
      {"perfvec slurm learn --dry-run",
       "perfvec slurm learn zen4 --since "
       "2026-01-01",
       "sacct -a -P -X --format=JobID,State,ExitCode,NNodes,NodeList,"
       "ElapsedRaw,Comment > jobs.txt; perfvec slurm learn --sacct jobs.txt "
       "--print"});
  AddSite(command, learn.get());
  command->add_option("feature", learn->features, "Of these features only")
      ->type_name("FEATURE");
  command
      ->add_option("--sacct", learn->sacct,
                   "Output of sacct to read; - is standard input; else sacct "
                   "is run")
      ->type_name(kFileType);
  command
      ->add_option("--since", learn->since,
                   "Jobs since then, as sacct takes it [now-30days]")
      ->type_name("TIME");
  command
      ->add_option("--min-seconds", learn->min_seconds,
                   "Leave out shorter jobs: Slurm counts whole seconds [10]")
      ->check(CLI::Range(1, 1000000))
      ->type_name("SECONDS");
  command
      ->add_option("--model", learn->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command->add_flag("--print", learn->print,
                    "Print the run times, as arch learn --runs takes them, "
                    "and learn nothing");
  command->add_flag("--dry-run", learn->dry_run,
                    "Report what would be learned; register nothing");
  SetAction(command, context,
            [&context, learn] { return Learn(context, *learn); });
}

}  // namespace perfvec::client::cli
