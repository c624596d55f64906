// The loops that training spends its time in, for one CPU and one kind of
// operand: single precision, or bfloat16 with single-precision sums.
//
// An operand is an array of 32-bit words: a float, or two bfloat16 that follow
// each other along the summed index. So one loop serves both kinds: load a
// panel of words, broadcast words of the other side, multiply and add.
//
// A panel is [words][64]: 64 columns (fewer in the last: a multiple of 16),
// each word 1 or 2 elements of the summed index. Gates stand in blocks of 16
// units: element q * 64 + gate * 16 + u, gates in the order i, f, g, o.
//
// Functions without state; any thread. Widths are multiples of 16.
#ifndef PERFVEC_WORKER_TRAIN_LSTM_KERNELS_H_
#define PERFVEC_WORKER_TRAIN_LSTM_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace perfvec::train {

inline constexpr int kPanel = 64;
// Columns in a block of the broadcast side of a product over rows.
inline constexpr int kBroadcastBlock = 48;

// One time step of one layer for `lanes` lanes.
struct ForwardStep {
  int lanes, width;
  const uint32_t* x;  // [lanes][x_stride], x_words of a row are used
  size_t x_stride, x_words;
  const uint32_t* hidden;  // [lanes][hidden_stride], the step before
  size_t hidden_stride, hidden_words;
  const uint32_t* weights;  // [width/16] panels of x_words + hidden_words
  const float* bias;        // [width/16][64]
  float* gates;             // [width/16][gates_lanes][64], activations
  size_t gates_lanes;
  const float* cell;      // [lanes][width]
  float* next_cell;       // [lanes][width]
  uint32_t* next_hidden;  // [lanes][hidden_stride]
  float* relu;            // [lanes][width], or null
};

// The derivatives before the nonlinearities of one step, from those of the step
// after and from above.
struct BackwardStep {
  int lanes, width;
  const uint32_t* next_d_gates;  // [lanes][d_gates_stride]; null: the last step
  size_t d_gates_stride, d_gates_words;
  const uint32_t* weights;  // panels of d_gates_words, [width] columns
  const float* d_output;    // [lanes][width]
  const float* relu;        // [lanes][width] or null; 0: no gradient passes
  const float* gates;       // as in ForwardStep
  size_t gates_lanes;
  const float* cell;
  const float* next_cell;
  float* d_cell;      // [lanes][width], in and out
  uint32_t* d_gates;  // [lanes][d_gates_stride]
};

// out[rows][columns] = a[rows][words] · panels.
struct RowProduct {
  size_t rows, words, columns;
  const uint32_t* a;
  size_t a_stride;
  const uint32_t* panels;  // ceil(columns / 64) panels
  float* out;
  size_t out_stride;
};

struct LstmKernels {
  const char* name;
  int elements_per_word;
  // to[rows][to_stride words] from [rows][columns]; zeros up to a multiple of
  // 16 elements.
  void (*encode)(const float* from, size_t rows, size_t columns, uint32_t* to,
                 size_t to_stride);
  // Makes rows the summed index: to [words][width] of columns
  // [column, column + columns) of encoded rows, zeros in the rest.
  void (*pack_rows)(const uint32_t* from, size_t from_stride, size_t rows,
                    size_t column, size_t columns, size_t width, uint32_t* to);
  void (*forward)(const ForwardStep& step);
  void (*backward)(const BackwardStep& step);
  void (*multiply)(const RowProduct& product);
  // sum[m][64] += Σ a[word][m] b[word][64], a of kBroadcastBlock columns a row.
  void (*accumulate)(size_t words, int m, const uint32_t* a, const uint32_t* b,
                     float* sum);
};

// Null where the CPU lacks the instructions.
const LstmKernels* Avx512Kernels();      // single precision
const LstmKernels* Avx512Bf16Kernels();  // bfloat16

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_LSTM_KERNELS_H_
