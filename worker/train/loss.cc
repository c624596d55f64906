#include "worker/train/loss.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace perfvec::train {

LossNumbers ComputeLoss(const LossOptions& options, int steps, int lanes,
                        int architectures, const float* predictions,
                        const float* target, const float* keep,
                        const float* weights, float* derivative) {
  const size_t a = architectures;
  double loss = 0, absolute = 0, all = 0;
  const float norm = 1.0f / (float(steps) * lanes * a);
  const float window_weight = options.window_weight;
  std::vector<float> square(a), window(a), window_time(a);
  for (int b = 0; b < lanes; ++b) {
    const float* weight = weights + b * a;
    std::fill(square.begin(), square.end(), 0.0f);
    std::fill(window.begin(), window.end(), 0.0f);
    std::fill(window_time.begin(), window_time.end(), 0.0f);
    for (int t = 0; t < steps; ++t) {
      const size_t row = size_t(t) * lanes + b;
      const float* y = predictions + row * a;
      const float* wanted = target + row * a;
      float* d = derivative + row * a;  // first the error
      for (size_t j = 0; j < a; ++j) {
        d[j] = keep[row] * (y[j] - wanted[j]);
        square[j] += d[j] * d[j];
        window[j] += d[j];
        window_time[j] += keep[row] * wanted[j];
      }
    }
    for (size_t j = 0; j < a; ++j) {
      loss += weight[j] * square[j];
      if (weight[j] == 0) continue;
      absolute += std::abs(window[j]);
      all += window_time[j];
    }
    for (int t = 0; t < steps; ++t) {
      const size_t row = size_t(t) * lanes + b;
      float* d = derivative + row * a;
      for (size_t j = 0; j < a; ++j) {
        d[j] = 2 * norm * weight[j] * keep[row] *
               (d[j] + window_weight * window[j]);
      }
    }
  }
  return {loss * norm, absolute / all};
}

}  // namespace perfvec::train
