#include "worker/evaluate/calibrate_command.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/evaluate/calibrate.h"
#include "worker/evaluate/program_table.h"
#include "worker/evaluate/table_options.h"
#include "worker/model/files.h"
#include "worker/model/foundation_model.h"

namespace perfvec::train {
namespace {

constexpr double kLevel = 0.9;  // of the coverage reported

struct Command {
  TableOptions table;
  std::string model;
  bool dry_run = false;
};

void Print(const LeftOutResult& result, const compute::Calibration& c) {
  std::string text = absl::StrFormat(
      "| program | error | within %.0f %% interval | distance / limit | "
      "flagged "
      "|\n|---|---|---|---|---|\n",
      100 * kLevel);
  for (const LeftOutResult::Program& p : result.programs) {
    absl::StrAppendFormat(
        &text, "| %s | %.1f %% | %.0f %% | %.2f | %.0f %% |\n", p.name,
        100 * p.error, 100 * p.covered, p.distance, 100 * p.flagged);
  }
  absl::StrAppendFormat(
      &text,
      "\nEach family judged by a calibration on the others: %.1f %% of times "
      "within the %.0f %% interval (bootstrap over families: %.1f to %.1f %%), "
      "its mean width %.0f %% of the time.\n"
      "Of %d predictions off by more than 20 %%, %d are flagged; of %d others, "
      "%d.\n"
      "Spread grows by %g to the limit; 90 %% quantile %.3f of log time.\n",
      100 * result.coverage, 100 * kLevel, 100 * result.coverage_interval.low,
      100 * result.coverage_interval.high, 100 * result.mean_width,
      result.large, result.large_flagged, result.small, result.small_flagged,
      c.growth, c.Quantile(kLevel));
  std::fputs(text.c_str(), stdout);
}

absl::Status Run(const Command& command) {
  auto loaded = compute::FoundationModel::Load(command.model);
  if (!loaded.ok()) return loaded.status();
  auto model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  TableOptions options = command.table;
  std::vector<double> vectors;
  compute::Manifest manifest = model->manifest();
  auto known = KnownArchitectures(manifest, options.data);
  if (!known.ok()) return known.status();
  for (size_t a : *known) {
    options.architectures.push_back(manifest.architectures[a].name);
    const float* from = model->ArchitectureVector(static_cast<int>(a));
    vectors.insert(vectors.end(), from, from + manifest.width);
  }
  auto rows = MakeProgramTable(model, options);
  if (!rows.ok()) return rows.status();
  auto calibration = Calibrate(*rows, vectors, options.architectures);
  if (!calibration.ok()) return calibration.status();
  auto left_out =
      LeaveFamiliesOut(*rows, vectors, options.architectures, kLevel);
  if (!left_out.ok()) return left_out.status();
  Print(*left_out, *calibration);
  if (command.dry_run) return absl::OkStatus();
  nlohmann::json record = nlohmann::json::parse(calibration->record_json);
  record["coverage_of_90"] = left_out->coverage;
  record["coverage_of_90_low"] = left_out->coverage_interval.low;
  record["coverage_of_90_high"] = left_out->coverage_interval.high;
  calibration->record_json = record.dump();
  manifest.calibration_json =
      compute::SerializeCalibration(*calibration, manifest.width);
  auto text = compute::SerializeManifest(manifest);
  if (!text.ok()) return text.status();
  return compute::WriteFileAtomically(
      absl::StrCat(command.model, "/", compute::kManifestFileName), *text);
}

}  // namespace

void AddCalibrateCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  CLI::App* sub = app->add_subcommand(
      "calibrate",
      "Measure a model's errors on programs it was not trained on, for the "
      "intervals of its predictions, and write them into its manifest");
  AddTableOptions(sub, &command->model, &command->table);
  sub->add_option("--training-instructions",
                  command->table.training_instructions,
                  "Of each training program at most so many, from its begin")
      ->capture_default_str();
  sub->add_flag("--dry-run", command->dry_run, "Print only");
  SetTableAction(sub, exit_code, [command] { return Run(*command); });
}

}  // namespace perfvec::train
