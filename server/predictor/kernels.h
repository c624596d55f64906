// Dot products of float32 vectors of `width` elements: one pair, one against
// many, many against many.
//
// Every result is acc = fma(x[k], y[k], acc) for k = 0, 1, ... width-1 from
// acc = 0, in float. All kernels of all instruction sets keep that order, so
// the same pair gives the same bits from each; kernels_test.cc checks it.
//
// Many vectors lie in panels of 16 interleaved ones, [width][16] floats,
// 64-byte aligned: a step of k is one cache line, 16 rows advance at once, and
// no sum crosses lanes.
//
// Pure functions: any thread, nothing owned, nothing fails.
//
//   const Kernels& kernels = BestKernels();
//   kernels.rank(program, panels, panel_count, 256, times);
#ifndef PERFVEC_SERVER_PREDICTOR_KERNELS_H_
#define PERFVEC_SERVER_PREDICTOR_KERNELS_H_

#include <cstdint>
#include <vector>

namespace perfvec::server {

inline constexpr int kPanelRows = 16;

struct Kernels {
  const char* name;  // "generic", "avx2", "avx512"

  // x, y: [width].
  float (*dot)(const float* x, const float* y, int64_t width);

  // x: [width], panels: [panel_count][width][16], out: [panel_count * 16].
  void (*rank)(const float* x, const float* panels, int64_t panel_count,
               int64_t width, float* out);

  // x: [x_panels][width][16], y: [y_panels][width][16],
  // out: row-major [16 * x_panels][16 * y_panels].
  void (*matrix)(const float* x, int64_t x_panels, const float* y,
                 int64_t y_panels, int64_t width, float* out);
};

// The fastest this CPU runs; chosen once.
const Kernels& BestKernels();

// All that this CPU runs, "generic" first.
std::vector<const Kernels*> SupportedKernels();

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_KERNELS_H_
