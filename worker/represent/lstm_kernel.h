// One LSTM time step over many lanes, on this CPU.
//
// A lane is one run of the network; lanes are independent, so a step over n
// lanes is a product [n, inputs + width] x [inputs + width, 4 * width] followed
// by the gates. The kernel does both at once: a tile of lanes and 16 hidden
// units (8 with AVX2) keeps its 4 gates in registers over the whole of k =
// [input; hidden], applies the gates there and writes only c and h.
//
// The same source is compiled for AVX-512, for AVX2 + FMA and for any CPU. A
// lane's result is the same to the last bit in all of them and whatever lanes
// are computed beside it: each output is one chain of fused multiply-adds in
// the order of k, starting from the bias, and the gates use the polynomials of
// lstm_kernel_impl.h only.
//
// Internal to worker/represent. Pure functions on the caller's memory.
#ifndef PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_
#define PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_

#include <cstddef>

namespace perfvec::compute {

inline constexpr int kGates = 4;  // i, f, g, o

// Weights of one layer, zero-padded to whole panels of as many hidden units as
// the kernel says. Row k of a panel is the
// weights of input k (then hidden k) as [gate][unit]. A padded unit stays at
// h = c = 0.
struct PackedLayer {
  int inputs = 0;        // k of the input part
  int hidden = 0;        // k of the hidden part
  int panels = 0;        // ceil(hidden / units)
  const float* weights;  // [panels][inputs + hidden][kGates][units]
  const float* bias;     // [panels][kGates][units]
};

// Pointers to lane 0; strides are in elements from lane to lane. All strides of
// hidden-sized rows are panels * units.
struct LstmStep {
  int lanes = 0;
  const float* input = nullptr;  // [lanes][input_stride]
  size_t input_stride = 0;
  const float* hidden_in = nullptr;  // h of the step before
  float* hidden_out = nullptr;       // another buffer than hidden_in
  float* cell = nullptr;             // c, updated in place
  // With sums: sums[lane][unit] += max(0, h) for lanes with keep[lane].
  double* sums = nullptr;
  const unsigned char* keep = nullptr;
};

struct LstmKernel {
  const char* name;
  int panel_units;
  void (*step)(const PackedLayer& layer, const LstmStep& step);
};

extern const LstmKernel kLstmKernelAvx512;
extern const LstmKernel kLstmKernelAvx2;
extern const LstmKernel kLstmKernelGeneric;

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_
