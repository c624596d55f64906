// The network that is trained: an LSTM stack, ReLU, and one linear predictor
// without bias per architecture; forward and backward written on single
// precision matrix products (CBLAS), so that nothing is kept or computed that
// back-propagation does not need.
//
// Gates stand in PyTorch's order i, f, g, o.
//
//   LstmNetwork net({.inputs = 100, .architectures = 77});   // see network.h
#ifndef PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_
#define PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_

#include <cstddef>
#include <vector>

#include "worker/train/network.h"

namespace perfvec::train {

class LstmNetwork : public Network {
 public:
  explicit LstmNetwork(const NetworkShape& shape);

  // Offsets into parameters() of weight_ih [4H][in], weight_hh [4H][H] and bias
  // [4H] of a layer.
  struct LayerOffsets {
    int inputs;
    size_t weight_ih, weight_hh, bias;
  };
  const std::vector<LayerOffsets>& layers() const { return layers_; }

  void ResetLanes(int lanes) override;
  void ResetLane(int lane) override;
  // [layer][cell, hidden][B][H].
  std::vector<float> LaneState() const override;
  void SetLaneState(const std::vector<float>& state, int lanes) override;
  void Forward(const float* x, int steps, int lanes) override;
  void Represent(const float* x, int steps, int lanes) override;
  void Backward(const std::vector<float>& d_predictions) override;

 private:
  struct LayerState {
    std::vector<float> gates;   // [T][B][4H], after the nonlinearities
    std::vector<float> cell;    // [T+1][B][H]; row 0 is the carried state
    std::vector<float> hidden;  // [T+1][B][H]
  };
  void ForwardLayer(size_t layer, const float* x);
  void BackwardLayer(size_t layer, const float* x, float* d_x);

  std::vector<LayerOffsets> layers_;
  std::vector<LayerState> state_;
  std::vector<float> d_hidden_, d_cell_, d_recurrent_;
  const float* x_ = nullptr;
  int steps_ = 0, lanes_ = 0;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_
