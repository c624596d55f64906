// perfvec analyze: where a program's time goes, and what another machine would
// change.
#include "absl/strings/str_cat.h"
#include "client/cli/analysis_output.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"
#include "worker/model/files.h"

namespace perfvec::client::cli {
namespace {

struct AnalyzeOptions {
  std::string program, on, against, model, plot, csv;
  bool functions = false, addresses = false;
  int phases = 0;
  uint64_t limit = 0, most = 0;
};

absl::Status Analyze(Context& context, const AnalyzeOptions& options) {
  api::AnalyzeProgramRequest request;
  request.set_program(options.program);
  request.set_model(options.model);
  request.set_phases(options.phases);
  request.add_architectures(options.on);
  if (!options.against.empty()) request.add_architectures(options.against);
  request.set_kind(options.functions   ? api::PART_KIND_FUNCTION
                   : options.addresses ? api::PART_KIND_ADDRESS
                                       : api::PART_KIND_INTERVAL);
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto answer = (*client)->AnalyzeProgram(request);
  if (!answer.ok()) return answer.status();
  absl::Status written;
  if (!options.csv.empty()) {
    written.Update(
        compute::WriteFileAtomically(options.csv, AnalysisCsv(*answer)));
  }
  if (!options.plot.empty()) {
    written.Update(
        compute::WriteFileAtomically(options.plot, AnalysisPicture(*answer)));
  }
  if (!written.ok()) return written;
  if (context.json) return PrintJson(std::cout, *answer);
  const bool two = answer->architectures_size() > 1;
  std::cout << RenderFields(
      {{"program", answer->program()},
       {"instructions", FormatCount(answer->instructions())},
       {"on", absl::StrCat(answer->architectures(0), ": ",
                           FormatTimeNs(answer->time_ns(0)))},
       {"against", two ? absl::StrCat(answer->architectures(1), ": ",
                                      FormatTimeNs(answer->time_ns(1)))
                       : ""},
       {"weighted slices", answer->weighted() ? "yes" : ""},
       {"model", answer->model_id()}});
  if (!options.functions && !options.addresses) {
    std::cout << "\n" << PhaseTable(*answer);
  }
  std::vector<int> chosen = ChooseParts(*answer, options.most);
  if (options.limit > 0 && chosen.size() > options.limit) {
    chosen.resize(options.limit);
  }
  std::cout << "\n" << AnalysisTable(*answer, chosen);
  return absl::OkStatus();
}

}  // namespace

void AddAnalyzeCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<AnalyzeOptions>();
  CLI::App* command = AddCommand(
      app, "analyze",
      "Tell where a program's predicted time goes: by intervals and phases, "
      "functions or instruction addresses; compare two architectures",
      {"perfvec analyze lbm --on cortex_a15_like",
       "perfvec analyze lbm --on little --against big --most 10 --plot lbm.svg",
       "perfvec analyze lbm --on little --against big --functions",
       "perfvec analyze lbm --on little --addresses --limit 30 --csv lbm.csv"});
  command->add_option("program", options->program, "The program")
      ->type_name(kProgramType)
      ->required();
  command->add_option("--on", options->on, "The architecture")
      ->type_name(kArchitectureType)
      ->required();
  auto* against =
      command
          ->add_option("--against", options->against,
                       "Another architecture, to compare part by part")
          ->type_name(kArchitectureType);
  command
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  auto* functions = command->add_flag(
      "--functions", options->functions,
      "By function; the program must have been represented --by-address");
  command
      ->add_flag("--addresses", options->addresses,
                 "By instruction address, the most executed ones")
      ->excludes(functions);
  command
      ->add_option("--phases", options->phases,
                   "So many phases; without it as many as the intervals show")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  command
      ->add_option("--most", options->most,
                   "Only the N parts in which the two architectures differ "
                   "most")
      ->needs(against)
      ->type_name("N");
  command
      ->add_option("--limit", options->limit,
                   "Show the first N parts one by one, the others as one line")
      ->type_name("N");
  command
      ->add_option("--plot", options->plot,
                   "Draw time of an instruction over the run, or the shares of "
                   "functions, into this SVG file")
      ->type_name(kFileType);
  command->add_option("--csv", options->csv, "Write every part into this file")
      ->type_name(kFileType);
  SetAction(command, context,
            [&context, options] { return Analyze(context, *options); });
}

}  // namespace perfvec::client::cli
