#include "worker/train/lstm_network.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

// C[m][n] = alpha * op(A) op(B) + beta * C, row-major without padding.
void Multiply(bool transpose_a, bool transpose_b, int m, int n, int k,
              const float* a, const float* b, float beta, float* c) {
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
              transpose_b ? CblasTrans : CblasNoTrans, m, n, k, 1.0f, a,
              transpose_a ? m : k, b, transpose_b ? k : n, beta, c, n);
}

// exp by range reduction and a polynomial, in a form that vectorises; relative
// error below 3e-7 on the range that gates need.
inline float FastExp(float x) {
  x = std::min(88.0f, std::max(-87.0f, x));
  const float n = std::floor(x * 1.44269504f + 0.5f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  union {
    int32_t i;
    float f;
  } scale;
  scale.i = (static_cast<int32_t>(n) + 127) << 23;
  return p * scale.f;
}
inline float Sigmoid(float x) { return 1.0f / (1.0f + FastExp(-x)); }
inline float Tanh(float x) { return 2.0f / (1.0f + FastExp(-2.0f * x)) - 1.0f; }

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PERFVEC_FOR_EACH_CPU \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PERFVEC_FOR_EACH_CPU
#endif

// One step of one lane: gates [4H] become their activations; c0 is the cell
// before, c1 and h1 the cell and output after.
PERFVEC_FOR_EACH_CPU
void ForwardCell(int h, float* __restrict gates, const float* __restrict c0,
                 float* __restrict c1, float* __restrict h1) {
  float* __restrict gi = gates;
  float* __restrict gf = gi + h;
  float* __restrict gg = gf + h;
  float* __restrict go = gg + h;
  for (int j = 0; j < h; ++j) {
    gi[j] = Sigmoid(gi[j]);
    gf[j] = Sigmoid(gf[j]);
    gg[j] = Tanh(gg[j]);
    go[j] = Sigmoid(go[j]);
    c1[j] = gf[j] * c0[j] + gi[j] * gg[j];
    h1[j] = go[j] * Tanh(c1[j]);
  }
}

// Activations [4H] become the derivatives before the nonlinearities; d_cell
// goes from this step's cell to the one before. d_output comes from above,
// d_recurrent from the step after.
PERFVEC_FOR_EACH_CPU
void BackwardCell(int h, float* __restrict gates, const float* __restrict c0,
                  const float* __restrict c1, const float* __restrict d_output,
                  const float* __restrict d_recurrent,
                  float* __restrict d_cell) {
  float* __restrict gi = gates;
  float* __restrict gf = gi + h;
  float* __restrict gg = gf + h;
  float* __restrict go = gg + h;
  for (int j = 0; j < h; ++j) {
    const float dh = d_output[j] + d_recurrent[j];
    const float tc = Tanh(c1[j]);
    const float d = d_cell[j] + dh * go[j] * (1 - tc * tc);
    const float i = gi[j], f = gf[j], g = gg[j], out = go[j];
    go[j] = dh * tc * out * (1 - out);
    gi[j] = d * g * i * (1 - i);
    gg[j] = d * i * (1 - g * g);
    gf[j] = d * c0[j] * f * (1 - f);
    d_cell[j] = d * f;
  }
}

}  // namespace

LstmNetwork::LstmNetwork(const NetworkShape& shape) : Network(shape) {
  const int h = shape.width;
  size_t offset = 0;
  for (int l = 0; l < shape.layers; ++l) {
    LayerOffsets o;
    o.inputs = l == 0 ? shape.inputs : h;
    o.weight_ih = offset;
    o.weight_hh = o.weight_ih + size_t{4} * h * o.inputs;
    o.bias = o.weight_hh + size_t{4} * h * h;
    offset = o.bias + size_t{4} * h;
    layers_.push_back(o);
    tensors_.push_back(
        {absl::StrCat("lstm.weight_ih_l", l), {4 * h, o.inputs}, o.weight_ih});
    tensors_.push_back(
        {absl::StrCat("lstm.weight_hh_l", l), {4 * h, h}, o.weight_hh});
    tensors_.push_back({absl::StrCat("lstm.bias_ih_l", l), {4 * h}, o.bias});
  }
  tensors_.push_back(
      {"architecture_vectors", {shape.architectures, h}, offset});
  table_offset_ = offset;
  parameters_.resize(offset + size_t(shape.architectures) * h);
  gradients_.resize(parameters_.size());
  state_.resize(shape.layers);

  std::mt19937_64 random(shape.seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const float bound = 1.0f / std::sqrt(static_cast<float>(h));
  for (float& p : parameters_) p = bound * uniform(random);
  // A forget gate that starts open lets gradients through many steps.
  for (const LayerOffsets& o : layers_) {
    std::fill_n(parameters_.begin() + o.bias, 4 * h, 0.0f);
    std::fill_n(parameters_.begin() + o.bias + h, h, 1.0f);
  }
}

void LstmNetwork::ResetLanes(int lanes) {
  lanes_ = lanes;
  steps_ = 0;
  for (LayerState& s : state_) {
    s.cell.assign(size_t(lanes) * shape_.width, 0.0f);
    s.hidden.assign(size_t(lanes) * shape_.width, 0.0f);
  }
}

void LstmNetwork::ResetLane(int lane) {
  // The carried state of the next Forward is the last row of the one before.
  const size_t row = (size_t(steps_) * lanes_ + lane) * shape_.width;
  for (LayerState& s : state_) {
    std::fill_n(s.cell.begin() + row, shape_.width, 0.0f);
    std::fill_n(s.hidden.begin() + row, shape_.width, 0.0f);
  }
}

std::vector<float> LstmNetwork::LaneState() const {
  const size_t size = size_t(lanes_) * shape_.width, row = steps_ * size;
  std::vector<float> state;
  for (const LayerState& s : state_) {
    for (const std::vector<float>* v : {&s.cell, &s.hidden}) {
      state.insert(state.end(), v->begin() + row, v->begin() + row + size);
    }
  }
  return state;
}

void LstmNetwork::SetLaneState(const std::vector<float>& state, int lanes) {
  ResetLanes(lanes);
  const float* from = state.data();
  for (LayerState& s : state_) {
    for (std::vector<float>* v : {&s.cell, &s.hidden}) {
      std::copy_n(from, v->size(), v->begin());
      from += v->size();
    }
  }
}

void LstmNetwork::ForwardLayer(size_t layer, const float* x) {
  const int h = shape_.width, rows = steps_ * lanes_;
  const LayerOffsets& o = layers_[layer];
  LayerState& s = state_[layer];
  s.gates.resize(size_t(rows) * 4 * h);
  const float* bias = &parameters_[o.bias];
  for (int r = 0; r < rows; ++r) {
    std::copy_n(bias, 4 * h, &s.gates[size_t(r) * 4 * h]);
  }
  Multiply(false, true, rows, 4 * h, o.inputs, x, &parameters_[o.weight_ih],
           1.0f, s.gates.data());
  for (int t = 0; t < steps_; ++t) {
    float* gates = &s.gates[size_t(t) * lanes_ * 4 * h];
    const size_t now = size_t(t) * lanes_ * h, next = now + size_t(lanes_) * h;
    Multiply(false, true, lanes_, 4 * h, h, &s.hidden[now],
             &parameters_[o.weight_hh], 1.0f, gates);
    for (int b = 0; b < lanes_; ++b) {
      ForwardCell(h, gates + size_t(b) * 4 * h, &s.cell[now + size_t(b) * h],
                  &s.cell[next + size_t(b) * h],
                  &s.hidden[next + size_t(b) * h]);
    }
  }
}

void LstmNetwork::Represent(const float* x, int steps, int lanes) {
  const int h = shape_.width;
  const size_t carried = size_t(steps_) * lanes * h;
  for (LayerState& s : state_) {
    const size_t size = (size_t(steps) + 1) * lanes * h;
    std::vector<float> cell(size), hidden(size);
    std::copy_n(s.cell.begin() + carried, size_t(lanes) * h, cell.begin());
    std::copy_n(s.hidden.begin() + carried, size_t(lanes) * h, hidden.begin());
    s.cell = std::move(cell);
    s.hidden = std::move(hidden);
  }
  x_ = x;
  steps_ = steps;
  lanes_ = lanes;
  for (size_t l = 0; l < state_.size(); ++l) {
    ForwardLayer(l, l == 0 ? x : &state_[l - 1].hidden[size_t(lanes) * h]);
  }
  const float* last = &state_.back().hidden[size_t(lanes) * h];
  representations_.resize(size_t(steps) * lanes * h);
  for (size_t i = 0; i < representations_.size(); ++i)
    representations_[i] = std::max(0.0f, last[i]);
  Pass(x, size_t(steps) * lanes, representations_.data());
}

void LstmNetwork::Forward(const float* x, int steps, int lanes) {
  Represent(x, steps, lanes);
  const int rows = steps * lanes;
  predictions_.resize(size_t(rows) * shape_.architectures);
  Multiply(false, true, rows, shape_.architectures, shape_.width,
           representations_.data(), &parameters_[table_offset_], 0.0f,
           predictions_.data());
}

void LstmNetwork::Backward(const std::vector<float>& d_predictions) {
  const int h = shape_.width, rows = steps_ * lanes_, a = shape_.architectures;
  Multiply(true, false, a, h, rows, d_predictions.data(),
           representations_.data(), 0.0f, &gradients_[table_offset_]);
  d_hidden_.resize(size_t(rows) * h);
  Multiply(false, false, rows, h, a, d_predictions.data(),
           &parameters_[table_offset_], 0.0f, d_hidden_.data());
  for (size_t i = 0; i < d_hidden_.size(); ++i) {
    if (representations_[i] <= 0 || i % h < size_t(shape_.passed)) {
      d_hidden_[i] = 0;
    }
  }
  for (int l = shape_.layers - 1; l >= 0; --l) {
    const float* x = l == 0 ? x_ : &state_[l - 1].hidden[size_t(lanes_) * h];
    BackwardLayer(l, x, l == 0 ? nullptr : d_hidden_.data());
  }
}

// Turns s.gates into the derivatives before the nonlinearities, in place.
void LstmNetwork::BackwardLayer(size_t layer, const float* x, float* d_x) {
  const int h = shape_.width, rows = steps_ * lanes_;
  const LayerOffsets& o = layers_[layer];
  LayerState& s = state_[layer];
  d_recurrent_.assign(size_t(lanes_) * h, 0.0f);
  d_cell_.assign(size_t(lanes_) * h, 0.0f);
  for (int t = steps_ - 1; t >= 0; --t) {
    const size_t now = size_t(t) * lanes_ * h, next = now + size_t(lanes_) * h;
    for (int b = 0; b < lanes_; ++b) {
      const size_t lane = size_t(b) * h;
      BackwardCell(h, &s.gates[(size_t(t) * lanes_ + b) * 4 * h],
                   &s.cell[now + lane], &s.cell[next + lane],
                   &d_hidden_[now + lane], &d_recurrent_[lane], &d_cell_[lane]);
    }
    Multiply(false, false, lanes_, h, 4 * h,
             &s.gates[size_t(t) * lanes_ * 4 * h], &parameters_[o.weight_hh],
             0.0f, d_recurrent_.data());
  }
  Multiply(true, false, 4 * h, o.inputs, rows, s.gates.data(), x, 0.0f,
           &gradients_[o.weight_ih]);
  Multiply(true, false, 4 * h, h, rows, s.gates.data(), s.hidden.data(), 0.0f,
           &gradients_[o.weight_hh]);
  float* d_bias = &gradients_[o.bias];
  std::fill_n(d_bias, 4 * h, 0.0f);
  for (int r = 0; r < rows; ++r) {
    const float* g = &s.gates[size_t(r) * 4 * h];
    for (int j = 0; j < 4 * h; ++j) d_bias[j] += g[j];
  }
  if (d_x != nullptr) {
    Multiply(false, false, rows, o.inputs, 4 * h, s.gates.data(),
             &parameters_[o.weight_ih], 0.0f, d_x);
  }
}

}  // namespace perfvec::train
