// From a design's parameters to its architecture vector: a small network
// trained on the vectors of sampled designs, the foundation model frozen.
//
// What a sample's simulations say about its vector is a quadratic form with the
// learned vector M_a as its minimum (docs/exploration.md), so the loss of a
// network f over all their instructions is, but for a constant,
//
//   Σ_a (f(x_a) − M_a)ᵀ A_a (f(x_a) − M_a) / (M_aᵀ A_a M_a),
//
// and an epoch costs one small product per sample instead of a pass over
// traces. f is written in the principal components of the M_a under the mean
// metric, of which K samples have K − 1, so that is where it runs:
//   f(x) = μ + B (V tanh(W x + w) + U x + u),
// with a penalty on V, W and U. Hidden units and penalty are chosen by leaving
// samples out; the final vector is the mean of networks from several starts.
//
// Immutable after Fit; any thread.
//
//   ASSIGN model = DesignModel::Fit(space, samples, {});
//   std::vector<double> m = model.Vector(point);      // [H]
//   model.held_out()[a];  // of sample a, by a network that had not seen it
#ifndef PERFVEC_WORKER_EXPLORE_DESIGN_MODEL_H_
#define PERFVEC_WORKER_EXPLORE_DESIGN_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/explore/parameter_space.h"

namespace perfvec::explore {

struct DesignSample {
  Point point;
  std::vector<double> vector;  // M_a [H]
  // A_a [H][H], symmetric, positive semidefinite, any scale.
  std::shared_ptr<const std::vector<double>> metric;
};

struct NetworkSize {
  int hidden = 0;      // tanh units; 0: linear
  double penalty = 0;  // relative to the loss per sample
};

struct DesignModelOptions {
  // Tried in cross-validation; the order breaks ties.
  std::vector<NetworkSize> sizes = DefaultSizes();
  int members = 8;   // networks averaged
  size_t folds = 0;  // of cross-validation; 0: one a sample, at most 20
  int iterations = 200;
  uint64_t seed = 1;
  int threads = 1;
  // Asked between two networks, from any of the threads; true: Fit ends with
  // CANCELLED.
  std::function<bool()> stop;

  static std::vector<NetworkSize> DefaultSizes();
};

// Mean over samples of the loss above on a sample left out: 0.01 is an error of
// 10 % in the metric's sense.
struct TriedSize {
  NetworkSize size;
  double loss = 0;
};

class DesignModel {
 public:
  // INVALID_ARGUMENT for fewer than kMinSamples samples, two at the same
  // point, or vectors or metrics of unlike size or without a positive form.
  static absl::StatusOr<DesignModel> Fit(
      const ParameterSpace& space, const std::vector<DesignSample>& samples,
      const DesignModelOptions& options);

  std::vector<double> Vector(const Point& point) const;

  const std::vector<std::vector<double>>& held_out() const { return held_out_; }
  const std::vector<TriedSize>& tried() const { return tried_; }
  const TriedSize& chosen() const { return tried_[chosen_]; }

  struct Network;
  struct Basis;

 private:
  ParameterSpace space_;
  std::shared_ptr<const Basis> basis_;
  std::vector<std::shared_ptr<const Network>> members_;
  std::vector<std::vector<double>> held_out_;  // [samples][H]
  std::vector<TriedSize> tried_;
  size_t chosen_ = 0;
};

inline constexpr size_t kMinSamples = 4;
inline constexpr size_t kMaxSamples = 500;

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_DESIGN_MODEL_H_
