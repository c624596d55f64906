// The families of networks through LibTorch's autograd, for ablation:
//
//   linear       one layer: ReLU(W x + b)
//   mlp          `layers` of these
//   gru, lstm    nn::GRU and nn::LSTM, state carried over from piece to piece
//   bilstm       nn::LSTM over both directions of half the width each
//   transformer  an encoder with a causal mask: an instruction attends to those
//                before it in its piece; sinusoidal positions, 4 heads at most
//
// linear and mlp see one instruction; bilstm and transformer take each lane's
// piece as a context of its own. The output passes a ReLU in all of them.
//
// lstm here is the plain rival of LstmNetwork; MakeNetwork gives that one.
// Single precision; shape.threads sets LibTorch's threads for the process.
#ifndef PERFVEC_WORKER_TRAIN_TORCH_NETWORK_H_
#define PERFVEC_WORKER_TRAIN_TORCH_NETWORK_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/network.h"

namespace perfvec::train {

// INVALID_ARGUMENT: no such family, or a width it cannot split.
absl::StatusOr<std::unique_ptr<Network>> MakeTorchNetwork(
    const NetworkShape& shape);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_TORCH_NETWORK_H_
