#include <algorithm>
#include <cstring>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <utility>

#include "tests/bench/represent_rivals.h"

namespace perfvec::bench {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;

memory Make(const dnnl::engine& engine, memory::dims dims, Type type, Tag tag) {
  return memory({std::move(dims), type, tag}, engine);
}

// One of the two layers for a number of lanes and steps.
struct Layer {
  memory input, hidden_in, cell_in, weights, recurrent, bias, output,
      hidden_out, cell_out;
  dnnl::lstm_forward primitive;
};

class OneDnnRival : public Rival {
 public:
  OneDnnRival(const Work& work, bool bf16)
      : Rival(work), type_(bf16 ? Type::bf16 : Type::f32) {}
  std::string name() const override {
    return type_ == Type::bf16 ? "oneDNN vanilla_lstm bf16"
                               : "oneDNN vanilla_lstm fp32";
  }

 protected:
  void Start(int lanes) override {
    lanes_ = lanes;
    for (int layer = 0; layer < 2; ++layer) {
      hidden_[layer] = Make(engine_, {1, 1, lanes, kWidth}, type_, Tag::ldnc);
      cell_[layer] = Make(engine_, {1, 1, lanes, kWidth}, Type::f32, Tag::ldnc);
      std::memset(hidden_[layer].get_data_handle(), 0,
                  hidden_[layer].get_desc().get_size());
      std::memset(cell_[layer].get_data_handle(), 0,
                  cell_[layer].get_desc().get_size());
    }
  }
  void ZeroLane(int lane) override {
    for (memory* m : {&hidden_[0], &hidden_[1], &cell_[0], &cell_[1]}) {
      const size_t bytes = m->get_desc().get_size() / lanes_;
      std::memset(static_cast<char*>(m->get_data_handle()) + lane * bytes, 0,
                  bytes);
    }
  }
  void Forward(const std::vector<float>& input, int steps,
               std::vector<double>* sum) override {
    memory rows({{steps, lanes_, work_.columns}, Type::f32, Tag::tnc}, engine_,
                const_cast<float*>(input.data()));
    Layer& first = Get(0, steps);
    dnnl::reorder(rows, first.input).execute(stream_, rows, first.input);
    RunLayer(0, &first, first.input);
    Layer& second = Get(1, steps);
    RunLayer(1, &second, first.output);
    stream_.wait();
    if (sum == nullptr) return;
    memory output = Make(engine_, {steps, lanes_, kWidth}, Type::f32, Tag::tnc);
    dnnl::reorder(second.output, output)
        .execute(stream_, second.output, output);
    stream_.wait();
    const float* h = static_cast<const float*>(output.get_data_handle());
    std::vector<float> part(kWidth);
    for (int t = 0; t < steps; ++t) {
      std::fill(part.begin(), part.end(), 0.0f);
      for (int i = 0; i < lanes_; ++i, h += kWidth) {
        for (int k = 0; k < kWidth; ++k) part[k] += std::max(0.0f, h[k]);
      }
      for (int k = 0; k < kWidth; ++k) (*sum)[k] += double{part[k]};
    }
  }

 private:
  void RunLayer(int index, Layer* layer, const memory& input) {
    layer->primitive.execute(stream_,
                             {{DNNL_ARG_SRC_LAYER, input},
                              {DNNL_ARG_SRC_ITER, hidden_[index]},
                              {DNNL_ARG_SRC_ITER_C, cell_[index]},
                              {DNNL_ARG_WEIGHTS_LAYER, layer->weights},
                              {DNNL_ARG_WEIGHTS_ITER, layer->recurrent},
                              {DNNL_ARG_BIAS, layer->bias},
                              {DNNL_ARG_DST_LAYER, layer->output},
                              {DNNL_ARG_DST_ITER, layer->hidden_out},
                              {DNNL_ARG_DST_ITER_C, layer->cell_out}});
    std::swap(hidden_[index], layer->hidden_out);
    std::swap(cell_[index], layer->cell_out);
  }

  // [4H][inputs] as PyTorch has it to [inputs][4][H], in the layout wanted.
  memory Weights(const float* from, int inputs, const memory::desc& wanted) {
    memory plain =
        Make(engine_, {1, 1, inputs, 4, kWidth}, Type::f32, Tag::ldigo);
    float* to = static_cast<float*>(plain.get_data_handle());
    for (int k = 0; k < inputs; ++k) {
      for (int row = 0; row < 4 * kWidth; ++row) {
        *to++ = from[static_cast<size_t>(row) * inputs + k];
      }
    }
    memory packed(wanted, engine_);
    dnnl::reorder(plain, packed).execute(stream_, plain, packed);
    stream_.wait();
    return packed;
  }

  Layer& Get(int index, int steps) {
    const auto key = std::make_tuple(index, steps, lanes_);
    if (auto it = layers_.find(key); it != layers_.end()) return it->second;
    const auto from = work_.model->Layer(index);
    Layer layer;
    layer.input = Make(engine_, {steps, lanes_, from.inputs}, type_, Tag::tnc);
    layer.output = Make(engine_, {steps, lanes_, kWidth}, type_, Tag::tnc);
    layer.hidden_out = Make(engine_, {1, 1, lanes_, kWidth}, type_, Tag::ldnc);
    layer.cell_out =
        Make(engine_, {1, 1, lanes_, kWidth}, Type::f32, Tag::ldnc);
    layer.bias = Make(engine_, {1, 1, 4, kWidth}, Type::f32, Tag::ldgo);
    for (int row = 0; row < 4 * kWidth; ++row) {
      static_cast<float*>(layer.bias.get_data_handle())[row] =
          from.bias_ih[row] + from.bias_hh[row];
    }
    const memory::desc weights({1, 1, from.inputs, 4, kWidth}, type_, Tag::any);
    const memory::desc recurrent({1, 1, kWidth, 4, kWidth}, type_, Tag::any);
    const dnnl::lstm_forward::desc desc(
        dnnl::prop_kind::forward_inference,
        dnnl::rnn_direction::unidirectional_left2right, layer.input.get_desc(),
        hidden_[index].get_desc(), cell_[index].get_desc(), weights, recurrent,
        layer.bias.get_desc(), layer.output.get_desc(),
        layer.hidden_out.get_desc(), layer.cell_out.get_desc());
    const dnnl::lstm_forward::primitive_desc chosen(desc, engine_);
    layer.weights =
        Weights(from.weight_ih, from.inputs, chosen.weights_layer_desc());
    layer.recurrent =
        Weights(from.weight_hh, kWidth, chosen.weights_iter_desc());
    layer.primitive = dnnl::lstm_forward(chosen);
    return layers_[key] = std::move(layer);
  }

  const Type type_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  int lanes_ = 0;
  memory hidden_[2], cell_[2];
  std::map<std::tuple<int, int, int>, Layer> layers_;
};

}  // namespace

std::unique_ptr<Rival> MakeOneDnnRival(const Work& work, bool bf16) {
  try {
    auto rival = std::make_unique<OneDnnRival>(work, bf16);
    rival->Run(48, 64);  // builds what it needs, or says that it cannot
    return rival;
  } catch (const dnnl::error&) {
    return nullptr;
  }
}

double OneDnnGemmGflops(int threads, bool bf16) {
  constexpr int kSize = 1536;
  const Type type = bf16 ? Type::bf16 : Type::f32;
  double best = 0;
  try {
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const memory::desc any({kSize, kSize}, type, Tag::any);
    const memory::desc out({kSize, kSize}, Type::f32, Tag::ab);
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(any, any, out),
                                              engine);
    memory a(chosen.src_desc(), engine), b(chosen.weights_desc(), engine),
        c(chosen.dst_desc(), engine);
    std::memset(a.get_data_handle(), 0, a.get_desc().get_size());
    std::memset(b.get_data_handle(), 0, b.get_desc().get_size());
    dnnl::matmul product(chosen);
    for (int i = 0; i < 4; ++i) {
      const Time t = Measure([&] {
        product.execute(
            stream,
            {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
        stream.wait();
      });
      best = std::max(best, 2e-9 * kSize * kSize * kSize * threads / t.cpu);
    }
  } catch (const dnnl::error&) {
    return 0;
  }
  return best;
}

}  // namespace perfvec::bench
