#include "server/predictor/kernels.h"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace perfvec::server {
namespace {

// Panels of y that one pass over x keeps in the second-level cache.
constexpr int64_t kChunkPanels = 12;

// Walks [16 * x_panels][16 * y_panels] in tiles of up to `rows` rows of one
// panel by up to `panels` panels: tile(row, row_count, panel, panel_count).
template <int rows, int panels, typename Tile>
inline __attribute__((always_inline)) void ForEachTile(int64_t x_panels,
                                                       int64_t y_panels,
                                                       const Tile& tile) {
  for (int64_t chunk = 0; chunk < y_panels; chunk += kChunkPanels) {
    const int64_t end = std::min(chunk + kChunkPanels, y_panels);
    for (int64_t row = 0; row < x_panels * kPanelRows;) {
      const int64_t count =
          std::min<int64_t>(rows, kPanelRows - row % kPanelRows);
      for (int64_t p = chunk; p < end; p += panels) {
        tile(row, count, p, std::min<int64_t>(panels, end - p));
      }
      row += count;
    }
  }
}

// --- Any CPU: std::fma rounds once whether or not there is an instruction ----

float DotGeneric(const float* x, const float* y, int64_t width) {
  float sum = 0;
  for (int64_t k = 0; k < width; ++k) sum = std::fma(x[k], y[k], sum);
  return sum;
}

void TileGeneric(const float* x, int64_t x_stride, const float* panel,
                 int64_t width, float* out) {
  float sum[kPanelRows] = {};
  for (int64_t k = 0; k < width; ++k) {
    for (int lane = 0; lane < kPanelRows; ++lane) {
      sum[lane] =
          std::fma(x[k * x_stride], panel[k * kPanelRows + lane], sum[lane]);
    }
  }
  std::copy(sum, sum + kPanelRows, out);
}

void RankGeneric(const float* x, const float* panels, int64_t panel_count,
                 int64_t width, float* out) {
  for (int64_t p = 0; p < panel_count; ++p) {
    TileGeneric(x, 1, panels + p * width * kPanelRows, width,
                out + p * kPanelRows);
  }
}

void MatrixGeneric(const float* x, int64_t x_panels, const float* y,
                   int64_t y_panels, int64_t width, float* out) {
  const int64_t panel_size = width * kPanelRows;
  ForEachTile<1, 1>(
      x_panels, y_panels,
      [&](int64_t row, int64_t /*rows*/, int64_t p, int64_t /*panels*/) {
        TileGeneric(x + row / kPanelRows * panel_size + row % kPanelRows,
                    kPanelRows, y + p * panel_size, width,
                    out + row * y_panels * kPanelRows + p * kPanelRows);
      });
}

constexpr Kernels kGeneric = {"generic", DotGeneric, RankGeneric,
                              MatrixGeneric};

#if defined(__x86_64__)

#define PERFVEC_AVX2 __attribute__((target("avx2,fma")))
#define PERFVEC_AVX512 __attribute__((target("avx512f,avx2,fma")))

// Functions here carry their instruction set themselves and are local to this
// file, so that no inline function compiled for a newer CPU can replace one
// that older CPUs run.

PERFVEC_AVX2 float DotFma(const float* x, const float* y, int64_t width) {
  __m128 sum = _mm_setzero_ps();
  for (int64_t k = 0; k < width; ++k) {
    sum = _mm_fmadd_ss(_mm_load_ss(x + k), _mm_load_ss(y + k), sum);
  }
  return _mm_cvtss_f32(sum);
}

// `rows` rows of an x panel (or one contiguous vector: x_step 1) by `panels`
// consecutive y panels. Every loop over sums is unrolled: only then do they
// stay in registers for all k.
template <int rows, int panels>
PERFVEC_AVX2 void TileAvx2(const float* x, int64_t x_step, const float* y,
                           int64_t width, float* out, int64_t out_stride) {
  __m256 sum[rows][panels][2];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      sum[r][p][0] = sum[r][p][1] = _mm256_setzero_ps();
    }
  }
  const int64_t panel_size = width * kPanelRows;
  for (int64_t k = 0; k < width; ++k) {
    __m256 b[panels][2];
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      b[p][0] = _mm256_load_ps(y + p * panel_size + k * kPanelRows);
      b[p][1] = _mm256_load_ps(y + p * panel_size + k * kPanelRows + 8);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m256 a = _mm256_broadcast_ss(x + k * x_step + r);
#pragma GCC unroll 8
      for (int p = 0; p < panels; ++p) {
        sum[r][p][0] = _mm256_fmadd_ps(a, b[p][0], sum[r][p][0]);
        sum[r][p][1] = _mm256_fmadd_ps(a, b[p][1], sum[r][p][1]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      float* to = out + r * out_stride + p * kPanelRows;
      _mm256_storeu_ps(to, sum[r][p][0]);
      _mm256_storeu_ps(to + 8, sum[r][p][1]);
    }
  }
}

void RankAvx2(const float* x, const float* panels, int64_t panel_count,
              int64_t width, float* out) {
  const int64_t panel_size = width * kPanelRows;
  int64_t p = 0;
  for (; p + 4 <= panel_count; p += 4) {
    TileAvx2<1, 4>(x, 1, panels + p * panel_size, width, out + p * kPanelRows,
                   0);
  }
  for (; p < panel_count; ++p) {
    TileAvx2<1, 1>(x, 1, panels + p * panel_size, width, out + p * kPanelRows,
                   0);
  }
}

void MatrixAvx2(const float* x, int64_t x_panels, const float* y,
                int64_t y_panels, int64_t width, float* out) {
  const int64_t panel_size = width * kPanelRows;
  const int64_t out_stride = y_panels * kPanelRows;
  ForEachTile<6, 1>(
      x_panels, y_panels,
      [&](int64_t row, int64_t count, int64_t p, int64_t /*panels*/) {
        const float* from =
            x + row / kPanelRows * panel_size + row % kPanelRows;
        const float* panel = y + p * panel_size;
        float* to = out + row * out_stride + p * kPanelRows;
        if (count == 6) {
          TileAvx2<6, 1>(from, kPanelRows, panel, width, to, out_stride);
        } else {  // 16 = 6 + 6 + 4
          TileAvx2<4, 1>(from, kPanelRows, panel, width, to, out_stride);
        }
      });
}

template <int rows, int panels>
PERFVEC_AVX512 void TileAvx512(const float* x, int64_t x_step, const float* y,
                               int64_t width, float* out, int64_t out_stride) {
  __m512 sum[rows][panels];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) sum[r][p] = _mm512_setzero_ps();
  }
  const int64_t panel_size = width * kPanelRows;
  for (int64_t k = 0; k < width; ++k) {
    __m512 b[panels];
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      b[p] = _mm512_load_ps(y + p * panel_size + k * kPanelRows);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m512 a = _mm512_set1_ps(x[k * x_step + r]);
#pragma GCC unroll 8
      for (int p = 0; p < panels; ++p) {
        sum[r][p] = _mm512_fmadd_ps(a, b[p], sum[r][p]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      _mm512_storeu_ps(out + r * out_stride + p * kPanelRows, sum[r][p]);
    }
  }
}

void RankAvx512(const float* x, const float* panels, int64_t panel_count,
                int64_t width, float* out) {
  const int64_t panel_size = width * kPanelRows;
  int64_t p = 0;
  for (; p + 4 <= panel_count; p += 4) {
    TileAvx512<1, 4>(x, 1, panels + p * panel_size, width, out + p * kPanelRows,
                     0);
  }
  for (; p < panel_count; ++p) {
    TileAvx512<1, 1>(x, 1, panels + p * panel_size, width, out + p * kPanelRows,
                     0);
  }
}

void MatrixAvx512(const float* x, int64_t x_panels, const float* y,
                  int64_t y_panels, int64_t width, float* out) {
  const int64_t panel_size = width * kPanelRows;
  const int64_t out_stride = y_panels * kPanelRows;
  ForEachTile<8, 3>(
      x_panels, y_panels,
      [&](int64_t row, int64_t /*rows*/, int64_t p, int64_t count) {
        const float* from =
            x + row / kPanelRows * panel_size + row % kPanelRows;
        const float* panel = y + p * panel_size;
        float* to = out + row * out_stride + p * kPanelRows;
        if (count == 3) {
          TileAvx512<8, 3>(from, kPanelRows, panel, width, to, out_stride);
        } else if (count == 2) {
          TileAvx512<8, 2>(from, kPanelRows, panel, width, to, out_stride);
        } else {
          TileAvx512<8, 1>(from, kPanelRows, panel, width, to, out_stride);
        }
      });
}

constexpr Kernels kAvx2 = {"avx2", DotFma, RankAvx2, MatrixAvx2};
constexpr Kernels kAvx512 = {"avx512", DotFma, RankAvx512, MatrixAvx512};

#endif  // __x86_64__

}  // namespace

std::vector<const Kernels*> SupportedKernels() {
  std::vector<const Kernels*> supported = {&kGeneric};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    supported.push_back(&kAvx2);
    if (__builtin_cpu_supports("avx512f")) supported.push_back(&kAvx512);
  }
#endif
  return supported;
}

const Kernels& BestKernels() {
  static const Kernels* const best = SupportedKernels().back();
  return *best;
}

}  // namespace perfvec::server
