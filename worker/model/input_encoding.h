// From the features of an instruction to the inputs of the network.
//
// The manifest lists one InputColumn per network input, in order; the list is
// part of the model id. The published model is 51 columns of kIdentity with the
// training set's mean and standard deviation. A row of features has as many as
// the model's feature schema.
//
//   column(x) = (transform(x[feature]) - mean) / deviation
//
// Plain data; any thread.
//
//   encoding.Encode(features, n, inputs.data());   // [n][features] ->
//   [n][columns]
#ifndef PERFVEC_WORKER_MODEL_INPUT_ENCODING_H_
#define PERFVEC_WORKER_MODEL_INPUT_ENCODING_H_

#include <cstddef>
#include <vector>

#include "worker/features/feature_schema.h"

namespace perfvec::compute {

// The greatest value of a passed input (InputEncoding::passed).
inline constexpr int kMaxPassedInput = 4096;

struct InputColumn {
  enum class Transform {
    kIdentity,     // x                       "identity"
    kLog2OnePlus,  // log2(1 + x)             "log2_1p"
    kEquals,       // 1 if x == value else 0  "equals"
    kBit,          // bit `value` of x as a non-negative integer  "bit"
  };
  int feature = 0;  // position in the feature schema
  Transform transform = Transform::kIdentity;
  float value = 0;      // kEquals and kBit (0..23) only
  float mean = 0;       // of the transformed feature
  float deviation = 1;  // never 0
};

struct InputEncoding {
  std::vector<InputColumn> columns;
  // The last so many columns, besides entering the network, are the first
  // elements of the representation, in place of the network's. They are
  // reference cores' growth over a deviation, with no mean taken off.
  int passed = 0;
  int feature_count = kFeatureCount;  // of the feature schema: a row's length

  size_t width() const { return columns.size(); }
  // features: [n][feature_count] row-major; inputs: [n][width()] row-major. The
  // same bits on every machine: log2 is our own, not the C library's.
  void Encode(const float* features, size_t n, float* inputs) const;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_INPUT_ENCODING_H_
