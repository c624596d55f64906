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
  static constexpr int kValuesPerWord = 1;
  struct F {
    float v[kWidth];
  };
  using W = F;
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
  static W LoadWords(const uint32_t* p) {
    W out;
    std::memcpy(out.v, p, sizeof(out.v));
    return out;
  }
  static W BroadcastWord(const uint32_t* p) {
    float value;
    std::memcpy(&value, p, sizeof(value));
    return Broadcast(value);
  }
  static F Accumulate(const W& x, const W& w, const F& sum) {
    return Fma(x, w, sum);
  }
  static void StoreHidden(uint32_t* p, F h) {
    std::memcpy(p, h.v, sizeof(h.v));
  }
  static void Pack(const float* values, int count, uint32_t* words) {
    std::memcpy(words, values, sizeof(float) * static_cast<size_t>(count));
  }
  static void AddToDoubles(double* p, F a) {
    for (int i = 0; i < kWidth; ++i) p[i] += static_cast<double>(a.v[i]);
  }
};

// What AVX512_BF16 does, in words: denormals are zeros, of each pair first the
// higher, then the lower product is fused into the sum. The judge of the fast
// kernel; too slow for use.
struct PortableBf16 : Portable {
  static constexpr int kValuesPerWord = 2;
  struct W {
    uint32_t v[kWidth];
  };
  static float FromBits(uint32_t bits) {
    if ((bits & 0x7f800000u) == 0) bits &= 0x80000000u;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  static uint32_t Bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  static float Flush(float value) { return FromBits(Bits(value)); }
  // To nearest, ties to even; a NaN stays one.
  static uint32_t Round(float value) {
    const uint32_t bits = Bits(Flush(value));
    if (std::isnan(value)) return bits >> 16 | 0x40u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  }
  static W LoadWords(const uint32_t* p) {
    W out;
    std::memcpy(out.v, p, sizeof(out.v));
    return out;
  }
  static W BroadcastWord(const uint32_t* p) {
    W out;
    for (uint32_t& word : out.v) word = *p;
    return out;
  }
  static F Accumulate(const W& x, const W& w, const F& sum) {
    return Each([&](int i) {
      const float high =
          Flush(std::fma(FromBits(x.v[i] & 0xffff0000u),
                         FromBits(w.v[i] & 0xffff0000u), Flush(sum.v[i])));
      return Flush(
          std::fma(FromBits(x.v[i] << 16), FromBits(w.v[i] << 16), high));
    });
  }
  static void StoreHidden(uint32_t* p, F h) { Pack(h.v, kWidth, p); }
  static void Pack(const float* values, int count, uint32_t* words) {
    for (int i = 0; i < count; i += 2) {
      const uint32_t high = i + 1 < count ? Round(values[i + 1]) : 0;
      words[i / 2] = Round(values[i]) | high << 16;
    }
  }
  static void PackSplit(const float* values, int count, uint32_t* words) {
    for (int i = 0; i < count; ++i) {
      const uint32_t high = Round(values[i]);
      words[i] = high | Round(values[i] - FromBits(high << 16)) << 16;
    }
  }
};

}  // namespace

const LstmKernel kLstmKernelGeneric = MakeKernel<Portable>("generic");
const LstmKernel kLstmKernelGenericBf16 =
    MakeKernel<PortableBf16>("generic_bf16");

}  // namespace perfvec::compute
