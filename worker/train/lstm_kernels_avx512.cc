// Single-precision operands: a word is a float.
#include "worker/train/lstm_kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include "worker/train/lstm_kernels_impl.h"

namespace perfvec::train {
namespace {

struct Float {
  static constexpr int kElements = 1;
  static __m512 MultiplyAdd(__m512i a, __m512i b, __m512 sum) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
  }
  static void Store(__m512 v, uint32_t* row, size_t element) {
    _mm512_storeu_ps(row + element, v);
  }
  static void Store4(__m512 a, __m512 b, __m512 c, __m512 d, uint32_t* row,
                     size_t element) {
    Store(a, row, element);
    Store(b, row, element + 16);
    Store(c, row, element + 32);
    Store(d, row, element + 48);
  }
  static __m512i Pair(const uint32_t* row, const uint32_t*, size_t column,
                      __mmask16 mask) {
    return _mm512_maskz_loadu_epi32(mask, row + column);
  }
};

constexpr LstmKernels kKernels = MakeKernels<Float>("avx512");

}  // namespace

const LstmKernels* Avx512Kernels() {
  static const bool has =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has ? &kKernels : nullptr;
}

}  // namespace perfvec::train

#else

namespace perfvec::train {
const LstmKernels* Avx512Kernels() { return nullptr; }
}  // namespace perfvec::train

#endif
