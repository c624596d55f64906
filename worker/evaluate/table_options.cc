#include "worker/evaluate/table_options.h"

#include <cstdio>
#include <utility>

namespace perfvec::train {

void AddTableOptions(CLI::App* command, std::string* model,
                     TableOptions* table) {
  table->training_instructions = kTableTrainingInstructions;
  table->progress = [](const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
  };
  command->add_option("--model", *model, "Model directory")->required();
  command
      ->add_option("--data", table->data,
                   "Folder with programs.json, architectures.json and gem5/; "
                   "may be repeated")
      ->required()
      ->delimiter(',');
  command->add_option("--cache", table->cache,
                      "File that keeps the program vectors for the next time");
  command->add_option("--threads", table->threads, "0: all cores");
}

void SetTableAction(CLI::App* command, int* exit_code,
                    std::function<absl::Status()> run) {
  command->callback([command, exit_code, run = std::move(run)] {
    const absl::Status status = run();
    if (status.ok()) return;
    std::fprintf(stderr, "perfvec-worker %s: %s\n", command->get_name().c_str(),
                 std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace perfvec::train
