// A foundation model from a published PerfVec checkpoint: the state dict of
// InsLSTM(width, layers, narchs=n, bias=False) and the normalisation it was
// trained with.
//
// Its parts: nn.LSTM over the 51 features ("lstm.*", always with biases; the
// bias=False is the predictor's), ReLU, nn.Linear without bias
// ("linear.weight", a row an architecture). A sample is the 256 normalised
// instructions up to the one predicted, zeros before the trace's start: the
// window mode. What else InsLSTM can be (embedding, normalisation layer, both
// directions, GRU, predictor with bias) is refused by name.
//
// The checkpoint does not name its architectures: they become NAME_0, NAME_1,
// ...; renaming them in the manifest keeps the model id.
//
//   ASSIGN model = PublishedModel(checkpoint, stats, {.name = "perfvec"});
//   RETURN_IF_ERROR(model.Save("models/perfvec"));
#ifndef PERFVEC_WORKER_CHECKPOINT_PUBLISHED_MODEL_H_
#define PERFVEC_WORKER_CHECKPOINT_PUBLISHED_MODEL_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/torch_checkpoint.h"
#include "worker/model/foundation_model.h"

namespace perfvec::checkpoint {

struct PublishedModelOptions {
  std::string name;
  std::string license = "NOASSERTION";  // SPDX: not stated
  // What the file says goes there too ("epoch", "best_loss").
  std::map<std::string, std::string> provenance = {};
};

// stats: "mean" and "std" of the 51 features; a std of 0 counts as 1.
// INVALID_ARGUMENT naming the tensor or array, what was expected and found.
absl::StatusOr<compute::FoundationModel> PublishedModel(
    TorchCheckpoint checkpoint,
    const std::map<std::string, std::vector<double>>& stats,
    const PublishedModelOptions& options);

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_PUBLISHED_MODEL_H_
