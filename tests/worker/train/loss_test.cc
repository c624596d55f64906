#include "worker/train/loss.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace perfvec::train {
namespace {

constexpr int kSteps = 5, kLanes = 3, kArchitectures = 4;

// The loss as loss.h defines it, with the sums' part, in double precision.
double PlainLoss(double window_weight, const std::vector<float>& y,
                 const std::vector<float>& target,
                 const std::vector<float>& keep,
                 const std::vector<float>& weights) {
  double loss = 0;
  for (int b = 0; b < kLanes; ++b) {
    for (int a = 0; a < kArchitectures; ++a) {
      double sum = 0, squares = 0;
      for (int t = 0; t < kSteps; ++t) {
        const int row = t * kLanes + b;
        const double error = double{y[row * kArchitectures + a]} -
                             target[row * kArchitectures + a];
        squares += keep[row] * error * error;
        sum += keep[row] * error;
      }
      loss += weights[b * kArchitectures + a] *
              (squares + window_weight * sum * sum);
    }
  }
  return loss / (kSteps * kLanes * kArchitectures);
}

TEST(Loss, DerivativeIsThatOfTheDefinition) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  const size_t cells = kSteps * kLanes * kArchitectures;
  std::vector<float> y(cells), target(cells), d(cells);
  for (float& v : y) v = normal(random);
  for (float& v : target) v = normal(random);
  std::vector<float> keep(kSteps * kLanes, 1.0f);
  for (int t = 0; t < 2; ++t) keep[t * kLanes + 1] = 0;  // a lane warms up
  std::vector<float> weights(kLanes * kArchitectures);
  for (float& v : weights) v = 0.5f + (random() % 100) / 50.0f;
  weights[1] = 0;  // not simulated
  const LossOptions options{.window_weight = 0.7};
  ComputeLoss(options, kSteps, kLanes, kArchitectures, y.data(), target.data(),
              keep.data(), weights.data(), d.data());
  for (size_t i = 0; i < cells; ++i) {
    constexpr float kStep = 1e-3f;
    std::vector<float> up = y, down = y;
    up[i] += kStep;
    down[i] -= kStep;
    const double slope = (PlainLoss(0.7, up, target, keep, weights) -
                          PlainLoss(0.7, down, target, keep, weights)) /
                         (double{up[i]} - down[i]);
    EXPECT_NEAR(d[i], slope, 1e-4) << i;
  }
  for (int t = 0; t < kSteps; ++t) {
    EXPECT_EQ(d[t * kLanes * kArchitectures + 1], 0) << "weight 0";
  }
}

TEST(Loss, WindowErrorLeavesOutWhatWasNotSimulated) {
  const std::vector<float> y = {3, 9}, target = {2, 0}, keep = {1};
  std::vector<float> d(2);
  const std::vector<float> some = {1, 0};
  EXPECT_FLOAT_EQ(ComputeLoss({}, 1, 1, 2, y.data(), target.data(), keep.data(),
                              some.data(), d.data())
                      .window_error,
                  0.5);
}

}  // namespace
}  // namespace perfvec::train
