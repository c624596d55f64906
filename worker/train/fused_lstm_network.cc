#include "worker/train/fused_lstm_network.h"

#include <algorithm>
#include <cstring>

namespace perfvec::train {
namespace {

// Words of the summed index that a sum goes through at a time, and panels that
// share a pass over the broadcast side: four panels (256 kB) and their sums
// stay in the second-level cache.
constexpr size_t kSumWords = 256;
constexpr int kGroup = 4;
// Rows packed at a time: they stay in cache while their columns are gone
// through. Even, for pairs.
constexpr size_t kPackRows = 128;

const LstmKernels* KernelsFor(const NetworkShape& shape) {
  const LstmKernels* bf16 = shape.bf16 ? Avx512Bf16Kernels() : nullptr;
  return bf16 != nullptr ? bf16 : Avx512Kernels();
}

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// to[k][width] = from[j][k] of `rows` rows j; zeros for j from rows to width.
void PackColumns(const uint32_t* from, size_t stride, size_t rows, size_t words,
                 size_t width, uint32_t* to) {
  for (size_t j = 0; j < width; ++j) {
    for (size_t k = 0; k < words; ++k) {
      to[k * width + j] = j < rows ? from[j * stride + k] : 0;
    }
  }
}

// An element's value from an encoded row, exactly.
float Element(const uint32_t* row, size_t i, int elements_per_word) {
  uint32_t bits = row[i / elements_per_word];
  if (elements_per_word == 2) bits = i % 2 == 0 ? bits << 16 : bits & ~0xffffu;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

bool FusedLstmNetwork::Serves(const NetworkShape& shape) {
  return shape.width % 16 == 0 && KernelsFor(shape) != nullptr;
}

FusedLstmNetwork::FusedLstmNetwork(const NetworkShape& shape)
    : LstmNetwork(shape),
      kernels_(*KernelsFor(shape)),
      head_(*Avx512Kernels()),
      pool_(shape.threads),
      layer_(shape.layers) {
  const int per = kernels_.elements_per_word;
  x_stride_ = RoundUp(shape.inputs, 16 * per) / per;
  // One line more than the elements: room for the constant, and rows that do
  // not all fall into the same sets of a cache.
  hidden_stride_ = RoundUp(shape.width, 16 * per) / per + 16;
  d_gates_stride_ = 4 * shape.width / per + 16;
}

void FusedLstmNetwork::ResetLanes(int lanes) {
  lanes_ = lanes;
  steps_ = 0;
  for (Layer& l : layer_) {
    l.cell.assign(lanes * Width(), 0.0f);
    l.hidden.assign(lanes * hidden_stride_, 0);
  }
}

void FusedLstmNetwork::ResetLane(int lane) {
  // The carried state of the next call is the last row of the one before.
  const size_t row = size_t(steps_) * lanes_ + lane;
  for (Layer& l : layer_) {
    std::fill_n(&l.cell[row * Width()], Width(), 0.0f);
    std::fill_n(&l.hidden[row * hidden_stride_], hidden_stride_, 0);
  }
}

std::vector<float> FusedLstmNetwork::LaneState() const {
  const size_t begin = size_t(steps_) * lanes_, end = begin + lanes_;
  std::vector<float> state;
  for (const Layer& l : layer_) {
    state.insert(state.end(), l.cell.begin() + begin * Width(),
                 l.cell.begin() + end * Width());
    for (size_t row = begin; row < end; ++row) {
      for (size_t i = 0; i < Width(); ++i) {
        state.push_back(Element(&l.hidden[row * hidden_stride_], i,
                                kernels_.elements_per_word));
      }
    }
  }
  return state;
}

void FusedLstmNetwork::SetLaneState(const std::vector<float>& state,
                                    int lanes) {
  ResetLanes(lanes);
  const size_t size = lanes * Width();
  const float* from = state.data();
  for (Layer& l : layer_) {
    std::copy_n(from, size, l.cell.begin());
    kernels_.encode(from + size, lanes, Width(), l.hidden.data(),
                    hidden_stride_);
    from += 2 * size;
  }
}

const uint32_t* FusedLstmNetwork::Input(size_t layer) const {
  if (layer == 0) return x_words_.data();
  return &layer_[layer - 1].hidden[lanes_ * hidden_stride_];
}

size_t FusedLstmNetwork::InputStride(size_t layer) const {
  return layer == 0 ? x_stride_ : hidden_stride_;
}

void FusedLstmNetwork::PackWeights(bool table) {
  const int h = shape_.width, per = kernels_.elements_per_word;
  const size_t h_words = h / per, d_words = 4 * h_words;
  pool_.ForEach(shape_.layers, [&](int index) {
    Layer& l = layer_[index];
    const LayerOffsets& o = layers()[index];
    const size_t x_stride = RoundUp(o.inputs, 16 * per) / per;
    l.x_words = RoundUp(o.inputs, per) / per;
    Words w_ih(4 * h * x_stride), w_hh(4 * h * h_words);
    kernels_.encode(&parameters_[o.weight_ih], 4 * h, o.inputs, w_ih.data(),
                    x_stride);
    kernels_.encode(&parameters_[o.weight_hh], 4 * h, h, w_hh.data(), h_words);
    l.forward.resize((l.x_words + h_words) * 4 * h);
    l.d_hidden.resize(d_words * h);
    if (index > 0) l.d_x.resize(d_words * h);
    l.bias.resize(4 * h);
    for (int q = 0; q < h / 16; ++q) {
      for (int gate = 0; gate < 4; ++gate) {
        // 16 rows of the matrices, 16 columns of the panel.
        const size_t row = size_t(gate) * h + q * 16;
        std::copy_n(&parameters_[o.bias + row], 16,
                    &l.bias[q * kPanel + gate * 16]);
        uint32_t* to =
            &l.forward[q * (l.x_words + h_words) * kPanel + gate * 16];
        for (int j = 0; j < 16; ++j) {
          for (size_t k = 0; k < l.x_words; ++k) {
            to[k * kPanel + j] = w_ih[(row + j) * x_stride + k];
          }
          for (size_t k = 0; k < h_words; ++k) {
            to[(l.x_words + k) * kPanel + j] = w_hh[(row + j) * h_words + k];
          }
        }
        for (int column = 0; column < h; column += kPanel) {
          const int width = std::min(kPanel, h - column);
          const size_t at =
              column * d_words + (q * kPanel + gate * 16) / per * size_t(width);
          kernels_.pack_rows(&w_hh[row * h_words], h_words, 16, column, width,
                             width, &l.d_hidden[at]);
          if (index > 0) {
            kernels_.pack_rows(&w_ih[row * x_stride], x_stride, 16, column,
                               width, width, &l.d_x[at]);
          }
        }
      }
    }
  });
  if (!table) return;
  const int a = shape_.architectures;
  Words rows(size_t(a) * h);
  head_.encode(&parameters_[table_offset_], a, h, rows.data(), h);
  table_.resize(RoundUp(a, 16) * h);
  for (int j = 0; j < a; j += kPanel) {
    const int n = std::min(kPanel, a - j);
    PackColumns(&rows[size_t(j) * h], h, n, h, RoundUp(n, 16),
                &table_[size_t(j) * h]);
  }
  d_table_.resize(size_t(a) * h);
  for (int column = 0; column < h; column += kPanel) {
    const int width = std::min(kPanel, h - column);
    head_.pack_rows(rows.data(), h, a, column, width, width,
                    &d_table_[size_t(column) * a]);
  }
}

void FusedLstmNetwork::ForEachLaneRange(
    const std::function<void(int, int)>& run) {
  const int parts = std::min(pool_.threads(), lanes_);
  pool_.ForEach(
      parts, [&](int i) { run(lanes_ * i / parts, lanes_ * (i + 1) / parts); });
}

void FusedLstmNetwork::CarryState(int steps, int lanes) {
  const uint32_t one = kernels_.elements_per_word == 2 ? 0x3f80u : 0x3f800000u;
  const size_t from = size_t(steps_) * lanes,
               rows = (size_t(steps) + 1) * lanes;
  for (Layer& l : layer_) {
    std::copy_n(l.cell.begin() + from * Width(), lanes * Width(),
                l.cell.begin());
    std::copy_n(l.hidden.begin() + from * hidden_stride_,
                lanes * hidden_stride_, l.hidden.begin());
    l.cell.resize(rows * Width());
    l.hidden.resize(rows * hidden_stride_);
    l.gates.resize(rows * 4 * Width());
    for (size_t row = 0; row < rows; ++row) {
      l.hidden[row * hidden_stride_ + Width() / kernels_.elements_per_word] =
          one;
    }
  }
  steps_ = steps;
  lanes_ = lanes;
}

void FusedLstmNetwork::Forward(const float* x, int steps, int lanes) {
  Run(x, steps, lanes, true);
}

void FusedLstmNetwork::Represent(const float* x, int steps, int lanes) {
  Run(x, steps, lanes, false);
}

void FusedLstmNetwork::Run(const float* x, int steps, int lanes, bool predict) {
  CarryState(steps, lanes);
  PackWeights(predict);
  const size_t rows = size_t(steps) * lanes;
  x_words_.resize(rows * x_stride_);
  representations_.resize(rows * Width());
  if (predict) predictions_.resize(rows * shape_.architectures);
  ForEachLaneRange(
      [&](int begin, int end) { ForwardLanes(x, begin, end, predict); });
}

void FusedLstmNetwork::ForwardLanes(const float* x, int begin, int end,
                                    bool predict) {
  const size_t w = Width();
  for (int l = 0; l < shape_.layers; ++l) {
    Layer& layer = layer_[l];
    const bool last = l + 1 == shape_.layers;
    for (int t = 0; t < steps_; ++t) {
      const size_t row = size_t(t) * lanes_ + begin, next = row + lanes_;
      if (l == 0) {
        kernels_.encode(x + row * shape_.inputs, end - begin, shape_.inputs,
                        &x_words_[row * x_stride_], x_stride_);
      }
      ForwardStep s;
      s.lanes = end - begin;
      s.width = shape_.width;
      s.x = Input(l) + row * InputStride(l);
      s.x_stride = InputStride(l);
      s.x_words = layer.x_words;
      s.hidden = &layer.hidden[row * hidden_stride_];
      s.hidden_stride = hidden_stride_;
      s.hidden_words = w / kernels_.elements_per_word;
      s.weights = layer.forward.data();
      s.bias = layer.bias.data();
      s.gates =
          &layer.gates[size_t(t) * lanes_ * 4 * w + size_t(begin) * kPanel];
      s.gates_lanes = lanes_;
      s.cell = &layer.cell[row * w];
      s.next_cell = &layer.cell[next * w];
      s.next_hidden = &layer.hidden[next * hidden_stride_];
      s.relu = last ? &representations_[row * w] : nullptr;
      kernels_.forward(s);
      if (last) Pass(x + row * shape_.inputs, end - begin, s.relu);
      if (!last || !predict) continue;
      const size_t a = shape_.architectures;
      head_.multiply({size_t(end - begin), w, a,
                      reinterpret_cast<const uint32_t*>(s.relu), w,
                      table_.data(), &predictions_[row * a], a});
    }
  }
}

void FusedLstmNetwork::Backward(const std::vector<float>& d_predictions) {
  const size_t rows = size_t(steps_) * lanes_;
  d_output_.resize(rows * Width());
  d_gates_.resize(rows * d_gates_stride_);
  for (int l = shape_.layers - 1; l >= 0; --l) {
    ForEachLaneRange([&](int begin, int end) {
      BackwardLanes(l, d_predictions.data(), begin, end);
    });
    LayerGradients(l);
  }
  TableGradients(d_predictions);
}

void FusedLstmNetwork::BackwardLanes(size_t l, const float* d_predictions,
                                     int begin, int end) {
  const size_t w = Width(), a = shape_.architectures, lanes = end - begin;
  const Layer& layer = layer_[l];
  const bool last = l + 1 == layer_.size();
  std::vector<float> d_cell(lanes * w);
  BackwardStep s;
  s.lanes = lanes;
  s.width = shape_.width;
  s.next_d_gates = nullptr;
  s.d_gates_stride = d_gates_stride_;
  s.d_gates_words = 4 * w / kernels_.elements_per_word;
  s.weights = layer.d_hidden.data();
  s.gates_lanes = lanes_;
  s.d_cell = d_cell.data();
  for (int t = steps_ - 1; t >= 0; --t) {
    const size_t row = size_t(t) * lanes_ + begin;
    if (last) {
      head_.multiply(
          {lanes, a, w,
           reinterpret_cast<const uint32_t*>(d_predictions) + row * a, a,
           d_table_.data(), &d_output_[row * w], w});
      for (size_t b = 0; b < lanes; ++b) {
        std::fill_n(&d_output_[(row + b) * w], shape_.passed, 0.0f);
      }
    }
    s.d_output = &d_output_[row * w];
    s.relu = last ? &representations_[row * w] : nullptr;
    s.gates = &layer.gates[size_t(t) * lanes_ * 4 * w + size_t(begin) * kPanel];
    s.cell = &layer.cell[row * w];
    s.next_cell = &layer.cell[(row + lanes_) * w];
    s.d_gates = &d_gates_[row * d_gates_stride_];
    kernels_.backward(s);
    s.next_d_gates = s.d_gates;
  }
  if (l == 0) return;
  for (int t = 0; t < steps_; ++t) {
    const size_t row = size_t(t) * lanes_ + begin;
    kernels_.multiply({lanes, s.d_gates_words, w,
                       &d_gates_[row * d_gates_stride_], d_gates_stride_,
                       layer.d_x.data(), &d_output_[row * w], w});
  }
}

void FusedLstmNetwork::SumOverRows(
    const LstmKernels& kernels, const std::vector<Columns>& broadcast,
    const Columns& panels,
    const std::function<void(int, const float*)>& finish) {
  const size_t rows = size_t(steps_) * lanes_, per = kernels.elements_per_word;
  const size_t words = RoundUp(rows, per) / per;
  size_t columns = 0, blocks = 0;
  for (const Columns& c : broadcast) {
    columns += c.count;
    blocks += (c.count + kBroadcastBlock - 1) / kBroadcastBlock;
  }
  const int panel_count = (panels.count + kPanel - 1) / kPanel;
  broadcast_.resize(blocks * kBroadcastBlock * words);
  panels_.resize(panel_count * kPanel * words);
  const auto pack = [&](const Columns& c, size_t row, size_t width,
                        uint32_t* to) {
    for (size_t i = 0; i < c.count; i += width) {
      kernels.pack_rows(
          c.rows + row * c.stride, c.stride, std::min(kPackRows, rows - row), i,
          std::min(width, c.count - i), width, to + row / per * width);
      to += words * width;
    }
    return to;
  };
  pool_.ForEach((rows + kPackRows - 1) / kPackRows, [&](int task) {
    const size_t row = task * kPackRows;
    uint32_t* to = broadcast_.data();
    for (const Columns& c : broadcast) to = pack(c, row, kBroadcastBlock, to);
    pack(panels, row, kPanel, panels_.data());
  });
  const int most = std::min(kGroup, std::max(1, panel_count / pool_.threads()));
  pool_.ForEach((panel_count + most - 1) / most, [&](int task) {
    const int first = task * most;
    const int group = std::min(most, panel_count - first);
    std::vector<float> sum(columns * kPanel * group);
    for (size_t k = 0; k < words; k += kSumWords) {
      const size_t n = std::min(kSumWords, words - k);
      const uint32_t* from = &broadcast_[k * kBroadcastBlock];
      size_t column = 0;
      for (const Columns& c : broadcast) {
        for (size_t i = 0; i < c.count; i += kBroadcastBlock) {
          const int m = std::min<size_t>(kBroadcastBlock, c.count - i);
          for (int g = 0; g < group; ++g) {
            kernels.accumulate(n, m, from,
                               &panels_[((first + g) * words + k) * kPanel],
                               &sum[(g * columns + column) * kPanel]);
          }
          from += words * kBroadcastBlock;
          column += m;
        }
      }
    }
    for (int g = 0; g < group; ++g) {
      finish(first + g, &sum[g * columns * kPanel]);
    }
  });
}

void FusedLstmNetwork::LayerGradients(size_t l) {
  const LayerOffsets& o = layers()[l];
  const int h = shape_.width;
  SumOverRows(kernels_,
              {{Input(l), InputStride(l), size_t(o.inputs)},
               {layer_[l].hidden.data(), hidden_stride_, size_t(h) + 1}},
              {d_gates_.data(), d_gates_stride_, size_t(4) * h},
              [&](int q, const float* sum) {
                for (int j = 0; j < kPanel; ++j) {
                  const size_t row = size_t(j / 16) * h + q * 16 + j % 16;
                  const float* from = sum + j;
                  float* to = &gradients_[o.weight_ih + row * o.inputs];
                  for (int i = 0; i < o.inputs; ++i, from += kPanel)
                    to[i] = *from;
                  to = &gradients_[o.weight_hh + row * h];
                  for (int i = 0; i < h; ++i, from += kPanel) to[i] = *from;
                  gradients_[o.bias + row] = *from;
                }
              });
}

void FusedLstmNetwork::TableGradients(const std::vector<float>& d_predictions) {
  const size_t h = shape_.width, a = shape_.architectures;
  const auto words = [](const std::vector<float>& v) {
    return reinterpret_cast<const uint32_t*>(v.data());
  };
  SumOverRows(
      head_, {{words(d_predictions), a, a}}, {words(representations_), h, h},
      [&](int panel, const float* sum) {
        const size_t column = size_t(panel) * kPanel;
        for (size_t j = 0; j < a; ++j) {
          std::copy_n(sum + j * kPanel, std::min<size_t>(kPanel, h - column),
                      &gradients_[table_offset_ + j * h + column]);
        }
      });
}

}  // namespace perfvec::train
