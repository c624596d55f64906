#include "worker/represent/lstm_kernel_avx512.h"

namespace perfvec::compute {
namespace {

struct Avx512Bf16 : Avx512 {
  static constexpr int kValuesPerWord = 2;
  using W = __m512i;
  static W LoadWords(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static W BroadcastWord(const uint32_t* p) {
    return _mm512_set1_epi32(static_cast<int>(*p));
  }
  static F Accumulate(W x, W w, F sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x),
                            reinterpret_cast<__m512bh>(w));
  }
  static __m256i Round(F values) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values));
  }
  static void StoreHidden(uint32_t* p, F h) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), Round(h));
  }
  static void Pack(const float* values, int count, uint32_t* words) {
    for (int i = 0; i < count; i += kWidth) {
      const int left = count - i < kWidth ? count - i : kWidth;
      const __mmask16 in = static_cast<__mmask16>((1u << left) - 1);
      const __mmask8 out = static_cast<__mmask8>((1u << (left + 1) / 2) - 1);
      const __m256i rounded = Round(_mm512_maskz_loadu_ps(in, values + i));
      _mm256_mask_storeu_epi32(words + i / 2, out, rounded);
    }
  }
  static void PackSplit(const float* values, int count, uint32_t* words) {
    for (int i = 0; i < count; i += kWidth) {
      const int left = count - i < kWidth ? count - i : kWidth;
      const __mmask16 in = static_cast<__mmask16>((1u << left) - 1);
      const F x = _mm512_maskz_loadu_ps(in, values + i);
      const __m512i high = _mm512_cvtepu16_epi32(Round(x));
      const F rest = Sub(x, _mm512_castsi512_ps(_mm512_slli_epi32(high, 16)));
      const __m512i low = _mm512_cvtepu16_epi32(Round(rest));
      _mm512_mask_storeu_epi32(
          words + i, in, _mm512_or_si512(high, _mm512_slli_epi32(low, 16)));
    }
  }
};

}  // namespace

const LstmKernel kLstmKernelAvx512Bf16 = MakeKernel<Avx512Bf16>("avx512_bf16");

}  // namespace perfvec::compute
