// The network that is trained: an LSTM stack, ReLU, and one linear predictor
// without bias per architecture; forward and backward written on single
// precision matrix products (CBLAS), so that nothing is kept or computed that
// back-propagation does not need.
//
// Shapes: T steps, B lanes, I inputs, H width, A architectures; all arrays
// row-major with time outermost. Gates stand in PyTorch's order i, f, g, o.
//
// One thread at a time per object; the matrix products use BLAS's threads.
//
//   LstmNetwork net({.inputs = 100, .width = 256, .layers = 2,
//                    .architectures = 77, .seed = 1});
//   net.ResetLanes(B);
//   net.Forward(x, T, B);                       // net.predictions(): [T*B][A]
//   net.Backward(d_predictions);                // net.gradients()
#ifndef PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_
#define PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace perfvec::train {

struct NetworkShape {
  int inputs = 0;
  int width = 256;
  int layers = 2;
  int architectures = 0;
  uint64_t seed = 1;
};

class LstmNetwork {
 public:
  explicit LstmNetwork(const NetworkShape& shape);

  const NetworkShape& shape() const { return shape_; }

  // All parameters in one array, so that an optimiser is one loop. The table of
  // architecture vectors [A][H] comes last.
  std::vector<float>& parameters() { return parameters_; }
  const std::vector<float>& parameters() const { return parameters_; }
  std::vector<float>& gradients() { return gradients_; }
  size_t table_offset() const { return table_offset_; }
  // Offsets into parameters() of weight_ih [4H][in], weight_hh [4H][H] and bias
  // [4H] of a layer.
  struct LayerOffsets {
    int inputs;
    size_t weight_ih, weight_hh, bias;
  };
  const std::vector<LayerOffsets>& layers() const { return layers_; }

  // Zero state in every lane.
  void ResetLanes(int lanes);
  // Zero state in one lane (it goes on at another place of the data).
  void ResetLane(int lane);

  // x: [T*B][I], kept by reference until Backward. State is carried over from
  // the call before and not differentiated through.
  void Forward(const float* x, int steps, int lanes);
  // Only the representations, without the predictor.
  void Represent(const float* x, int steps, int lanes);
  const std::vector<float>& representations() const { return relu_; }
  const std::vector<float>& predictions() const { return predictions_; }

  // d_predictions: [T*B][A], the loss's derivative. Overwrites gradients().
  void Backward(const std::vector<float>& d_predictions);

 private:
  struct LayerState {
    std::vector<float> gates;   // [T][B][4H], after the nonlinearities
    std::vector<float> cell;    // [T+1][B][H]; row 0 is the carried state
    std::vector<float> hidden;  // [T+1][B][H]
  };
  void ForwardLayer(size_t layer, const float* x);
  void BackwardLayer(size_t layer, const float* x, float* d_x);

  NetworkShape shape_;
  std::vector<LayerOffsets> layers_;
  size_t table_offset_ = 0;
  std::vector<float> parameters_, gradients_;
  std::vector<LayerState> state_;
  std::vector<float> relu_, predictions_, d_hidden_, d_cell_, d_recurrent_;
  const float* x_ = nullptr;
  int steps_ = 0, lanes_ = 0;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_LSTM_NETWORK_H_
