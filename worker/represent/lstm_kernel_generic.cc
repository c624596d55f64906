#include <cmath>
#include <cstdint>
#include <cstring>

#include "worker/represent/lstm_kernel_impl.h"

namespace perfvec::compute {
namespace {

// For a CPU without AVX2 and FMA: the same bits, slowly, where std::fma is a
// library call.
struct Scalar {
  static constexpr int kWidth = 1;
  static constexpr int kLanes = 2;
  using F = float;
  static F Load(const float* p) { return *p; }
  static void Store(float* p, F a) { *p = a; }
  static F Broadcast(float a) { return a; }
  static F Fma(F a, F b, F c) { return std::fma(a, b, c); }
  static F Mul(F a, F b) { return a * b; }
  static F Add(F a, F b) { return a + b; }
  static F Sub(F a, F b) { return a - b; }
  static F Div(F a, F b) { return a / b; }
  static F Max(F a, F b) { return a > b ? a : b; }
  static F Min(F a, F b) { return a < b ? a : b; }
  // 2^n from n + 1.5 * 2^23.
  static F PowerOfTwo(F shifted) {
    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits + 127) << 23;
    F power;
    std::memcpy(&power, &bits, sizeof(power));
    return power;
  }
  static void AddToDoubles(double* p, F a) { *p += static_cast<double>(a); }
};

}  // namespace

void LstmStepGeneric(const PackedLayer& layer, const LstmStep& step) {
  LstmStepOver<Scalar>(layer, step);
}

}  // namespace perfvec::compute
