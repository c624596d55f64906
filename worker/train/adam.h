// Adam (Kingma and Ba 2015, bias corrected, 0.9 and 0.999), with another rate
// for the table of architecture vectors, and an average of the weights over the
// last updates.
//
//   Adam adam(parameters.size(), options);
//   adam.Step(net.gradients(), table_offset, &net.parameters());
//
// Header only; one thread. Everything a run needs to go on is public.
#ifndef PERFVEC_WORKER_TRAIN_ADAM_H_
#define PERFVEC_WORKER_TRAIN_ADAM_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/train/options.h"

namespace perfvec::train {

struct Adam {
  explicit Adam(size_t size) : mean(size), square(size) {}

  // The rate of the next step: a linear rise, then a cosine down to
  // final_rate_share.
  double Rate(const TrainOptions& o) const {
    const double done = std::min(1.0, double(steps) / o.updates);
    const double ramp =
        std::min(1.0, (steps + 1.0) / o.learning_rate_warm_up_updates);
    const double share = o.final_rate_share + (1 - o.final_rate_share) * 0.5 *
                                                  (1 + std::cos(M_PI * done));
    return o.learning_rate * ramp * share;
  }

  // gradient_length: of `gradients`; a longer one than the limit is shortened.
  void Step(const std::vector<float>& gradients, double gradient_length,
            const TrainOptions& o, size_t table_offset,
            std::vector<float>* parameters) {
    const double rate = Rate(o);
    ++steps;
    const double correction =
        std::sqrt(1 - std::pow(0.999, steps)) / (1 - std::pow(0.9, steps));
    const float network_rate = rate * correction;
    const float table_rate = rate * o.table_rate_factor * correction;
    const float s =
        std::min(1.0, o.gradient_norm_limit / (gradient_length + 1e-12));
    // Decoupled from the gradient (Loshchilov and Hutter 2019).
    const float decay = 1 - rate * o.weight_decay;
    // The average starts as the plain one of the updates so far.
    const float keep = std::min(o.ema_decay, steps / (steps + 9.0));
    if (o.ema_decay > 0 && average.empty()) average = *parameters;
    for (size_t i = 0; i < parameters->size(); ++i) {
      const float g = gradients[i] * s;
      mean[i] = 0.9f * mean[i] + 0.1f * g;
      square[i] = 0.999f * square[i] + 0.001f * g * g;
      if (i < table_offset) (*parameters)[i] *= decay;
      (*parameters)[i] -= (i < table_offset ? network_rate : table_rate) *
                          mean[i] / (std::sqrt(square[i]) + 1e-8f);
    }
    for (size_t i = 0; i < average.size(); ++i) {
      average[i] = keep * average[i] + (1 - keep) * (*parameters)[i];
    }
  }

  std::vector<float> mean, square;
  std::vector<float> average;  // empty without ema_decay
  int64_t steps = 0;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_ADAM_H_
