// Trains a foundation model: an LSTM over encoded features whose ReLU outputs,
// multiplied by a table of architecture vectors, give each instruction's
// latency on every architecture at once (PerfVec, section III).
//
// Lanes walk through programs in pieces of `steps` instructions with the state
// carried over, and jump to another place every `pieces_per_visit` pieces; the
// first `warm_up` outputs after a jump are not in the loss. Latencies are
// divided by the architecture's mean; the loss is the squared error of each
// latency plus `window_weight` times the squared error of each piece's sum,
// weighted so that fast and slow programs count alike. Adam, cosine schedule.
//
// The same options, data and seed give the same model on the same machine.
//
//   absl::StatusOr<TrainedModel> model = Train(data, options);
#ifndef PERFVEC_WORKER_TRAIN_TRAINER_H_
#define PERFVEC_WORKER_TRAIN_TRAINER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/input_encoding.h"
#include "worker/train/architecture_fit.h"
#include "worker/train/dataset.h"
#include "worker/train/encoding.h"
#include "worker/train/network.h"

namespace perfvec::train {

struct TrainOptions {
  int width = 256;
  int layers = 2;
  int lanes = 64;
  int steps = 96;
  int pieces_per_visit = 16;
  int warm_up = 48;
  int updates = 8000;
  int learning_rate_warm_up_updates = 100;
  double learning_rate = 2e-3;
  double table_rate_factor = 5;  // of the architecture vectors
  double window_weight = 0.3;
  double program_power = 1.5;  // a program counts 1 / (mean latency)^power
  double gradient_norm_limit = 1.0;
  uint64_t seed = 1;
  bool bf16 = true;  // products on bfloat16 operands where the CPU has them
  int threads = 1;   // of the network
  std::string checkpoint_path;  // written every checkpoint_updates, if set
  int checkpoint_updates = 250;
  std::string log_path;  // JSON lines; empty: none
};

struct TrainedModel {
  compute::InputEncoding encoding;
  std::unique_ptr<Network> network;
  std::vector<double> scales;  // mean latency of each architecture, 0.1 ns
};

// Goes on from options.checkpoint_path if that file is there.
absl::StatusOr<TrainedModel> Train(const Dataset& data,
                                   const TrainOptions& options);

// Evidence for FitArchitectures, with representations as the service computes
// them (segments of 1024, warm-up 255): whole program or its first
// `max_instructions`, leaving out the first `skip_instructions`.
ProgramEvidence GatherEvidence(TrainedModel& model,
                               const TrainingProgram& program,
                               size_t architectures, size_t skip_instructions,
                               size_t max_instructions,
                               size_t interval_instructions);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_TRAINER_H_
