#include "worker/model/input_encoding.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace perfvec::compute {
namespace {

// log2(1 + x) for x > -1, rounded to float from double arithmetic good to
// 1e-13: with 1 + x = 2^e * m and s = (m - 1) / (m + 1), log2(m) = 2 / ln 2 *
// atanh(s).
float Log2OnePlus(float x) {
  const double v = 1.0 + static_cast<double>(x);
  if (!(v > 0)) return std::numeric_limits<float>::quiet_NaN();
  if (!(v <= std::numeric_limits<float>::max())) return x;  // infinity
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  // m in [sqrt(1/2), sqrt(2)): |s| < 0.172.
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  const int64_t e = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  bits -= static_cast<uint64_t>(e) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof(m));
  const double s = (m - 1) / (m + 1);
  const double q = s * s;
  double sum = 1.0 / 15;
  for (double odd : {13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0}) {
    sum = sum * q + 1 / odd;
  }
  constexpr double kTwoOverLn2 = 2.8853900817779268;
  return static_cast<float>(static_cast<double>(e) + kTwoOverLn2 * s * sum);
}

// Bit `bit` of x as an integer; 0 for what is no non-negative int32.
float Bit(float x, float bit) {
  if (!(x >= 0 && x < 2147483648.0f)) return 0;
  return static_cast<float>((static_cast<int32_t>(x) >> static_cast<int>(bit)) &
                            1);
}

}  // namespace

void InputEncoding::Encode(const float* features, size_t n,
                           float* inputs) const {
  for (size_t i = 0; i < n; ++i, features += feature_count) {
    for (const InputColumn& c : columns) {
      float x = features[c.feature];
      switch (c.transform) {
        case InputColumn::Transform::kIdentity:
          break;
        case InputColumn::Transform::kLog2OnePlus:
          x = Log2OnePlus(x);
          break;
        case InputColumn::Transform::kEquals:
          x = x == c.value ? 1.0f : 0.0f;
          break;
        case InputColumn::Transform::kBit:
          x = Bit(x, c.value);
          break;
      }
      *inputs++ = (x - c.mean) / c.deviation;
    }
  }
}

}  // namespace perfvec::compute
