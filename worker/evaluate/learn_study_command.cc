#include "worker/evaluate/learn_study_command.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/evaluate/data_folder.h"
#include "worker/evaluate/learn_study.h"
#include "worker/evaluate/ledger.h"
#include "worker/evaluate/program_table.h"
#include "worker/evaluate/table_options.h"
#include "worker/model/foundation_model.h"

namespace perfvec::train {
namespace {

struct Command {
  TableOptions table;
  LearnStudyOptions study;
  std::string model;
  bool open_unseen = false;
};

void Print(const std::vector<LearnStudyRow>& rows, bool unseen) {
  std::string text = absl::StrFormat(
      "Architectures %s; median error over the programs not given, median and "
      "90th percentile over draws\n\n"
      "| runs | learned | regression | nearest | said | within 90 %% interval "
      "| flagged | ms |\n|---|---|---|---|---|---|---|---|\n",
      unseen ? "of split \"unseen\"" : "known, each learned as if it were not");
  for (const LearnStudyRow& row : rows) {
    absl::StrAppendFormat(
        &text,
        "| %d | %.1f / %.1f %% | %.1f / %.1f %% | %.1f / %.1f %% | %.1f %% | "
        "%.1f %% (%.1f to %.1f) | %.1f %% | %.1f |\n",
        row.runs, 100 * row.error, 100 * row.error_p90, 100 * row.regression,
        100 * row.regression_p90, 100 * row.nearest, 100 * row.nearest_p90,
        100 * row.left_out_error, 100 * row.coverage,
        100 * row.coverage_interval.low, 100 * row.coverage_interval.high,
        100 * row.flagged, row.milliseconds);
  }
  std::fputs(text.c_str(), stdout);
}

// Counts the look at architectures of split "unseen" and lists them.
absl::StatusOr<std::vector<std::string>> OpenUnseen(
    const Command& command, const compute::FoundationModel& model) {
  auto unseen = UnseenArchitectures(command.table.data);
  if (!unseen.ok()) return unseen.status();
  if (unseen->empty()) {
    return absl::NotFoundError(
        "--open-unseen: the data has no architectures of split \"unseen\"");
  }
  Plan plan;
  PlannedProgram program;
  std::vector<std::string> names;
  for (const std::string& name : *unseen) {
    program.architectures.push_back(plan.architectures.size());
    plan.architectures.emplace_back();
    plan.architectures.back().name = name;
    plan.architectures.back().split = Split::kUnseen;
    names.push_back(name);
  }
  plan.programs.push_back(std::move(program));
  auto times = CountOpening(command.model, model.id(), plan);
  if (!times.ok()) return times.status();
  std::printf("Unseen data has now been opened %d times for this model.\n",
              static_cast<int>(*times));
  return names;
}

absl::Status Run(const Command& command) {
  auto loaded = compute::FoundationModel::Load(command.model);
  if (!loaded.ok()) return loaded.status();
  auto model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  const compute::Manifest& manifest = model->manifest();
  TableOptions options = command.table;
  LearnStudyOptions study = command.study;
  std::vector<compute::KnownVector> known;
  std::vector<size_t> columns;
  std::vector<LearnTarget> targets;
  auto numbers = KnownArchitectures(manifest, command.table.data);
  if (!numbers.ok()) return numbers.status();
  for (size_t a : *numbers) {
    const float* from = model->ArchitectureVector(static_cast<int>(a));
    const size_t column = columns.size();
    known.push_back(
        {manifest.architectures[a].name, {from, from + manifest.width}});
    columns.push_back(column);
    options.architectures.push_back(known.back().name);
    targets.push_back({column, column});
  }
  if (command.open_unseen) {
    auto names = OpenUnseen(command, *model);
    if (!names.ok()) return names.status();
    targets.clear();
    for (const std::string& name : *names) {
      targets.push_back({options.architectures.size(), std::nullopt});
      options.architectures.push_back(name);
    }
  }
  if (!manifest.calibration_json.empty()) {
    auto calibration =
        compute::ParseCalibration(manifest.calibration_json, manifest.width);
    if (!calibration.ok()) return calibration.status();
    study.calibration = *std::move(calibration);
  }
  auto rows = MakeProgramTable(model, options);
  if (!rows.ok()) return rows.status();
  auto result = StudyLearning(*rows, known, columns, targets, study);
  if (!result.ok()) return result.status();
  std::printf("%d programs, %d architectures, %d draws each.\n",
              static_cast<int>(rows->size()), static_cast<int>(targets.size()),
              study.draws);
  Print(*result, command.open_unseen);
  return absl::OkStatus();
}

}  // namespace

void AddLearnStudyCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  CLI::App* sub = app->add_subcommand(
      "learn-study",
      "How well architectures are learned from times of a few whole runs");
  AddTableOptions(sub, &command->model, &command->table);
  sub->add_option("--runs", command->study.runs, "Numbers of runs given")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--draws", command->study.draws,
                  "Random choices of the runs, of each architecture")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  sub->add_option("--seed", command->study.seed, "Of the draws");
  sub->add_flag("--open-unseen", command->open_unseen,
                "Learn the architectures of split \"unseen\" instead; counted "
                "in evaluations.json beside the model");
  SetTableAction(sub, exit_code, [command] { return Run(*command); });
}

}  // namespace perfvec::train
