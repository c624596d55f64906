// bfloat16 operands: a word is two elements, the first in the low half.
#include "worker/train/lstm_kernels.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#include "worker/train/lstm_kernels_impl.h"

namespace perfvec::train {
namespace {

struct BFloat16 {
  static constexpr int kElements = 2;
  static __m512 MultiplyAdd(__m512i a, __m512i b, __m512 sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
  static void Store(__m512 v, uint32_t* row, size_t element) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + element / 2),
                        (__m256i)_mm512_cvtneps_pbh(v));
  }
  static void Store4(__m512 a, __m512 b, __m512 c, __m512 d, uint32_t* row,
                     size_t element) {
    _mm512_storeu_si512(row + element / 2, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    _mm512_storeu_si512(row + element / 2 + 16,
                        (__m512i)_mm512_cvtne2ps_pbh(d, c));
  }
  // Elements of two rows side by side, so that rows can be summed over.
  static __m512i Pair(const uint32_t* row, const uint32_t* second,
                      size_t column, __mmask16 mask) {
    const __m512i low = Load(row, column, mask);
    if (second == nullptr) return low;
    return _mm512_or_si512(low,
                           _mm512_slli_epi32(Load(second, column, mask), 16));
  }
  static __m512i Load(const uint32_t* row, size_t column, __mmask16 mask) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(
        mask, reinterpret_cast<const uint16_t*>(row) + column));
  }
};

constexpr LstmKernels kKernels = MakeKernels<BFloat16>("avx512_bf16");

}  // namespace

const LstmKernels* Avx512Bf16Kernels() {
  static const bool has =
      Avx512Kernels() != nullptr && __builtin_cpu_supports("avx512bf16");
  return has ? &kKernels : nullptr;
}

}  // namespace perfvec::train

#else

namespace perfvec::train {
const LstmKernels* Avx512Bf16Kernels() { return nullptr; }
}  // namespace perfvec::train

#endif
