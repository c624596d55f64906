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
// In bf16 (another result, as reproducible) weights, inputs and hidden states
// are rounded to nearest even and multiplied in pairs by vdpbf16ps: sums, gates
// and cells stay in float. Operands lie in words of 4 bytes: one float, or two
// bf16, the earlier k in the lower half.
//
// Internal to worker/represent. Pure functions on the caller's memory.
#ifndef PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_
#define PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_

#include <cstddef>
#include <cstdint>

namespace perfvec::compute {

inline constexpr int kGates = 4;  // i, f, g, o

// Weights of one layer, zero-padded to whole panels of as many hidden units as
// the kernel says. Word k of a panel is the weights of word k of the input
// (then of the hidden state) as [gate][unit]. A padded unit stays at h = c = 0.
struct PackedLayer {
  int input_words = 0;
  int hidden_words = 0;
  int panels = 0;           // ceil(hidden units / panel_units)
  const uint32_t* weights;  // [panels][input_words + hidden_words][kGates]
                            //     [units]
  const float* bias;        // [panels][kGates][units]
};

// Pointers to lane 0; strides are in elements from lane to lane. A lane has
// panels * units hidden units.
struct LstmStep {
  int lanes = 0;
  const uint32_t* input = nullptr;  // [lanes][input_stride]
  size_t input_stride = 0;
  // If not null, instead of the input: each lane's sums as `project` left them.
  const float* const* projected =
      nullptr;                          // [lanes] -> [panels][kGates][units]
  const uint32_t* hidden_in = nullptr;  // h of the step before
  uint32_t* hidden_out = nullptr;       // another buffer than hidden_in
  float* cell = nullptr;                // c, updated in place
  // With sums: sums[lane][unit] += max(0, h) for lanes with keep[lane]; with
  // outputs too, outputs[lane][unit] = max(0, h) for them.
  double* sums = nullptr;
  float* outputs = nullptr;
  const unsigned char* keep = nullptr;
};

struct LstmKernel {
  const char* name;
  int panel_units;
  int values_per_word;  // 1: float, 2: bf16
  void (*step)(const PackedLayer& layer, const LstmStep& step);
  // The part of a step that depends on nothing but the inputs: sums[row] = bias
  // + inputs[row] * weights, [rows][panels][kGates][units]. A step that goes on
  // from there gives the same bits as one that did it all.
  void (*project)(const PackedLayer& layer, const uint32_t* inputs, int rows,
                  float* sums);
  // values[count] to words, the last one filled up with zero.
  void (*pack)(const float* values, int count, uint32_t* words);
  // Each value to a word of its own: its bf16, and that of what is left. Null
  // where a word is a float.
  void (*pack_split)(const float* values, int count, uint32_t* words);
};

extern const LstmKernel kLstmKernelAvx512;
extern const LstmKernel kLstmKernelAvx2;
extern const LstmKernel kLstmKernelGeneric;
extern const LstmKernel kLstmKernelAvx512Bf16;
extern const LstmKernel kLstmKernelGenericBf16;

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_H_
