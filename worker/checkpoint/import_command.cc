#include "worker/checkpoint/import_command.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "worker/checkpoint/npz.h"
#include "worker/checkpoint/published_model.h"
#include "worker/checkpoint/torch_checkpoint.h"
#include "worker/model/files.h"

namespace perfvec::checkpoint {
namespace {

constexpr uint64_t kMaxStatsBytes = 16 << 20;
constexpr size_t kMaxStatistics = 4096;

struct Flags {
  std::string checkpoint, stats, out;
  PublishedModelOptions model;
};

absl::Status Import(const Flags& flags) {
  auto bytes = compute::ReadWholeFile(flags.checkpoint, kMaxCheckpointBytes);
  if (!bytes.ok()) return bytes.status();
  auto checkpoint = ReadTorchCheckpoint(*bytes, flags.checkpoint);
  if (!checkpoint.ok()) return checkpoint.status();
  auto stats_bytes = compute::ReadWholeFile(flags.stats, kMaxStatsBytes);
  if (!stats_bytes.ok()) return stats_bytes.status();
  auto stats = ReadNpz(*stats_bytes, flags.stats, kMaxStatistics);
  if (!stats.ok()) return stats.status();
  PublishedModelOptions options = flags.model;
  options.provenance["imported_from"] =
      flags.checkpoint.substr(flags.checkpoint.rfind('/') + 1);
  auto model = PublishedModel(*std::move(checkpoint), *stats, options);
  if (!model.ok()) return model.status();
  if (absl::Status s = model->Save(flags.out); !s.ok()) return s;
  const compute::Manifest& m = model->manifest();
  std::printf("%s: LSTM-%d-%d, %zu architecture vectors, model id %s\n",
              flags.out.c_str(), m.layers, m.width, m.architectures.size(),
              model->id().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddImportCheckpointCommand(CLI::App* app, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app->add_subcommand(
      "import-checkpoint",
      "Make a foundation model of a published PerfVec checkpoint; executes "
      "nothing of it");
  command
      ->add_option("--checkpoint", flags->checkpoint,
                   "File of torch.save with a model_state_dict of InsLSTM")
      ->type_name("FILE.pt")
      ->required();
  command
      ->add_option("--stats", flags->stats,
                   "The mean and std it was trained with")
      ->type_name("FILE.npz")
      ->required();
  command->add_option("--out", flags->out, "Directory of the new model")
      ->type_name("DIR")
      ->required();
  command->add_option("--name", flags->model.name, "Name of the new model")
      ->required();
  command
      ->add_option("--license", flags->model.license,
                   "SPDX expression for the manifest")
      ->capture_default_str();
  command->callback([flags, exit_code] {
    const absl::Status status = Import(*flags);
    if (status.ok()) return;
    std::fprintf(stderr, "perfvec-worker import-checkpoint: %s\n",
                 std::string(status.message()).c_str());
    *exit_code = 1;
  });
}

}  // namespace perfvec::checkpoint
