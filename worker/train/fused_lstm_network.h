// LstmNetwork on kernels that keep gates in registers (lstm_kernels.h): the
// products of a step, its nonlinearities and the new state in one pass over the
// weights, with operands of single precision or bfloat16. Sums, cells, gates,
// the predictor, parameters and gradients are single precision in both.
//
// Each thread takes some lanes through all steps; gradients of weights are sums
// over rows, shared out by blocks of units. Every sum has one order, so the
// bits do not depend on the number of threads.
#ifndef PERFVEC_WORKER_TRAIN_FUSED_LSTM_NETWORK_H_
#define PERFVEC_WORKER_TRAIN_FUSED_LSTM_NETWORK_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/train/lstm_kernels.h"
#include "worker/train/lstm_network.h"
#include "worker/train/thread_pool.h"

namespace perfvec::train {

class FusedLstmNetwork : public LstmNetwork {
 public:
  // Whether this CPU and this shape (a width of whole blocks of 16) are served.
  static bool Serves(const NetworkShape& shape);
  // `shape` is served.
  explicit FusedLstmNetwork(const NetworkShape& shape);

  void ResetLanes(int lanes) override;
  void ResetLane(int lane) override;
  std::vector<float> LaneState() const override;
  void SetLaneState(const std::vector<float>& state, int lanes) override;
  void Forward(const float* x, int steps, int lanes) override;
  void Represent(const float* x, int steps, int lanes) override;
  void Backward(const std::vector<float>& d_predictions) override;

 private:
  using Words = std::vector<uint32_t>;
  struct Layer {
    size_t x_words = 0;   // of a row of this layer's input
    Words forward;        // panels of the step
    Words d_hidden, d_x;  // panels of the way back; d_x: not in layer 0
    std::vector<float> bias;
    std::vector<float> gates;  // [T][H/16][B][64]
    std::vector<float> cell;   // [T+1][B][H]; row 0 is the carried state
    Words hidden;  // [T+1][B][hidden_stride_], a constant 1 after the H units
  };
  // One side of a sum over rows, as columns of encoded rows.
  struct Columns {
    const uint32_t* rows;
    size_t stride;
    size_t count;
  };

  size_t Width() const { return shape_.width; }
  void PackWeights(bool table);
  void CarryState(int steps, int lanes);
  void Run(const float* x, int steps, int lanes, bool predict);
  void ForwardLanes(const float* x, int begin, int end, bool predict);
  void BackwardLanes(size_t layer, const float* d_predictions, int begin,
                     int end);
  void LayerGradients(size_t layer);
  void TableGradients(const std::vector<float>& d_predictions);
  void ForEachLaneRange(const std::function<void(int, int)>& run);
  // Sums over all rows of products of every broadcast column with every column
  // of `panels`; finish(panel, sums [broadcast columns][64]) on any thread.
  void SumOverRows(const LstmKernels& kernels,
                   const std::vector<Columns>& broadcast, const Columns& panels,
                   const std::function<void(int, const float*)>& finish);
  // The input of a layer as encoded rows [T*B].
  const uint32_t* Input(size_t layer) const;
  size_t InputStride(size_t layer) const;

  const LstmKernels& kernels_;
  const LstmKernels& head_;  // of the predictor, single precision
  ThreadPool pool_;
  std::vector<Layer> layer_;
  size_t x_stride_, hidden_stride_, d_gates_stride_;  // words
  Words x_words_, d_gates_, broadcast_, panels_;
  Words table_, d_table_;  // panels: to predictions, back to representations
  std::vector<float> d_output_;
  int steps_ = 0, lanes_ = 0;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_FUSED_LSTM_NETWORK_H_
