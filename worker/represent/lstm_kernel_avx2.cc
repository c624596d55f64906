#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "worker/represent/lstm_kernel_impl.h"

namespace perfvec::compute {
namespace {

// 3 lanes x 4 gates = 12 accumulators and 3 broadcasts, weights from memory or
// the sixteenth register.
struct Avx2 {
  static constexpr int kWidth = 8;
  static constexpr int kLanes = 3;
  static constexpr bool kBroadcastFirst = true;
  static constexpr int kValuesPerWord = 1;
  using F = __m256;
  using W = __m256;
  static F Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, F a) { _mm256_storeu_ps(p, a); }
  static F Broadcast(float a) { return _mm256_set1_ps(a); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F Sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F Div(F a, F b) { return _mm256_div_ps(a, b); }
  static F Max(F a, F b) { return _mm256_max_ps(a, b); }
  static F Min(F a, F b) { return _mm256_min_ps(a, b); }
  // 2^n from n + 1.5 * 2^23.
  static F PowerOfTwo(F shifted) {
    const __m256i n = _mm256_castps_si256(shifted);
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static W LoadWords(const uint32_t* p) {
    return _mm256_castsi256_ps(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static W BroadcastWord(const uint32_t* p) {
    return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(*p)));
  }
  static F Accumulate(W x, W w, F sum) { return _mm256_fmadd_ps(x, w, sum); }
  static void StoreHidden(uint32_t* p, F h) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_castps_si256(h));
  }
  static void Pack(const float* values, int count, uint32_t* words) {
    std::memcpy(words, values, sizeof(float) * static_cast<size_t>(count));
  }
  static void AddToDoubles(double* p, F a) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    _mm256_storeu_pd(p, _mm256_add_pd(_mm256_loadu_pd(p), low));
    _mm256_storeu_pd(p + 4, _mm256_add_pd(_mm256_loadu_pd(p + 4), high));
  }
};

}  // namespace

const LstmKernel kLstmKernelAvx2 = MakeKernel<Avx2>("avx2");

}  // namespace perfvec::compute
