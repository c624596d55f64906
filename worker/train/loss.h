// What a training update minimises: the squared error of each latency plus
// `window_weight` times the squared error of each piece's sum, the latencies
// scaled by the caller and weighted by the cell, (program, architecture), that
// they belong to.
//
// Shapes: T steps, B lanes, A architectures; rows time-major as in the network
// (row = t * B + b).
//
//   std::vector<float> d(T * B * A);
//   LossNumbers n = ComputeLoss({.window_weight = 0.3}, T, B, A, predictions,
//                               target, keep, weights, d.data());
//
// Functions without state; any thread.
#ifndef PERFVEC_WORKER_TRAIN_LOSS_H_
#define PERFVEC_WORKER_TRAIN_LOSS_H_

namespace perfvec::train {

struct LossOptions {
  double window_weight = 0.3;
};

struct LossNumbers {
  double loss = 0;  // mean over rows and architectures, without the sums' part
  // Of the sums of pieces: Σ |predicted − target| / Σ target.
  double window_error = 0;
};

// predictions, target: [T*B][A], target in units of the architecture's scale.
// keep: [T*B], 0: not in the loss (warm-up), else 1. weights: [B][A], of what
// each lane holds; 0: no target. derivative: [T*B][A], overwritten with d loss
// / d predictions.
LossNumbers ComputeLoss(const LossOptions& options, int steps, int lanes,
                        int architectures, const float* predictions,
                        const float* target, const float* keep,
                        const float* weights, float* derivative);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_LOSS_H_
