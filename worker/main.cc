// perfvec-worker: computes program vectors for a server; trains models,
// evaluates and imports them.

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "proto/log.h"
#include "worker/agent/run_command.h"
#include "worker/checkpoint/import_command.h"
#include "worker/evaluate/calibrate_command.h"
#include "worker/evaluate/evaluate_command.h"
#include "worker/evaluate/learn_study_command.h"
#include "worker/evidence/evidence_command.h"
#include "worker/explore/explore_command.h"
#include "worker/explore/slice_study.h"
#include "worker/train/train_command.h"

int main(int argc, char** argv) {
  perfvec::UseLog("worker", perfvec::LogFormat::kText);
  CLI::App app("The worker of PerfVec Serve");
  app.require_subcommand(1);
  app.set_version_flag("--version", PERFVEC_VERSION);
  app.set_config("--config", "",
                 "TOML file: options of a command in a section of its name");
  app.allow_config_extras(CLI::config_extras_mode::error);
  int exit_code = 0;
  perfvec::worker::AddRunCommand(&app, &exit_code);
  perfvec::train::AddTrainCommand(&app, &exit_code);
  perfvec::train::AddEvaluateCommand(&app, &exit_code);
  perfvec::train::AddCalibrateCommand(&app, &exit_code);
  perfvec::train::AddLearnStudyCommand(&app, &exit_code);
  perfvec::evidence::AddEvidenceCommand(&app, &exit_code);
  perfvec::explore::AddExploreStudyCommand(&app, &exit_code);
  perfvec::explore::AddSliceStudyCommand(&app, &exit_code);
  perfvec::checkpoint::AddImportCheckpointCommand(&app, &exit_code);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}
