// The tensors of a file that torch.save wrote, without PyTorch and without
// executing anything of it.
//
// Since PyTorch 1.6 such a file is a zip archive: NAME/data.pkl, a pickle that
// describes the objects, and NAME/data/KEY, the bytes of each storage. Read are
// the dict `model_state_dict` (of float32 tensors) and the numbers beside it.
// Files of older versions, TorchScript modules, big-endian storages and other
// element types are refused, each by name. Tensors may have any strides within
// their storage; they come out contiguous.
//
// Free functions; any thread.
//
//   ASSIGN checkpoint = ReadTorchCheckpoint(bytes, "LSTM_256_2_1222.pt");
//   checkpoint.tensors.at("lstm.weight_ih_l0").shape;   // {1024, 51}
#ifndef PERFVEC_WORKER_CHECKPOINT_TORCH_CHECKPOINT_H_
#define PERFVEC_WORKER_CHECKPOINT_TORCH_CHECKPOINT_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/model/foundation_model.h"

namespace perfvec::checkpoint {

inline constexpr uint64_t kMaxCheckpointBytes = uint64_t{1} << 30;

struct TorchCheckpoint {
  compute::TensorMap tensors;             // of model_state_dict
  std::map<std::string, double> numbers;  // epoch, best_loss
};

// DATA_LOSS for a damaged file, INVALID_ARGUMENT for one that is something
// else; the message names the file and what was found.
absl::StatusOr<TorchCheckpoint> ReadTorchCheckpoint(absl::string_view bytes,
                                                    const std::string& label);

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_TORCH_CHECKPOINT_H_
