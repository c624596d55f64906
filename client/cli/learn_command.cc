// perfvec arch learn
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/learn_report.h"
#include "client/cli/run_evidence.h"
#include "client/cli/trace_evidence_file.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

struct LearnOptions {
  std::string name, model, runs_file, frequency, column;
  std::vector<std::string> runs, traces, tags, attributes, aliases;
  bool dry_run = false;
};

std::string Percent(double share) {
  return absl::StrFormat("%.1f %%", 100 * share);
}

absl::Status AddRuns(const LearnOptions& options, double ghz,
                     api::LearnArchitectureRequest* request) {
  for (const std::string& text : options.runs) {
    auto run = ParseRun(text, ghz);
    if (!run.ok()) return run.status();
    *request->add_runs() = *std::move(run);
  }
  if (options.runs_file.empty()) return absl::OkStatus();
  std::ifstream file;
  const bool standard_input = options.runs_file == "-";
  if (!standard_input) {
    file.open(options.runs_file);
    if (!file) {
      return absl::NotFoundError(
          absl::StrCat(options.runs_file, ": cannot be opened"));
    }
  }
  auto runs =
      ReadRuns(standard_input ? std::cin : file,
               standard_input ? "standard input" : options.runs_file, ghz);
  if (!runs.ok()) return runs.status();
  for (api::RunEvidence& run : *runs) *request->add_runs() = std::move(run);
  return absl::OkStatus();
}

absl::Status Learn(Context& context, const LearnOptions& options) {
  api::LearnArchitectureRequest request;
  api::Architecture& architecture = *request.mutable_architecture();
  architecture.set_name(options.name);
  absl::Status status = SetTags(options.tags, architecture.mutable_tags());
  if (!status.ok()) return status;
  for (const std::string& alias : options.aliases) {
    architecture.add_aliases(alias);
  }
  for (const std::string& text : options.attributes) {
    auto attribute = ParseKeyValue(text);
    if (!attribute.ok()) return attribute.status();
    (*architecture.mutable_attributes())[attribute->first] =
        ParseAttributeValue(attribute->second);
  }
  double ghz = 0;
  if (!options.frequency.empty()) {
    auto frequency = ParseFrequency(options.frequency);
    if (!frequency.ok()) return frequency.status();
    ghz = *frequency;
    (*architecture.mutable_attributes())["frequency_ghz"].set_number(ghz);
  }
  request.set_model(options.model);
  request.set_dry_run(options.dry_run);
  status = AddRuns(options, ghz, &request);
  if (!status.ok()) return status;
  for (const std::string& file : options.traces) {
    auto trace = ReadTraceEvidence(file, options.column, options.name);
    if (!trace.ok()) return trace.status();
    *request.add_traces() = *std::move(trace);
  }
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto answer = (*client)->LearnArchitecture(request);
  if (!answer.ok()) return answer.status();
  return PrintLearned(context, options.dry_run, answer->architecture());
}

}  // namespace

absl::Status PrintLearned(const Context& context, bool dry_run,
                          const api::Architecture& architecture) {
  if (context.json) return PrintJson(std::cout, architecture);
  const api::ArchitectureVector* vector = nullptr;
  for (const api::ArchitectureVector& one : architecture.vectors()) {
    if (one.has_learned()) vector = &one;
  }
  if (vector == nullptr) {
    return absl::InternalError(
        "expected a learned vector in the answer, found none");
  }
  const api::LearnReport& report = vector->learned();
  std::cout << RenderFields(
      {{"architecture",
        dry_run
            ? absl::StrCat(architecture.name(), " (not registered)")
            : absl::StrCat(architecture.name(), "@", architecture.version())},
       {"model", vector->model_id()},
       {"evidence",
        absl::StrCat(report.programs_size(), " programs; prior of ",
                     report.known_architectures(), " architectures")},
       {"error of fit", Percent(report.fit_error())},
       {"error left out",
        report.programs_size() > 1 ? Percent(report.left_out_error()) : "-"},
       {"noise of a total", Percent(report.noise())},
       {"determined",
        absl::StrFormat("%.1f directions", report.determined_directions())},
       {"per instruction", FormatTimeNs(report.scale_ns())},
       {"nearest known",
        absl::StrFormat("%s, times %.3g", report.nearest_architecture(),
                        report.nearest_ratio())},
       {"distance",
        absl::StrFormat(
            "%.2f%s", report.distance(),
            report.out_of_distribution() ? ", out of distribution" : "")}});
  Table table({{"PROGRAM", Table::kElastic},
               {"EVIDENCE"},
               {"TIME", Table::kRight},
               {"FITTED", Table::kRight},
               {"LEFT OUT", Table::kRight},
               {"NOTE"}},
              OutputWidth());
  for (const api::LearnReport::Program& program : report.programs()) {
    table.Add(
        {program.program(), program.evidence(), FormatTimeNs(program.time_ns()),
         FormatTimeNs(program.fitted_ns()), FormatTimeNs(program.left_out_ns()),
         program.set_aside() ? "set aside" : ""});
  }
  std::cout << "\n" << table.Render();
  for (const std::string& warning : report.warnings()) {
    std::cerr << "warning: " << Printable(warning) << "\n";
  }
  return absl::OkStatus();
}

void AddLearnCommand(CLI::App& group, Context& context) {
  auto options = std::make_shared<LearnOptions>();
  CLI::App* learn = AddCommand(
      group, "learn",
      "Learn an architecture's vector from times of programs that have a "
      "vector, or of traces; each call makes a new version",
      {"perfvec arch learn lab1 --run lbm=12.3ms --run mcf=1.04s",
       "perfvec arch learn lab1 --run lbm=12.1ms,12.4ms,12.2ms --dry-run",
       "perfvec arch learn lab1 --frequency 2.4GHz --run lbm=29.5e6cycles",
       "perfvec arch learn lab1 --runs times.txt   # PROGRAM TIME,... a line",
       "perfvec-worker evidence lbm.pvt --model models/base -o lbm.json; "
       "perfvec arch learn o3_9 --trace lbm.json --run mcf=1.04s"});
  learn->add_option("name", options->name, "Name of the architecture")
      ->type_name(kArchitectureType)
      ->required();
  learn
      ->add_option("--run", options->runs,
                   "PROGRAM=TIME[,TIME...][+-SPREAD]: time of a whole run of "
                   "what was traced, repetitions after commas; may be repeated")
      ->type_name("RUN")
      ->allow_extra_args(false);
  learn
      ->add_option("--runs", options->runs_file,
                   "A file of runs, PROGRAM TIME,... a line; - is standard "
                   "input")
      ->type_name(kFileType);
  learn
      ->add_option("--trace", options->traces,
                   "Latencies of the instructions of a program, a file that "
                   "`perfvec-worker evidence` made of a trace; may be repeated")
      ->type_name(kFileType)
      ->allow_extra_args(false);
  learn
      ->add_option("--column", options->column,
                   "The architecture of --trace files that have several; else "
                   "the one called NAME")
      ->type_name("NAME");
  learn
      ->add_option("--frequency", options->frequency,
                   "Clock of the machine, for times in cycles; kept as the "
                   "attribute frequency_ghz")
      ->check(Parses(&ParseFrequency))
      ->type_name("FREQUENCY");
  learn
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  learn
      ->add_option("--set", options->attributes,
                   "Set an attribute: a number, or a text; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  learn->add_option("--tag", options->tags, "Set a tag; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  learn
      ->add_option("--alias", options->aliases,
                   "Let an alias point to the version made; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  learn->add_flag("--dry-run", options->dry_run,
                  "Report what would be learned; register nothing");
  learn->callback([&context, options] {
    if (options->runs.empty() && options->runs_file.empty() &&
        options->traces.empty()) {
      throw CLI::RequiredError("arch learn needs --run, --runs or --trace");
    }
    context.action = [&context, options] { return Learn(context, *options); };
  });
}

}  // namespace perfvec::client::cli
