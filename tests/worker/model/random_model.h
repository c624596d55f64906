// A model with random weights, for tests: PyTorch's initial range
// U(-1/sqrt(width), 1/sqrt(width)) times `scale`.
#ifndef PERFVEC_TESTS_WORKER_MODEL_RANDOM_MODEL_H_
#define PERFVEC_TESTS_WORKER_MODEL_RANDOM_MODEL_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>

#include "worker/features/rich_schema.h"
#include "worker/model/foundation_model.h"

namespace perfvec::compute {

inline Manifest SmallManifest(int layers, int width) {
  Manifest m;
  m.name = "random";
  m.layers = layers;
  m.width = width;
  m.license = "CC0-1.0";
  for (int i = 0; i < kFeatureCount; ++i) {
    InputColumn column;
    column.feature = i;
    column.mean = 0.25f * i;
    column.deviation = 0.5f + 0.125f * i;
    if (i >= 18 && i <= 22) {
      column.transform = InputColumn::Transform::kLog2OnePlus;
      column.mean = 8;
      column.deviation = 4;
    }
    m.inputs.columns.push_back(column);
  }
  for (int i = 0; i < 8; ++i) {  // a few categories beside them
    InputColumn column;
    column.feature = 1;
    column.transform = InputColumn::Transform::kEquals;
    column.value = static_cast<float>(i);
    m.inputs.columns.push_back(column);
  }
  return m;
}

// The same over the rich schema: its own features are inputs too.
inline Manifest SmallRichManifest(int layers, int width) {
  Manifest m = SmallManifest(layers, width);
  const FeatureSchema& schema = RichFeatureSchema();
  m.feature_schema = std::string(schema.id);
  m.inputs.feature_count = schema.count();
  for (int i = kFeatureCount; i < schema.count(); ++i) {
    m.inputs.columns.push_back(
        {i, InputColumn::Transform::kLog2OnePlus, 0, 2, 4});
  }
  return m;
}

// The same with the reference cores' growth as further inputs, the last
// `passed` of them passed on.
inline Manifest SmallCoresManifest(int layers, int width, int passed) {
  Manifest m = SmallRichManifest(layers, width);
  const FeatureSchema& schema = CoresFeatureSchema();
  m.feature_schema = std::string(schema.id);
  m.inputs.feature_count = schema.count();
  m.inputs.passed = passed;
  for (int i = kRichFeatureCount; i < schema.count(); ++i) {
    m.inputs.columns.push_back(
        {i, InputColumn::Transform::kIdentity, 0, 0, 256});
  }
  return m;
}

inline TensorMap RandomTensors(const Manifest& manifest, uint64_t seed,
                               double scale = 1) {
  std::mt19937_64 random(seed);
  const double bound = scale / std::sqrt(static_cast<double>(manifest.width));
  std::uniform_real_distribution<float> uniform(static_cast<float>(-bound),
                                                static_cast<float>(bound));
  TensorMap tensors;
  for (const auto& [name, shape] : ExpectedTensors(manifest)) {
    Tensor& tensor = tensors[name];
    tensor.shape = shape;
    size_t size = 1;
    for (int64_t d : shape) size *= static_cast<size_t>(d);
    tensor.values.resize(size);
    for (float& v : tensor.values) v = uniform(random);
  }
  return tensors;
}

inline absl::StatusOr<FoundationModel> RandomModel(Manifest manifest,
                                                   uint64_t seed,
                                                   double scale = 1) {
  TensorMap tensors = RandomTensors(manifest, seed, scale);
  return FoundationModel::Create(std::move(manifest), std::move(tensors));
}

}  // namespace perfvec::compute

#endif  // PERFVEC_TESTS_WORKER_MODEL_RANDOM_MODEL_H_
