// The network of a design model: V tanh(W x + w) + U x + u, and its training on
// weighted squares. Plain data and pure functions; any thread.
//
//   Network n = TrainNetwork(task, {8, 1e-3}, 200, seed);
//   n.Output(inputs);
#ifndef PERFVEC_WORKER_EXPLORE_DESIGN_NETWORK_H_
#define PERFVEC_WORKER_EXPLORE_DESIGN_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/explore/design_model.h"

namespace perfvec::explore {

struct DesignModel::Network {
  size_t inputs = 0, hidden = 0, outputs = 0;
  // W, w [hidden][inputs + 1], then V, U, u [outputs][hidden + inputs + 1].
  std::vector<double> weights;

  // `units` [hidden] gets the hidden units' values.
  std::vector<double> Output(const std::vector<double>& x,
                             std::vector<double>& units) const;
  std::vector<double> Output(const std::vector<double>& x) const {
    std::vector<double> units(hidden);
    return Output(x, units);
  }
};

// Samples in the basis' coordinates.
struct NetworkTask {
  size_t inputs = 0, outputs = 0;
  std::vector<std::vector<double>> x;        // [samples][inputs]
  std::vector<std::vector<double>> targets;  // [samples][outputs]
  std::vector<std::vector<double>> metrics;  // [samples][outputs][outputs]
};

// The least mean over samples of (f(x) − y)ᵀ Q (f(x) − y) plus the penalty on
// all weights but the offsets w and u.
DesignModel::Network TrainNetwork(const NetworkTask& task, NetworkSize size,
                                  int iterations, uint64_t seed);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_DESIGN_NETWORK_H_
