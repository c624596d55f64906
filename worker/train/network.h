// What is trained: a network that turns the encoded instructions of a piece
// into representations [H], and one linear predictor without bias per
// architecture on top of them. One interface for all families, so that the
// trainer knows none of them.
//
// Shapes: T steps, B lanes, I inputs, H width, A architectures; all arrays
// row-major with time outermost. The same shape, seed, data and number of
// threads give the same bits on the same machine.
//
// One thread at a time per object; a network may use shape().threads threads
// of its own inside a call.
//
//   auto net = MakeNetwork({.inputs = 100, .architectures = 77});
//   (*net)->ResetLanes(B);
//   (*net)->Forward(x, T, B);                // (*net)->predictions(): [T*B][A]
//   (*net)->Backward(d_predictions);         // (*net)->gradients()
#ifndef PERFVEC_WORKER_TRAIN_NETWORK_H_
#define PERFVEC_WORKER_TRAIN_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::train {

struct NetworkShape {
  int inputs = 0;
  int width = 256;
  int layers = 2;
  int architectures = 0;
  uint64_t seed = 1;
  std::string family = "lstm";
  // Products on bfloat16 operands with single-precision sums where the CPU has
  // instructions for it; parameters and gradients are single precision anyway.
  bool bf16 = false;
  int threads = 1;
  // As InputEncoding::passed: the representation's first elements are the last
  // inputs; no gradient goes through them.
  int passed = 0;
};

// A tensor of the model: where it lies in parameters().
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  size_t offset = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  const NetworkShape& shape() const { return shape_; }

  // All parameters in one array, so that an optimiser is one loop. The table of
  // architecture vectors [A][H] comes last, at table_offset().
  std::vector<float>& parameters() { return parameters_; }
  const std::vector<float>& parameters() const { return parameters_; }
  std::vector<float>& gradients() { return gradients_; }
  size_t table_offset() const { return table_offset_; }
  // In the order of parameters(), named as a model's file names them; the table
  // is "architecture_vectors".
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

  // Zero state in every lane.
  virtual void ResetLanes(int lanes) = 0;
  // Zero state in one lane (it goes on at another place of the data).
  virtual void ResetLane(int lane) = 0;
  // The state carried from call to call, all a run needs beside parameters() to
  // go on bit for bit; empty for families without state.
  virtual std::vector<float> LaneState() const = 0;
  // `state`: what LaneState() gave with the same shape and number of lanes.
  virtual void SetLaneState(const std::vector<float>& state, int lanes) = 0;

  // x: [T*B][I], kept by reference until Backward. State is carried over from
  // the call before and not differentiated through. Families without state take
  // each lane's T steps as a context of its own.
  virtual void Forward(const float* x, int steps, int lanes) = 0;
  // Only the representations, without the predictor.
  virtual void Represent(const float* x, int steps, int lanes) = 0;
  const std::vector<float>& representations() const { return representations_; }
  const std::vector<float>& predictions() const { return predictions_; }

  // d_predictions: [T*B][A], the loss's derivative. Overwrites gradients().
  virtual void Backward(const std::vector<float>& d_predictions) = 0;

 protected:
  explicit Network(NetworkShape shape) : shape_(std::move(shape)) {}

  // Overwrites the first elements of representations [rows][H] with the last
  // inputs of x [rows][I].
  void Pass(const float* x, size_t rows, float* representations) const;

  NetworkShape shape_;
  std::vector<float> parameters_, gradients_;
  std::vector<float> representations_;  // [T*B][H], after the ReLU, passed
  std::vector<float> predictions_;      // [T*B][A]
  std::vector<NamedTensor> tensors_;
  size_t table_offset_ = 0;
};

// INVALID_ARGUMENT names the field of the shape that is out of range.
// Families: lstm, and those of torch_network.h.
absl::StatusOr<std::unique_ptr<Network>> MakeNetwork(const NetworkShape& shape);

// INVALID_ARGUMENT for a family that no foundation model can hold.
absl::Status CheckServable(const NetworkShape& shape);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_NETWORK_H_
