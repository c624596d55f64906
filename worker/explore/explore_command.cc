#include "worker/explore/explore_command.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "worker/explore/study.h"
#include "worker/explore/study_report.h"
#include "worker/model/files.h"

namespace perfvec::explore {
namespace {

struct Command {
  StudyOptions options;
  std::string json, plot, precision = "auto";
  int threads = 0;
};

absl::Status Run(const Command& command) {
  StudyOptions options = command.options;
  auto precision = compute::ParsePrecision(command.precision);
  if (!precision.ok()) return precision.status();
  const int threads =
      command.threads > 0
          ? command.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.evidence.cpu.precision = *precision;
  options.evidence.cpu.threads = threads;
  options.learn.threads = threads;
  options.network.threads = threads;
  options.evidence.progress = [](const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
  };
  auto study = RunStudy(options);
  if (!study.ok()) return study.status();
  std::fputs(StudyText(*study).c_str(), stdout);
  if (!command.json.empty()) {
    absl::Status status = compute::WriteFileAtomically(
        command.json, StudyJson(*study).dump(1) + "\n");
    if (!status.ok()) return status;
  }
  if (command.plot.empty()) return absl::OkStatus();
  auto picture = StudyPicture(*study);
  if (!picture.ok()) return picture.status();
  return compute::WriteFileAtomically(command.plot, *picture);
}

}  // namespace

void AddExploreStudyCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  StudyOptions& o = command->options;
  CLI::App* sub = app->add_subcommand(
      "explore-study",
      "A design-space exploration, judged by the simulations it did not use");
  sub->add_option("--data", o.data,
                  "Folder with designs.json, programs.json, totals.json and "
                  "the programs' traces")
      ->required();
  sub->add_option("--model", o.model, "Model directory")->required();
  sub->add_option("--variants", o.variants,
                  "Folder with variants of one program, to be predicted on "
                  "some of the designs");
  sub->add_option("--objective", o.objective,
                  "Minimised; over time (ns) and the parameters")
      ->capture_default_str();
  sub->add_option("--linear", o.linear_scale,
                  "Parameters on a linear scale; others are logarithmic")
      ->delimiter(',');
  sub->add_option("--cache", o.evidence.cache,
                  "Folder that keeps what was represented");
  sub->add_option("--json", command->json, "All times, choices and summaries");
  sub->add_option("--plot", command->plot,
                  "SVG file: predicted beside simulated objective");
  sub->add_option("--precision", command->precision, "fp32, bf16 or auto")
      ->capture_default_str();
  sub->add_option("--threads", command->threads, "0: all cores")
      ->check(CLI::Range(0, 1024));
  sub->add_option("--seed", o.network.seed, "Of the networks' starts");
  sub->callback([command, exit_code] {
    const absl::Status status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker explore-study: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::explore
