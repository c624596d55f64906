// The loops of lstm_kernels.h, written once over the kind of operand (Op).
// Included by one source file per kind, each with its own compiler flags.
#ifndef PERFVEC_WORKER_TRAIN_LSTM_KERNELS_IMPL_H_
#define PERFVEC_WORKER_TRAIN_LSTM_KERNELS_IMPL_H_

#include <immintrin.h>

#include <algorithm>

#include "worker/train/lstm_kernels.h"

namespace perfvec::train {
namespace {

#define PERFVEC_INLINE inline __attribute__((always_inline))

// Rows of a tile: 6 x 4 sums leave registers for the panel's four vectors.
constexpr int kRows = 6;

// Coefficients of Cephes' expf; relative error below 2e-7.
PERFVEC_INLINE __m512 Exp(__m512 x) {
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-80)), _mm512_set1_ps(80));
  const __m512 n = _mm512_roundscale_ps(
      _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
                  1.6666665459e-1f, 5.0000001201e-1f, 1.0f, 1.0f}) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  }
  return _mm512_scalef_ps(p, n);
}

// 1 / x with one Newton step: relative error below 2^-23.
PERFVEC_INLINE __m512 Reciprocal(__m512 x) {
  const __m512 y = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2)));
}

PERFVEC_INLINE __m512 Sigmoid(__m512 x) {
  const __m512 one = _mm512_set1_ps(1);
  return Reciprocal(
      _mm512_add_ps(one, Exp(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

PERFVEC_INLINE __m512 Tanh(__m512 x) {
  const __m512 one = _mm512_set1_ps(1);
  const __m512 e = Exp(_mm512_mul_ps(x, _mm512_set1_ps(-2)));
  return _mm512_fmsub_ps(_mm512_set1_ps(2), Reciprocal(_mm512_add_ps(one, e)),
                         one);
}

// sum[m][n] += Σ a[m * row_stride + k * word_stride] b[k][n] over `words`.
template <class Op, int M, int N>
PERFVEC_INLINE void AddProduct(const uint32_t* a, size_t row_stride,
                               size_t word_stride, const uint32_t* b,
                               size_t b_stride, size_t words,
                               __m512 (&sum)[M][N]) {
  for (size_t k = 0; k < words; ++k) {
    __m512i panel[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) panel[n] = _mm512_loadu_si512(b + n * 16);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const __m512i v = _mm512_set1_epi32(static_cast<int>(a[m * row_stride]));
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        sum[m][n] = Op::MultiplyAdd(v, panel[n], sum[m][n]);
      }
    }
    a += word_stride;
    b += b_stride;
  }
}

// Calls tile.template Run<M>(first row) over tiles of nearly equal size.
template <class Tile>
PERFVEC_INLINE void ForEachTile(size_t rows, const Tile& tile) {
  const size_t tiles = (rows + kRows - 1) / kRows;
  size_t row = 0;
  for (size_t i = 0; i < tiles; ++i) {
    const size_t size = (rows - row + tiles - i - 1) / (tiles - i);
    switch (size) {
      case 1:
        tile.template Run<1>(row);
        break;
      case 2:
        tile.template Run<2>(row);
        break;
      case 3:
        tile.template Run<3>(row);
        break;
      case 4:
        tile.template Run<4>(row);
        break;
      case 5:
        tile.template Run<5>(row);
        break;
      default:
        tile.template Run<6>(row);
    }
    row += size;
  }
}

template <class Op>
struct ForwardTile {
  const ForwardStep& s;
  int q;  // block of 16 units
  template <int M>
  __attribute__((noinline)) void Run(size_t lane) const {
    __m512 gate[M][4];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        gate[m][n] = _mm512_loadu_ps(s.bias + q * kPanel + n * 16);
      }
    }
    const uint32_t* panel =
        s.weights + q * (s.x_words + s.hidden_words) * kPanel;
    AddProduct<Op, M, 4>(s.x + lane * s.x_stride, s.x_stride, 1, panel, kPanel,
                         s.x_words, gate);
    AddProduct<Op, M, 4>(s.hidden + lane * s.hidden_stride, s.hidden_stride, 1,
                         panel + s.x_words * kPanel, kPanel, s.hidden_words,
                         gate);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const size_t at = (lane + m) * s.width + q * 16;
      const __m512 i = Sigmoid(gate[m][0]), f = Sigmoid(gate[m][1]);
      const __m512 g = Tanh(gate[m][2]), o = Sigmoid(gate[m][3]);
      float* out = s.gates + (q * s.gates_lanes + lane + m) * kPanel;
      _mm512_storeu_ps(out, i);
      _mm512_storeu_ps(out + 16, f);
      _mm512_storeu_ps(out + 32, g);
      _mm512_storeu_ps(out + 48, o);
      const __m512 c =
          _mm512_fmadd_ps(f, _mm512_loadu_ps(s.cell + at), _mm512_mul_ps(i, g));
      _mm512_storeu_ps(s.next_cell + at, c);
      const __m512 h = _mm512_mul_ps(o, Tanh(c));
      Op::Store(h, s.next_hidden + (lane + m) * s.hidden_stride, q * 16);
      if (s.relu != nullptr) {
        _mm512_storeu_ps(s.relu + at, _mm512_max_ps(h, _mm512_setzero_ps()));
      }
    }
  }
};

template <class Op>
void Forward(const ForwardStep& s) {
  for (int q = 0; q < s.width / 16; ++q) {
    ForEachTile(s.lanes, ForwardTile<Op>{s, q});
  }
}

template <class Op, int N>
struct BackwardTile {
  const BackwardStep& s;
  int column;
  template <int M>
  __attribute__((noinline)) void Run(size_t lane) const {
    __m512 d[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) d[m][n] = _mm512_setzero_ps();
    }
    if (s.next_d_gates != nullptr) {
      AddProduct<Op, M, N>(
          s.next_d_gates + lane * s.d_gates_stride, s.d_gates_stride, 1,
          s.weights + column * s.d_gates_words, N * 16, s.d_gates_words, d);
    }
    const __m512 one = _mm512_set1_ps(1);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        const int q = column / 16 + n;
        const size_t at = (lane + m) * s.width + q * 16;
        __m512 above = _mm512_loadu_ps(s.d_output + at);
        if (s.relu != nullptr) {
          const __mmask16 passes = _mm512_cmp_ps_mask(
              _mm512_loadu_ps(s.relu + at), _mm512_setzero_ps(), _CMP_GT_OQ);
          above = _mm512_maskz_mov_ps(passes, above);
        }
        const __m512 dh = _mm512_add_ps(d[m][n], above);
        const float* gates = s.gates + (q * s.gates_lanes + lane + m) * kPanel;
        const __m512 i = _mm512_loadu_ps(gates);
        const __m512 f = _mm512_loadu_ps(gates + 16);
        const __m512 g = _mm512_loadu_ps(gates + 32);
        const __m512 o = _mm512_loadu_ps(gates + 48);
        const __m512 tc = Tanh(_mm512_loadu_ps(s.next_cell + at));
        const __m512 dho = _mm512_mul_ps(dh, o);
        const __m512 dc = _mm512_fmadd_ps(dho, _mm512_fnmadd_ps(tc, tc, one),
                                          _mm512_loadu_ps(s.d_cell + at));
        _mm512_storeu_ps(s.d_cell + at, _mm512_mul_ps(dc, f));
        const __m512 dci = _mm512_mul_ps(dc, i);
        Op::Store4(_mm512_mul_ps(_mm512_mul_ps(dci, g), _mm512_sub_ps(one, i)),
                   _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(dc, f),
                                               _mm512_sub_ps(one, f)),
                                 _mm512_loadu_ps(s.cell + at)),
                   _mm512_mul_ps(dci, _mm512_fnmadd_ps(g, g, one)),
                   _mm512_mul_ps(_mm512_mul_ps(dho, tc), _mm512_sub_ps(one, o)),
                   s.d_gates + (lane + m) * s.d_gates_stride, q * kPanel);
      }
    }
  }
};

template <class Op>
void Backward(const BackwardStep& s) {
  for (int column = 0; column < s.width; column += kPanel) {
    switch (std::min(s.width - column, kPanel) / 16) {
      case 1:
        ForEachTile(s.lanes, BackwardTile<Op, 1>{s, column});
        break;
      case 2:
        ForEachTile(s.lanes, BackwardTile<Op, 2>{s, column});
        break;
      case 3:
        ForEachTile(s.lanes, BackwardTile<Op, 3>{s, column});
        break;
      default:
        ForEachTile(s.lanes, BackwardTile<Op, 4>{s, column});
    }
  }
}

template <class Op, int N>
struct ProductTile {
  const RowProduct& p;
  size_t column;
  template <int M>
  __attribute__((noinline)) void Run(size_t row) const {
    __m512 sum[M][N];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[m][n] = _mm512_setzero_ps();
    }
    AddProduct<Op, M, N>(p.a + row * p.a_stride, p.a_stride, 1,
                         p.panels + column * p.words, N * 16, p.words, sum);
    const size_t left = p.columns - column - (N - 1) * 16;
    const __mmask16 last = left >= 16 ? 0xffff : (1u << left) - 1;
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      float* out = p.out + (row + m) * p.out_stride + column;
#pragma GCC unroll 4
      for (int n = 0; n < N - 1; ++n) _mm512_storeu_ps(out + n * 16, sum[m][n]);
      _mm512_mask_storeu_ps(out + (N - 1) * 16, last, sum[m][N - 1]);
    }
  }
};

template <class Op>
void Multiply(const RowProduct& p) {
  for (size_t column = 0; column < p.columns; column += kPanel) {
    switch (std::min<size_t>(p.columns - column + 15, kPanel) / 16) {
      case 1:
        ForEachTile(p.rows, ProductTile<Op, 1>{p, column});
        break;
      case 2:
        ForEachTile(p.rows, ProductTile<Op, 2>{p, column});
        break;
      case 3:
        ForEachTile(p.rows, ProductTile<Op, 3>{p, column});
        break;
      default:
        ForEachTile(p.rows, ProductTile<Op, 4>{p, column});
    }
  }
}

template <class Op>
struct SumTile {
  size_t words;
  const uint32_t *a, *b;
  float* out;
  template <int M>
  __attribute__((noinline)) void Run(size_t row) const {
    __m512 sum[M][4];
    float* to = out + row * kPanel;
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        sum[m][n] = _mm512_loadu_ps(to + m * kPanel + n * 16);
      }
    }
    AddProduct<Op, M, 4>(a + row, 1, kBroadcastBlock, b, kPanel, words, sum);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        _mm512_storeu_ps(to + m * kPanel + n * 16, sum[m][n]);
      }
    }
  }
};

template <class Op>
void Accumulate(size_t words, int m, const uint32_t* a, const uint32_t* b,
                float* sum) {
  ForEachTile(m, SumTile<Op>{words, a, b, sum});
}

template <class Op>
void Encode(const float* from, size_t rows, size_t columns, uint32_t* to,
            size_t to_stride) {
  for (size_t r = 0; r < rows; ++r, from += columns, to += to_stride) {
    for (size_t c = 0; c < columns; c += 16) {
      const size_t left = columns - c;
      const __mmask16 mask = left >= 16 ? 0xffff : (1u << left) - 1;
      Op::Store(_mm512_maskz_loadu_ps(mask, from + c), to, c);
    }
  }
}

template <class Op>
void PackRows(const uint32_t* from, size_t from_stride, size_t rows,
              size_t column, size_t columns, size_t width, uint32_t* to) {
  for (size_t r = 0; r < rows; r += Op::kElements) {
    const uint32_t* row = from + r * from_stride;
    const uint32_t* second = r + 1 < rows ? row + from_stride : nullptr;
    for (size_t c = 0; c < width; c += 16, to += 16) {
      const size_t left = c < columns ? columns - c : 0;
      const __mmask16 mask = left >= 16 ? 0xffff : (1u << left) - 1;
      _mm512_storeu_si512(to, Op::Pair(row, second, column + c, mask));
    }
  }
}

template <class Op>
constexpr LstmKernels MakeKernels(const char* name) {
  return {name,        Op::kElements, Encode<Op>,   PackRows<Op>,
          Forward<Op>, Backward<Op>,  Multiply<Op>, Accumulate<Op>};
}

#undef PERFVEC_INLINE

}  // namespace
}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_LSTM_KERNELS_IMPL_H_
