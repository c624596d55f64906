#include "worker/evaluate/evaluate_command.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "worker/evaluate/evaluation.h"
#include "worker/evaluate/learn_vectors.h"
#include "worker/evaluate/pictures.h"
#include "worker/evaluate/report.h"
#include "worker/model/files.h"

namespace perfvec::train {
namespace {

// Of the instructions of a program, for pictures.
constexpr size_t kSampleEvery = 499;

struct Command {
  EvaluationOptions options;
  std::string json_path, pictures, save_learned;
  bool no_rivals = false;
};

absl::Status Run(const Command& command) {
  EvaluationOptions options = command.options;
  options.plan.rivals = !command.no_rivals;
  if (!command.pictures.empty()) options.sample_every = kSampleEvery;
  const bool terminal = isatty(STDERR_FILENO) != 0;
  options.progress = [terminal](const std::string& message) {
    if (terminal) std::fprintf(stderr, "\r\033[K%s", message.c_str());
  };
  auto evaluation = Evaluate(options);
  if (terminal) std::fprintf(stderr, "\r\033[K");
  if (!evaluation.ok()) return evaluation.status();
  std::fputs(TextReport(*evaluation, options).c_str(), stdout);
  if (!command.pictures.empty()) {
    absl::Status status = DrawPictures(*evaluation, command.pictures);
    if (!status.ok()) return status;
  }
  if (!command.save_learned.empty()) {
    auto model = WithLearned(*evaluation);
    if (!model.ok()) return model.status();
    absl::Status status = model->Save(command.save_learned);
    if (!status.ok()) return status;
  }
  if (command.json_path.empty()) return absl::OkStatus();
  return compute::WriteFileAtomically(
      command.json_path,
      JsonReport(*evaluation, options)
              .dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
          "\n");
}

}  // namespace

void AddEvaluateCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  EvaluationOptions& o = command->options;
  CLI::App* sub = app->add_subcommand(
      "evaluate", "Errors of a model on simulated programs");
  sub->add_option("--data", o.data,
                  "Folder with programs.json, architectures.json and gem5/; "
                  "may be repeated")
      ->required()
      ->delimiter(',');
  sub->add_option("--model", o.model, "Model directory")->required();
  sub->add_option(
         "--split", o.plan.splits,
         "tail, left-out, unseen-programs, unseen-architectures or "
         "unseen-both; may be repeated. Default: all that can be taken")
      ->delimiter(',');
  sub->add_option("--programs", o.plan.programs, "Only these programs")
      ->delimiter(',');
  sub->add_option("--learn-from", o.plan.learn_from,
                  "Seen programs to learn architectures from that the model "
                  "does not know")
      ->delimiter(',');
  sub->add_flag("--open-unseen", o.plan.open_unseen,
                "Open what has the split \"unseen\"; counted in "
                "evaluations.json beside the model");
  sub->add_option("--save-learned", command->save_learned,
                  "Model directory to write: the model with the architectures "
                  "learned in this evaluation");
  sub->add_option("--json", command->json_path,
                  "Every single error and all summaries");
  sub->add_option("--plot", command->pictures,
                  "Folder for pictures (SVG) of representations, architecture "
                  "vectors and errors");
  sub->add_flag("--no-rivals", command->no_rivals,
                "Leave the simple methods out, and the training programs that "
                "they learn from unread");
  sub->add_option("--reference", o.reference,
                  "Architecture whose times the simple methods are given");
  sub->add_option("--threads", o.threads, "0: all cores");
  sub->add_option("--seed", o.summary.seed, "Of the bootstrap");
  sub->callback([command, exit_code] {
    const absl::Status status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker evaluate: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::train
