#include "worker/explore/design_network.h"

#include <cmath>
#include <random>

#include "worker/explore/minimise.h"

namespace perfvec::explore {
namespace {

using Network = DesignModel::Network;

// Adds the gradient of one sample's loss, whose derivative by the outputs is
// `d_out`.
void AddGradient(const Network& n, const std::vector<double>& x,
                 const std::vector<double>& units,
                 const std::vector<double>& d_out,
                 std::vector<double>& gradient) {
  const size_t in = n.inputs, row = n.hidden + in + 1;
  const size_t second = n.hidden * (in + 1);
  std::vector<double> d_units(n.hidden);
  for (size_t o = 0; o < n.outputs; ++o) {
    const double d = d_out[o];
    const double* v = &n.weights[second + o * row];
    double* g = &gradient[second + o * row];
    for (size_t h = 0; h < n.hidden; ++h) {
      g[h] += d * units[h];
      d_units[h] += d * v[h];
    }
    for (size_t i = 0; i < in; ++i) g[n.hidden + i] += d * x[i];
    g[n.hidden + in] += d;
  }
  for (size_t h = 0; h < n.hidden; ++h) {
    const double d = d_units[h] * (1 - units[h] * units[h]);
    double* g = &gradient[h * (in + 1)];
    for (size_t i = 0; i < in; ++i) g[i] += d * x[i];
    g[in] += d;
  }
}

}  // namespace

std::vector<double> Network::Output(const std::vector<double>& x,
                                    std::vector<double>& units) const {
  const double* w = weights.data();
  for (size_t h = 0; h < hidden; ++h) {
    double sum = 0;
    for (size_t i = 0; i < inputs; ++i) sum += *w++ * x[i];
    units[h] = std::tanh(sum + *w++);
  }
  std::vector<double> out(outputs);
  for (size_t o = 0; o < outputs; ++o) {
    double sum = 0;
    for (size_t h = 0; h < hidden; ++h) sum += *w++ * units[h];
    for (size_t i = 0; i < inputs; ++i) sum += *w++ * x[i];
    out[o] = sum + *w++;
  }
  return out;
}

Network TrainNetwork(const NetworkTask& task, NetworkSize size, int iterations,
                     uint64_t seed) {
  Network n;
  n.inputs = task.inputs;
  n.outputs = task.outputs;
  n.hidden = static_cast<size_t>(size.hidden);
  const size_t in = n.inputs, row = n.hidden + in + 1;
  const size_t second = n.hidden * (in + 1);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> start(second + n.outputs * row);
  // Every column but the last of a row is a weight, the last an offset.
  std::vector<bool> penalised(start.size(), true);
  for (size_t h = 0; h < n.hidden; ++h) {
    for (size_t i = 0; i <= in; ++i) start[h * (in + 1) + i] = normal(random);
    penalised[h * (in + 1) + in] = false;
  }
  for (size_t o = 0; o < n.outputs; ++o) {
    penalised[second + o * row + row - 1] = false;
    for (size_t h = 0; h < n.hidden; ++h) {
      start[second + o * row + h] = 0.1 * normal(random);
    }
  }
  n.weights = start;
  std::vector<double> units(n.hidden), error(n.outputs), d_out(n.outputs);
  const double share = 1.0 / static_cast<double>(task.x.size());
  const auto loss = [&](const std::vector<double>& weights,
                        std::vector<double>& gradient) {
    n.weights = weights;
    gradient.assign(weights.size(), 0);
    double value = 0;
    for (size_t a = 0; a < task.x.size(); ++a) {
      const std::vector<double> out = n.Output(task.x[a], units);
      for (size_t o = 0; o < n.outputs; ++o) {
        error[o] = out[o] - task.targets[a][o];
      }
      for (size_t o = 0; o < n.outputs; ++o) {
        const double* q = &task.metrics[a][o * n.outputs];
        double sum = 0;
        for (size_t k = 0; k < n.outputs; ++k) sum += q[k] * error[k];
        value += share * sum * error[o];
        d_out[o] = 2 * share * sum;
      }
      AddGradient(n, task.x[a], units, d_out, gradient);
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      if (!penalised[i]) continue;
      value += size.penalty * weights[i] * weights[i];
      gradient[i] += 2 * size.penalty * weights[i];
    }
    return value;
  };
  MinimiseOptions options;
  options.iterations = iterations;
  Minimise(loss, options, start);
  n.weights = start;
  return n;
}

}  // namespace perfvec::explore
