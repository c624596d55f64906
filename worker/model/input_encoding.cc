#include "worker/model/input_encoding.h"

#include <cmath>
#include <cstdint>

namespace perfvec::compute {

void InputEncoding::Encode(const float* features, size_t n,
                           float* inputs) const {
  for (size_t i = 0; i < n; ++i, features += kRawFeatures) {
    for (const InputColumn& c : columns) {
      float x = features[c.feature];
      switch (c.transform) {
        case InputColumn::Transform::kIdentity:
          break;
        case InputColumn::Transform::kLog2OnePlus:
          x = std::log2(1.0f + x);
          break;
        case InputColumn::Transform::kEquals:
          x = x == c.value ? 1.0f : 0.0f;
          break;
        case InputColumn::Transform::kBit:
          x = (static_cast<int32_t>(x) >> static_cast<int>(c.value)) & 1;
          break;
      }
      *inputs++ = (x - c.mean) / c.deviation;
    }
  }
}

}  // namespace perfvec::compute
