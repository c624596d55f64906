// The vector type of the AVX-512 kernels. Included by files compiled with those
// flags only; internal linkage, as in lstm_kernel_impl.h.
#ifndef PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_AVX512_H_
#define PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_AVX512_H_

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "worker/represent/lstm_kernel_impl.h"

namespace perfvec::compute {
namespace {

// 6 lanes x 4 gates = 24 accumulators, 4 weights and a broadcast: 29 of 32.
struct Avx512 {
  static constexpr int kWidth = 16;
  static constexpr int kLanes = 6;
  static constexpr bool kBroadcastFirst = false;
  static constexpr int kValuesPerWord = 1;
  using F = __m512;
  using W = __m512;
  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static F Broadcast(float a) { return _mm512_set1_ps(a); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F Div(F a, F b) { return _mm512_div_ps(a, b); }
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }
  static F Min(F a, F b) { return _mm512_min_ps(a, b); }
  // 2^n from n + 1.5 * 2^23.
  static F PowerOfTwo(F shifted) {
    const __m512i n = _mm512_castps_si512(shifted);
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
  static W LoadWords(const uint32_t* p) { return _mm512_loadu_ps(p); }
  static W BroadcastWord(const uint32_t* p) {
    return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*p)));
  }
  static F Accumulate(W x, W w, F sum) { return _mm512_fmadd_ps(x, w, sum); }
  static void StoreHidden(uint32_t* p, F h) { _mm512_storeu_ps(p, h); }
  static void Pack(const float* values, int count, uint32_t* words) {
    std::memcpy(words, values, sizeof(float) * static_cast<size_t>(count));
  }
  static void AddToDoubles(double* p, F a) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    _mm512_storeu_pd(p, _mm512_add_pd(_mm512_loadu_pd(p), low));
    _mm512_storeu_pd(p + 8, _mm512_add_pd(_mm512_loadu_pd(p + 8), high));
  }
};

}  // namespace
}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_AVX512_H_
