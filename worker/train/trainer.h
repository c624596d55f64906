// Trains a foundation model: a network over encoded features whose ReLU
// outputs, multiplied by a table of architecture vectors, give each
// instruction's latency on every architecture at once (PerfVec, section III).
//
// Lanes walk through programs with the state carried over (sampler.h).
// Latencies are divided by the architecture's mean; the loss (loss.h) is
// weighted so that fast and slow programs count alike. With loss "mse" it is
// the paper's: plain squared error, architectures and programs unscaled.
//
// The same options, data, seed and number of threads give the same model on the
// same machine, also if the run was killed and gone on with from its
// checkpoint.
//
//   TrainingData data = {architecture names, encoding, training, validation};
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
#include "worker/train/dataset.h"
#include "worker/train/network.h"
#include "worker/train/options.h"
#include "worker/train/peers.h"

namespace perfvec::train {

struct TrainingData {
  std::vector<std::string> architectures;
  size_t auxiliary = 0;  // the last so many are not validated
  compute::InputEncoding encoding;
  std::vector<Slice> training;
  std::vector<Slice> validation;  // may be empty: the last weights are taken
};

struct TrainedModel {
  compute::InputEncoding encoding;
  std::unique_ptr<Network> network;
  std::vector<double> scales;  // of each architecture, 0.1 ns
  // Which weights these are.
  int64_t update = 0;
  bool averaged = false;
  double validation_error = 0;  // 0 without validation
  int64_t updates_done = 0;     // fewer than asked for if it stopped early
};

// Goes on from options.checkpoint if that file is there.
// With `peers`, all of them call this with the same data and options, and get
// the same model; each walks options.lanes / size lanes.
absl::StatusOr<TrainedModel> Train(const TrainingData& data,
                                   const TrainOptions& options,
                                   Peers* peers = nullptr);
// Only up to that update of the run, nothing saved on the way out: for tests of
// going on.
absl::StatusOr<TrainedModel> TrainUntil(const TrainingData& data,
                                        const TrainOptions& options,
                                        int64_t update, Peers* peers = nullptr);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_TRAINER_H_
