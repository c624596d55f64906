// The network written down as its definition says, in double precision: the
// judge of every back end.
#ifndef PERFVEC_TESTS_WORKER_REPRESENT_REFERENCE_LSTM_H_
#define PERFVEC_TESTS_WORKER_REPRESENT_REFERENCE_LSTM_H_

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "worker/model/foundation_model.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

// Runs one lane; appends max(0, h) of the last layer for each kept step to
// `outputs`, [kept][width].
inline void ReferenceLane(const FoundationModel& model, const float* inputs,
                          const Lane& lane, std::vector<double>* outputs) {
  const Manifest& m = model.manifest();
  const int width = m.width;
  std::vector<std::vector<double>> h(m.layers, std::vector<double>(width, 0.0));
  std::vector<std::vector<double>> c = h;
  for (int step = 0; step < lane.steps; ++step) {
    const int64_t row = lane.first_row + step;
    std::vector<double> x(m.inputs.width(), 0.0);
    for (size_t k = 0; row >= 0 && k < x.size(); ++k) {
      x[k] = inputs[static_cast<size_t>(row) * x.size() + k];
    }
    for (int l = 0; l < m.layers; ++l) {
      const FoundationModel::LstmLayer layer = model.Layer(l);
      std::vector<double> gates(4 * static_cast<size_t>(width));
      for (size_t g = 0; g < gates.size(); ++g) {
        double sum = 0;
        if (layer.bias_ih != nullptr) {
          sum = double{layer.bias_ih[g]} + double{layer.bias_hh[g]};
        }
        for (size_t k = 0; k < x.size(); ++k) {
          sum += double{layer.weight_ih[g * x.size() + k]} * x[k];
        }
        for (int k = 0; k < width; ++k) {
          sum += double{layer.weight_hh[g * width + k]} * h[l][k];
        }
        gates[g] = sum;
      }
      auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
      for (int u = 0; u < width; ++u) {
        c[l][u] = sigmoid(gates[width + u]) * c[l][u] +
                  sigmoid(gates[u]) * std::tanh(gates[2 * width + u]);
        h[l][u] = sigmoid(gates[3 * width + u]) * std::tanh(c[l][u]);
      }
      x = h[l];
    }
    if (step >= lane.steps - lane.kept) {
      for (double v : x) outputs->push_back(std::max(0.0, v));
    }
  }
}

inline std::vector<double> ReferenceSums(const FoundationModel& model,
                                         const float* inputs,
                                         const std::vector<Lane>& lanes) {
  const size_t width = static_cast<size_t>(model.manifest().width);
  std::vector<double> sums(lanes.size() * width, 0.0);
  for (size_t i = 0; i < lanes.size(); ++i) {
    std::vector<double> outputs;
    ReferenceLane(model, inputs, lanes[i], &outputs);
    for (size_t j = 0; j < outputs.size(); ++j) {
      sums[i * width + j % width] += outputs[j];
    }
  }
  return sums;
}

inline std::vector<float> RandomRows(size_t count, uint64_t seed,
                                     float bound = 2) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  std::vector<float> rows(count);
  for (float& v : rows) v = uniform(random);
  return rows;
}

// Features as a trace might give them: small integers, and stack distances that
// span the range.
inline std::vector<float> RandomFeatures(size_t instructions, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> features(instructions * kFeatureCount);
  for (size_t i = 0; i < features.size(); ++i) {
    const size_t f = i % kFeatureCount;
    features[i] = f >= 18 && f <= 22
                      ? std::exp2(static_cast<float>(random() % 26))
                      : static_cast<float>(random() % 16);
  }
  return features;
}

// The largest deviation of a back end's single outputs from the definition.
inline double LargestOutputError(Representer* back_end,
                                 const std::vector<float>& inputs,
                                 const std::vector<Lane>& lanes) {
  const FoundationModel& model = *back_end->model();
  const size_t width = static_cast<size_t>(model.manifest().width);
  std::vector<double> expected;
  for (const Lane& lane : lanes) {
    ReferenceLane(model, inputs.data(), lane, &expected);
  }
  std::vector<double> sums(lanes.size() * width);
  std::vector<float> outputs(expected.size(), -1.0f);
  if (!back_end->Run({inputs.data(), lanes, outputs.data()}, sums.data())
           .ok()) {
    return INFINITY;
  }
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::fabs(outputs[i] - expected[i]));
  }
  return worst;
}

}  // namespace perfvec::compute

#endif  // PERFVEC_TESTS_WORKER_REPRESENT_REFERENCE_LSTM_H_
