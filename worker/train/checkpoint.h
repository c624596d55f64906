// The whole state of a training run in one file, so that a run that was killed
// goes on as if it had not been, to the last bit.
//
//   Checkpoint checkpoint;                    // filled by the trainer
//   status = SaveCheckpoint(path, checkpoint);
//   auto found = LoadCheckpoint(path);        // NOT_FOUND: begin
//   status = CheckSameRun(path, found->options, options, found->data, data);
//
// Written beside and renamed, synced before: a kill or a power cut at any
// instant leaves the one before. One thread.
#ifndef PERFVEC_WORKER_TRAIN_CHECKPOINT_H_
#define PERFVEC_WORKER_TRAIN_CHECKPOINT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/sampler.h"

namespace perfvec::train {

// The best model so far, by validation.
struct Best {
  double error = 0;
  int64_t update = 0;  // 0: none yet
  bool averaged = false;
  int64_t worse_since = 0;  // validations since
  std::vector<float> parameters;
};

struct Checkpoint {
  nlohmann::json options;  // those that decide the model
  std::string data;        // fingerprint of the data
  int64_t steps = 0;
  std::vector<float> parameters, mean, square, average;
  std::vector<float> lane_state;
  SamplerState sampler;
  Best best;
  // Sums shown in the next line of the log.
  double shown_loss = 0, shown_error = 0;
  int64_t shown = 0;
  double shown_gradient = 0;
};

absl::Status SaveCheckpoint(const std::string& path, const Checkpoint& state);

// NOT_FOUND: there is none. DATA_LOSS: cut or damaged. FAILED_PRECONDITION: not
// a checkpoint of this version.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path);

// FAILED_PRECONDITION naming the options that differ, with both values, or that
// the data do. `updates` may differ: a run may be lengthened.
absl::Status CheckSameRun(const std::string& path, const Checkpoint& found,
                          const nlohmann::json& options,
                          const std::string& data);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_CHECKPOINT_H_
