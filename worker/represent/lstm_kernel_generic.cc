#include <cmath>
#include <cstdint>
#include <cstring>

#include "worker/represent/lstm_kernel_impl.h"

namespace perfvec::compute {
namespace {

// For a CPU without AVX2 and FMA: the same bits, slowly, where std::fma is a
// library call.
struct Portable {
  static constexpr int kWidth = 8;
  static constexpr int kLanes = 1;
  static constexpr bool kBroadcastFirst = true;
  struct F {
    float v[kWidth];
  };
  template <class Operation>
  static F Each(Operation operation) {
    F out;
    for (int i = 0; i < kWidth; ++i) out.v[i] = operation(i);
    return out;
  }
  static F Load(const float* p) {
    return Each([=](int i) { return p[i]; });
  }
  static void Store(float* p, F a) { std::memcpy(p, a.v, sizeof(a.v)); }
  static F Broadcast(float a) {
    return Each([=](int) { return a; });
  }
  static F Fma(F a, F b, F c) {
    return Each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  static F Mul(F a, F b) {
    return Each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F Add(F a, F b) {
    return Each([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F Sub(F a, F b) {
    return Each([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F Div(F a, F b) {
    return Each([&](int i) { return a.v[i] / b.v[i]; });
  }
  static F Max(F a, F b) {
    return Each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F Min(F a, F b) {
    return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  // 2^n from n + 1.5 * 2^23.
  static F PowerOfTwo(F shifted) {
    return Each([&](int i) {
      uint32_t bits;
      std::memcpy(&bits, &shifted.v[i], sizeof(bits));
      bits = (bits + 127) << 23;
      float power;
      std::memcpy(&power, &bits, sizeof(power));
      return power;
    });
  }
  static void AddToDoubles(double* p, F a) {
    for (int i = 0; i < kWidth; ++i) p[i] += static_cast<double>(a.v[i]);
  }
};

}  // namespace

const LstmKernel kLstmKernelGeneric = {"generic", Portable::kWidth,
                                       &LstmStepOver<Portable>};

}  // namespace perfvec::compute
