// The body of the LSTM step, written once over a vector type V and compiled by
// lstm_kernel_{avx512,avx2,generic}.cc with flags of their own.
//
// Everything here has internal linkage: a function compiled with AVX-512 flags
// must never be picked by the linker for a CPU without it. Compiled with
// -ffp-contract=off: what is fused is written as Fma.
//
// V provides: kWidth (units of a panel), kLanes (lanes a register tile holds),
// kBroadcastFirst (keep the lanes' inputs in registers rather than the
// weights), F, Load, Store, Broadcast, Fma(a, b, c) = a * b + c, Mul, Add, Sub,
// Div, Max, Min (the second operand if either is NaN), PowerOfTwo,
// AddToDoubles; and of operand words: W, LoadWords, BroadcastWord,
// kValuesPerWord, Accumulate(x, w, sum) = sum + the products of a word,
// StoreHidden.
#ifndef PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_IMPL_H_
#define PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_IMPL_H_

#include <cstdint>

#include "worker/represent/lstm_kernel.h"

namespace perfvec::compute {
namespace {

// exp(y) - 1, to about 2 ulp, for |y| <= 40; beyond that exp(+-40) - 1, which
// makes a gate 1 or 0 to float precision and keeps the products of two
// denominators finite. NaN stays NaN. Reduction by ln 2 in two parts and the
// polynomial of Cephes' expf; 2^n * (1 + p) - 1 is formed as 2^n * p +
// (2^n - 1), which keeps full relative precision near 0.
template <class V>
inline typename V::F ExpMinusOne(typename V::F y) {
  using F = typename V::F;
  y = V::Min(V::Broadcast(40.0f), V::Max(V::Broadcast(-40.0f), y));
  // Adding 1.5 * 2^23 rounds to an integer, left in the low mantissa bits.
  const F magic = V::Broadcast(12582912.0f);
  const F shifted = V::Fma(y, V::Broadcast(1.44269504088896341f), magic);
  const F n = V::Sub(shifted, magic);
  F r = V::Fma(n, V::Broadcast(-0.693359375f), y);
  r = V::Fma(n, V::Broadcast(2.12194440e-4f), r);
  F p = V::Broadcast(1.9875691500e-4f);
  p = V::Fma(p, r, V::Broadcast(1.3981999507e-3f));
  p = V::Fma(p, r, V::Broadcast(8.3334519073e-3f));
  p = V::Fma(p, r, V::Broadcast(4.1665795894e-2f));
  p = V::Fma(p, r, V::Broadcast(1.6666665459e-1f));
  p = V::Fma(p, r, V::Broadcast(5.0000001201e-1f));
  p = V::Fma(p, V::Mul(r, r), r);
  const F scale = V::PowerOfTwo(shifted);
  return V::Fma(scale, p, V::Sub(scale, V::Broadcast(1.0f)));
}

// With e(y) = exp(y) - 1: sigmoid(x) = 1 / (2 + e(-x)) and tanh(x) =
// -e(-2x) / (2 + e(-2x)), so that a product of both needs one division.
template <class V>
inline typename V::F Gates(const typename V::F gates[kGates], float* cell) {
  using F = typename V::F;
  const F minus_one = V::Broadcast(-1.0f);
  const F minus_two = V::Broadcast(-2.0f);
  const F two = V::Broadcast(2.0f);
  const F input = V::Add(two, ExpMinusOne<V>(V::Mul(gates[0], minus_one)));
  const F forget = V::Add(two, ExpMinusOne<V>(V::Mul(gates[1], minus_one)));
  const F update = ExpMinusOne<V>(V::Mul(gates[2], minus_two));
  const F output = V::Add(two, ExpMinusOne<V>(V::Mul(gates[3], minus_one)));
  const F added = V::Div(update, V::Mul(input, V::Add(two, update)));
  const F c = V::Sub(V::Div(V::Load(cell), forget), added);
  V::Store(cell, c);
  const F tanh_c = ExpMinusOne<V>(V::Mul(c, minus_two));
  const F denominator = V::Mul(output, V::Add(two, tanh_c));
  return V::Div(V::Mul(tanh_c, minus_one), denominator);
}

// acc[lane][gate] += rows[lane][k] * weights[k][gate], k in order.
template <class V, int R>
inline const uint32_t* Accumulate(const uint32_t* weights, int words,
                                  const uint32_t* row, size_t stride,
                                  typename V::F acc[R][kGates]) {
  using W = typename V::W;
  const uint32_t* rows[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) rows[r] = row + r * stride;
#pragma GCC unroll 2
  for (int k = 0; k < words; ++k) {
    if constexpr (V::kBroadcastFirst) {
      W x[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) x[r] = V::BroadcastWord(rows[r] + k);
#pragma GCC unroll 4
      for (int g = 0; g < kGates; ++g) {
        const W w = V::LoadWords(weights + g * V::kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          acc[r][g] = V::Accumulate(x[r], w, acc[r][g]);
        }
      }
    } else {
      W w[kGates];
#pragma GCC unroll 4
      for (int g = 0; g < kGates; ++g) {
        w[g] = V::LoadWords(weights + g * V::kWidth);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const W x = V::BroadcastWord(rows[r] + k);
#pragma GCC unroll 4
        for (int g = 0; g < kGates; ++g) {
          acc[r][g] = V::Accumulate(x, w[g], acc[r][g]);
        }
      }
    }
    weights += kGates * V::kWidth;
  }
  return weights;
}

// R lanes from `lane` on, all units of a panel.
template <class V, int R>
void Tile(const PackedLayer& layer, const LstmStep& step, int lane, int panel) {
  using F = typename V::F;
  constexpr size_t kRow = static_cast<size_t>(kGates) * V::kWidth;
  const size_t words =
      static_cast<size_t>(layer.input_words + layer.hidden_words);
  const size_t stride = static_cast<size_t>(layer.panels) * V::kWidth;
  const size_t hidden_stride = stride / V::kValuesPerWord;
  const size_t first = static_cast<size_t>(lane);
  const float* bias = layer.bias + panel * kRow;
  const uint32_t* weights = layer.weights + panel * words * kRow;
  F acc[R][kGates];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const float* from = step.projected == nullptr
                            ? bias
                            : step.projected[first + r] + panel * kRow;
#pragma GCC unroll 4
    for (int g = 0; g < kGates; ++g) acc[r][g] = V::Load(from + g * V::kWidth);
  }
  if (step.projected == nullptr) {
    weights = Accumulate<V, R>(weights, layer.input_words,
                               step.input + first * step.input_stride,
                               step.input_stride, acc);
  } else {
    weights += static_cast<size_t>(layer.input_words) * kRow;
  }
  Accumulate<V, R>(weights, layer.hidden_words,
                   step.hidden_in + first * hidden_stride, hidden_stride, acc);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const size_t at =
        (first + r) * stride + static_cast<size_t>(panel) * V::kWidth;
    const F hidden = Gates<V>(acc[r], step.cell + at);
    V::StoreHidden(step.hidden_out + at / V::kValuesPerWord, hidden);
    if (step.sums != nullptr && step.keep[first + r] != 0) {
      const F output = V::Max(V::Broadcast(0.0f), hidden);
      V::AddToDoubles(step.sums + at, output);
      if (step.outputs != nullptr) V::Store(step.outputs + at, output);
    }
  }
}

template <class V, int R>
void Tiles(const PackedLayer& layer, const LstmStep& step, int panel,
           int lane) {
  for (; lane + R <= step.lanes; lane += R) {
    Tile<V, R>(layer, step, lane, panel);
  }
  if constexpr (R > 1) {
    if (lane < step.lanes) Tiles<V, R - 1>(layer, step, panel, lane);
  }
}

// A panel's weights (131 kB for 512 inputs) stay in the second-level cache
// while all lanes pass; the lanes' h and c are smaller still.
template <class V>
void LstmStepOver(const PackedLayer& layer, const LstmStep& step) {
  for (int panel = 0; panel < layer.panels; ++panel) {
    Tiles<V, V::kLanes>(layer, step, panel, 0);
  }
}

template <class V, int R>
void ProjectRows(const PackedLayer& layer, const uint32_t* inputs, int rows,
                 float* sums) {
  constexpr size_t kRow = static_cast<size_t>(kGates) * V::kWidth;
  const size_t words =
      static_cast<size_t>(layer.input_words + layer.hidden_words);
  const size_t stride = static_cast<size_t>(layer.input_words);
  int row = 0;
  for (; row + R <= rows; row += R) {
    for (int panel = 0; panel < layer.panels; ++panel) {
      typename V::F acc[R][kGates];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int g = 0; g < kGates; ++g) {
          acc[r][g] = V::Load(layer.bias + panel * kRow + g * V::kWidth);
        }
      }
      Accumulate<V, R>(layer.weights + panel * words * kRow, layer.input_words,
                       inputs + static_cast<size_t>(row) * stride, stride, acc);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        float* to = sums + (static_cast<size_t>(row + r) * layer.panels +
                            static_cast<size_t>(panel)) *
                               kRow;
#pragma GCC unroll 4
        for (int g = 0; g < kGates; ++g) {
          V::Store(to + g * V::kWidth, acc[r][g]);
        }
      }
    }
  }
  if constexpr (R > 1) {
    if (row < rows) {
      ProjectRows<V, 1>(layer, inputs + static_cast<size_t>(row) * stride,
                        rows - row,
                        sums + static_cast<size_t>(row) * layer.panels * kRow);
    }
  }
}

template <class V>
constexpr LstmKernel MakeKernel(const char* name) {
  if constexpr (V::kValuesPerWord == 1) {
    return {
        name,     V::kWidth, 1, &LstmStepOver<V>, &ProjectRows<V, V::kLanes>,
        &V::Pack, nullptr};
  } else {
    return {name,
            V::kWidth,
            V::kValuesPerWord,
            &LstmStepOver<V>,
            &ProjectRows<V, V::kLanes>,
            &V::Pack,
            &V::PackSplit};
  }
}

}  // namespace
}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_LSTM_KERNEL_IMPL_H_
