// Everything a training run can be told, by name: from the command line, from a
// configuration file (JSON) and into the log, the checkpoint and the manifest.
//
//   TrainOptions options;
//   std::vector<OptionField> fields = OptionFields(&options);
//   status = ReadConfig("train.json", {"updates"}, fields);
//   OptionsJson(fields);                     // {"lanes": 64, ...}
//
// A name is the same everywhere, with '_' in JSON and '-' on the command line.
// Plain data; a field points into the options, which outlive it.
#ifndef PERFVEC_WORKER_TRAIN_OPTIONS_H_
#define PERFVEC_WORKER_TRAIN_OPTIONS_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "worker/train/loss.h"

namespace perfvec::train {

struct TrainOptions {
  // The network.
  std::string family = "lstm";
  int width = 256;
  int layers = 2;
  bool bf16 = true;
  int threads = 2;

  // What an update sees.
  int lanes = 64;
  int steps = 96;
  int pieces_per_visit = 16;
  int warm_up = 48;
  int architectures_sample = 0;  // of each update, drawn at random; 0: all

  // What is minimised: "scaled" or the paper's "mse" (trainer.h).
  std::string loss = "scaled";
  LossOptions loss_options;
  // A program counts 1 / (mean latency)^power; on one architecture it counts
  // 1 / (latency there over its mean latency)^cell_power more.
  double program_power = 2;
  double cell_power = 0;

  // How.
  int updates = 8000;
  double learning_rate = 2e-3;
  int learning_rate_warm_up_updates = 100;
  double final_rate_share = 0.02;  // of learning_rate, at the last update
  double table_rate_factor = 5;    // of the architecture vectors
  double gradient_norm_limit = 1.0;
  double weight_decay = 0;   // of the network, as AdamW has it
  double input_dropout = 0;  // of an input, in every other visit of a lane
  double ema_decay = 0.999;  // of the averaged weights; 0: none
  uint64_t seed = 1;

  // Choosing.
  int validate_updates = 500;  // validate every so many; 0: never
  int validate_segments = 16;  // of 1024 instructions, of each program
  int patience = 0;  // stop after so many validations without a better; 0: none

  // Keeping.
  std::string checkpoint;  // path; empty: none
  int checkpoint_updates = 250;
  std::string log;  // path, JSON lines; empty: none
  int log_updates = 20;
};

using OptionValue = std::variant<int*, double*, bool*, uint64_t*, std::string*,
                                 std::vector<std::string>*>;

struct OptionField {
  std::string name;  // with '_'
  std::string help;
  OptionValue value;
  // Whether another value gives another model. A checkpoint is refused if such
  // an option differs.
  bool decides_model = true;
};

std::vector<OptionField> OptionFields(TrainOptions* options);

// INVALID_ARGUMENT names the option, what it must be and what it is.
absl::Status CheckOptions(const TrainOptions& options);

// Sets the fields that the file names, but those in `given` (they stood on the
// command line). INVALID_ARGUMENT names an unknown key and the nearest known
// one, or a value of the wrong type.
absl::Status ReadConfig(const std::string& path,
                        const std::set<std::string>& given,
                        const std::vector<OptionField>& fields);

// All fields, or those that decide the model.
nlohmann::json OptionsJson(const std::vector<OptionField>& fields,
                           bool only_deciding = false);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_OPTIONS_H_
