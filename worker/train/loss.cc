#include "worker/train/loss.h"

#include <cmath>
#include <cstddef>
#include <vector>

namespace perfvec::train {

LossNumbers ComputeLoss(const LossOptions& options, int steps, int lanes,
                        int architectures, const float* predictions,
                        const float* target, const float* keep,
                        float* derivative) {
  const size_t a = architectures;
  float* const d = derivative;  // first the error
  double loss = 0, absolute = 0, all = 0;
  const float norm = 1.0f / (float(steps) * lanes * a);
  for (int b = 0; b < lanes; ++b) {
    std::vector<double> window(a), window_time(a);
    for (int t = 0; t < steps; ++t) {
      const size_t row = size_t(t) * lanes + b;
      for (size_t j = 0; j < a; ++j) {
        const size_t i = row * a + j;
        d[i] = keep[row] > 0 ? predictions[i] - target[i] : 0;
        loss += keep[row] * d[i] * d[i];
        window[j] += d[i];
        window_time[j] += keep[row] > 0 ? target[i] : 0;
      }
    }
    for (size_t j = 0; j < a; ++j) {
      absolute += std::abs(window[j]);
      all += window_time[j];
    }
    for (int t = 0; t < steps; ++t) {
      const size_t row = size_t(t) * lanes + b;
      for (size_t j = 0; j < a; ++j) {
        const size_t i = row * a + j;
        d[i] = 2 * norm * keep[row] *
               (d[i] + float(options.window_weight) * float(window[j]));
      }
    }
  }
  return {loss * norm, absolute / all};
}

}  // namespace perfvec::train
