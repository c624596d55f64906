#include "worker/represent/cpu_representer.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/represent/lstm_kernel.h"

namespace perfvec::compute {
namespace {

// Lanes a thread steps together, measured: the weights (3.4 MB for LSTM-2-256)
// come from the third-level cache once a step for all of them, while h, c and
// the sums (8 kB a lane) share the second level with a panel. 24 to 48 lanes
// reach the product's rate, 96 lose up to a tenth.
constexpr int kLanesPerGroup = 48;
constexpr int kTileLanes = 6;

int ProcessorCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

// Weights of one layer as the kernel wants them, and their storage.
struct Layer {
  PackedLayer packed;
  std::vector<uint32_t> weights;
  std::vector<float> bias;
};

// How the model's inputs lie in words. In bf16 a column that takes more than
// exact values gets a word: the value's bf16 and that of the rest, with the
// same weight twice. Rounding the inputs is most of what bf16 would change: 0.1
// % of a time, against 0.01 % for weights and hidden states together.
class InputLayout {
 public:
  InputLayout(const InputEncoding& encoding, const LstmKernel& kernel)
      : kernel_(kernel) {
    for (size_t i = 0; i < encoding.width(); ++i) {
      const bool exact =
          kernel.values_per_word == 1 || IsExactInBf16(encoding.columns[i]);
      (exact ? exact_ : split_).push_back(static_cast<int>(i));
    }
  }

  int words() const {
    const int per_word = kernel_.values_per_word;
    const int exact = static_cast<int>(exact_.size());
    return static_cast<int>(split_.size()) + (exact + per_word - 1) / per_word;
  }
  // scratch: as long as a row.
  void PackInputs(const float* row, float* scratch, uint32_t* words) const {
    if (split_.empty()) {
      kernel_.pack(row, static_cast<int>(exact_.size()), words);
      return;
    }
    Gather(row, split_, scratch);
    kernel_.pack_split(scratch, static_cast<int>(split_.size()), words);
    PackExact(row, scratch, words);
  }
  void PackWeights(const float* row, float* scratch, uint32_t* words) const {
    for (size_t i = 0; i < split_.size(); ++i) {
      const float twice[2] = {row[split_[i]], row[split_[i]]};
      kernel_.pack(twice, 2, words + i);
    }
    PackExact(row, scratch, words);
  }

 private:
  static bool IsExactInBf16(const InputColumn& column) {
    if (column.transform != InputColumn::Transform::kEquals &&
        column.transform != InputColumn::Transform::kBit) {
      return false;
    }
    for (float x : {0.0f, 1.0f}) {
      const float value = (x - column.mean) / column.deviation;
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      if ((bits & 0xffffu) != 0) return false;
    }
    return true;
  }
  static void Gather(const float* row, const std::vector<int>& columns,
                     float* out) {
    for (size_t i = 0; i < columns.size(); ++i) out[i] = row[columns[i]];
  }
  void PackExact(const float* row, float* scratch, uint32_t* words) const {
    Gather(row, exact_, scratch);
    kernel_.pack(scratch, static_cast<int>(exact_.size()),
                 words + split_.size());
  }

  const LstmKernel& kernel_;
  std::vector<int> split_, exact_;
};

Layer Pack(const FoundationModel& model, int index, const LstmKernel& kernel,
           const InputLayout& layout) {
  const FoundationModel::LstmLayer from = model.Layer(index);
  Layer layer;
  const int width = model.manifest().width;
  const int units = kernel.panel_units;
  const int per_word = kernel.values_per_word;
  PackedLayer& p = layer.packed;
  p.panels = (width + units - 1) / units;
  p.hidden_words = (width + per_word - 1) / per_word;
  p.input_words = index == 0 ? layout.words() : p.hidden_words;
  const size_t row = static_cast<size_t>(kGates) * units;
  const size_t words = static_cast<size_t>(p.input_words + p.hidden_words);
  layer.weights.assign(p.panels * words * row, 0);
  layer.bias.assign(p.panels * row, 0.0f);
  std::vector<uint32_t> packed(words);
  std::vector<float> scratch(static_cast<size_t>(from.inputs));
  for (int unit = 0; unit < width; ++unit) {
    const size_t panel = static_cast<size_t>(unit / units);
    for (int gate = 0; gate < kGates; ++gate) {
      const size_t out = static_cast<size_t>(gate) * width + unit;
      const size_t column = static_cast<size_t>(gate) * units + unit % units;
      const float* inputs = from.weight_ih + out * from.inputs;
      if (index == 0) {
        layout.PackWeights(inputs, scratch.data(), packed.data());
      } else {
        kernel.pack(inputs, width, packed.data());
      }
      kernel.pack(from.weight_hh + out * width, width,
                  packed.data() + p.input_words);
      uint32_t* to = &layer.weights[panel * words * row + column];
      for (size_t k = 0; k < words; ++k, to += row) *to = packed[k];
      if (from.bias_ih != nullptr) {
        layer.bias[panel * row + column] =
            from.bias_ih[out] + from.bias_hh[out];
      }
    }
  }
  p.weights = layer.weights.data();
  p.bias = layer.bias.data();
  return layer;
}

class CpuRepresenter : public Representer {
 public:
  CpuRepresenter(std::shared_ptr<const FoundationModel> model, int threads,
                 const LstmKernel& kernel)
      : model_(std::move(model)),
        threads_(threads),
        kernel_(kernel),
        layout_(model_->manifest().inputs, kernel) {
    for (int i = 0; i < model_->manifest().layers; ++i) {
      layers_.push_back(Pack(*model_, i, kernel_, layout_));
    }
  }

  const std::shared_ptr<const FoundationModel>& model() const override {
    return model_;
  }
  std::string Description() const override {
    return absl::StrCat("cpu ", kernel_.name, " x", threads_);
  }
  int PreferredLanes() const override { return threads_ * kLanesPerGroup; }
  absl::Status RunNetwork(const LaneBatch& batch, double* sums) override;

 private:
  class Projection;
  void RunGroup(const LaneBatch& batch, const std::vector<int64_t>& output_rows,
                const int* order, int lanes, double* sums) const;

  const std::shared_ptr<const FoundationModel> model_;
  const int threads_;
  const LstmKernel& kernel_;
  const InputLayout layout_;
  std::vector<Layer> layers_;
};

// The input parts of the first layer for the rows of a group of lanes, where
// lanes overlap so much that a row is computed once instead of many times: in
// window mode, 256 times.
class CpuRepresenter::Projection {
 public:
  // Empty unless it pays.
  Projection(const CpuRepresenter& owner, const LaneBatch& batch,
             const int* order, int lanes)
      : bias_(owner.layers_[0].packed.bias) {
    int64_t begin = std::numeric_limits<int64_t>::max(), end = 0, steps = 0;
    for (int i = 0; i < lanes; ++i) {
      const Lane& lane = batch.lanes[order[i]];
      begin = std::min(begin, std::max<int64_t>(0, lane.first_row));
      end = std::max(end, lane.first_row + lane.steps);
      steps += lane.steps;
    }
    if (end <= begin || steps / 4 < end - begin) return;
    first_row_ = begin;
    const PackedLayer& layer = owner.layers_[0].packed;
    row_size_ = static_cast<size_t>(layer.panels) * kGates *
                static_cast<size_t>(owner.kernel_.panel_units);
    const size_t columns = owner.model_->manifest().inputs.width();
    const size_t words = static_cast<size_t>(layer.input_words);
    const size_t rows = static_cast<size_t>(end - begin);
    std::vector<uint32_t> inputs(rows * words);
    std::vector<float> scratch(columns);
    for (size_t i = 0; i < rows; ++i) {
      owner.layout_.PackInputs(
          batch.inputs + (static_cast<size_t>(begin) + i) * columns,
          scratch.data(), &inputs[i * words]);
    }
    sums_.resize(rows * row_size_);
    owner.kernel_.project(layer, inputs.data(), static_cast<int>(rows),
                          sums_.data());
  }

  bool empty() const { return sums_.empty(); }
  // A row before the trace is zeros: the bias.
  const float* Row(int64_t row) const {
    return row < 0 ? bias_
                   : &sums_[static_cast<size_t>(row - first_row_) * row_size_];
  }

 private:
  const float* const bias_;
  int64_t first_row_ = 0;
  size_t row_size_ = 0;
  std::vector<float> sums_;
};

// Steps lanes order[0..lanes) together. Longest first: lanes end at the same
// step and start when their turn comes, so the running ones are always the
// first few and no step is computed in vain.
void CpuRepresenter::RunGroup(const LaneBatch& batch,
                              const std::vector<int64_t>& output_rows,
                              const int* order, int lanes, double* sums) const {
  const size_t columns = model_->manifest().inputs.width();
  const size_t width = static_cast<size_t>(model_->manifest().width);
  const size_t stride =
      static_cast<size_t>(layers_[0].packed.panels) * kernel_.panel_units;
  const size_t hidden_stride = stride / kernel_.values_per_word;
  const size_t input_stride =
      static_cast<size_t>(layers_[0].packed.input_words);
  const size_t state = static_cast<size_t>(lanes) * stride;
  const size_t hidden_state = static_cast<size_t>(lanes) * hidden_stride;
  std::vector<uint32_t> input(static_cast<size_t>(lanes) * input_stride);
  std::vector<uint32_t> hidden(layers_.size() * 2 * hidden_state, 0);
  std::vector<float> cell(layers_.size() * state, 0.0f);
  std::vector<float> scratch(columns);
  const Projection projection(*this, batch, order, lanes);
  std::vector<const float*> projected(static_cast<size_t>(lanes));
  std::vector<double> total(state, 0.0);
  std::vector<float> outputs(batch.outputs != nullptr ? state : 0);
  std::vector<unsigned char> keep(static_cast<size_t>(lanes), 0);

  int active = 0;
  int parity = 0;
  for (int left = batch.lanes[order[0]].steps; left > 0; --left) {
    while (active < lanes && batch.lanes[order[active]].steps >= left) {
      ++active;
    }
    for (int i = 0; i < active; ++i) {
      const Lane& lane = batch.lanes[order[i]];
      const int64_t row = lane.first_row + (lane.steps - left);
      keep[i] = left <= lane.kept;
      uint32_t* to = &input[static_cast<size_t>(i) * input_stride];
      if (!projection.empty()) {
        projected[i] = projection.Row(row);
      } else if (row < 0) {
        std::fill_n(to, input_stride, 0);
      } else {
        layout_.PackInputs(batch.inputs + static_cast<size_t>(row) * columns,
                           scratch.data(), to);
      }
    }
    LstmStep step;
    step.lanes = active;
    step.input = input.data();
    step.input_stride = input_stride;
    for (size_t l = 0; l < layers_.size(); ++l) {
      uint32_t* const buffers = &hidden[l * 2 * hidden_state];
      step.hidden_in = buffers + parity * hidden_state;
      step.hidden_out = buffers + (1 - parity) * hidden_state;
      step.cell = &cell[l * state];
      step.projected =
          l == 0 && !projection.empty() ? projected.data() : nullptr;
      if (l + 1 == layers_.size()) {
        step.sums = total.data();
        if (batch.outputs != nullptr) step.outputs = outputs.data();
        step.keep = keep.data();
      }
      kernel_.step(layers_[l].packed, step);
      step.input = step.hidden_out;
      step.input_stride = hidden_stride;
    }
    for (int i = 0; batch.outputs != nullptr && i < active; ++i) {
      if (keep[i] == 0) continue;
      const int64_t row =
          output_rows[order[i]] + batch.lanes[order[i]].kept - left;
      std::memcpy(batch.outputs + static_cast<size_t>(row) * width,
                  &outputs[static_cast<size_t>(i) * stride],
                  width * sizeof(float));
    }
    parity = 1 - parity;
  }
  for (int i = 0; i < lanes; ++i) {
    std::memcpy(sums + static_cast<size_t>(order[i]) * width,
                &total[static_cast<size_t>(i) * stride],
                width * sizeof(double));
  }
}

absl::Status CpuRepresenter::RunNetwork(const LaneBatch& batch, double* sums) {
  const int lanes = static_cast<int>(batch.lanes.size());
  if (lanes == 0) return absl::OkStatus();
  std::vector<int> order(lanes);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return batch.lanes[a].steps > batch.lanes[b].steps;
  });
  // As many groups for every thread, each of whole register tiles.
  int groups = (lanes + kLanesPerGroup - 1) / kLanesPerGroup;
  groups = (groups + threads_ - 1) / threads_ * threads_;
  int size = (lanes + groups - 1) / groups;
  size = (size + kTileLanes - 1) / kTileLanes * kTileLanes;
  groups = (lanes + size - 1) / size;

  const std::vector<int64_t> output_rows = OutputRows(batch.lanes);
  std::atomic<int> next{0};
  auto work = [&] {
    for (int g = next++; g < groups; g = next++) {
      RunGroup(batch, output_rows, &order[g * size],
               std::min(size, lanes - g * size), sums);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads_, groups); ++i)
    others.emplace_back(work);
  work();
  for (std::thread& t : others) t.join();

  const size_t count = static_cast<size_t>(lanes) *
                       static_cast<size_t>(model_->manifest().width);
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(sums[i])) {
      return absl::InternalError(absl::StrCat(
          "model ", model_->manifest().name,
          ": expected finite outputs, found ", sums[i], " in unit ",
          i % model_->manifest().width, "; an input was NaN"));
    }
  }
  return absl::OkStatus();
}

struct Candidate {
  Precision precision;
  InstructionSet set;
  const LstmKernel& kernel;
};
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {Precision::kBf16, InstructionSet::kAvx512, kLstmKernelAvx512Bf16},
    {Precision::kFp32, InstructionSet::kAvx512, kLstmKernelAvx512},
    {Precision::kFp32, InstructionSet::kAvx2, kLstmKernelAvx2},
#endif
    {Precision::kBf16, InstructionSet::kGeneric, kLstmKernelGenericBf16},
    {Precision::kFp32, InstructionSet::kGeneric, kLstmKernelGeneric}};

}  // namespace

bool CpuSupports(InstructionSet set) {
  switch (set) {
    case InstructionSet::kBest:
    case InstructionSet::kGeneric:
      return true;
#if defined(__x86_64__)
    case InstructionSet::kAvx512:
      return __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512dq");
    case InstructionSet::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    case InstructionSet::kAvx512:
    case InstructionSet::kAvx2:
      return false;
#endif
  }
  return false;
}

bool CpuSupportsBf16() {
#if defined(__x86_64__)
  return CpuSupports(InstructionSet::kAvx512) &&
         __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

absl::StatusOr<Precision> ParsePrecision(absl::string_view name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  if (name == "auto") return Precision::kAuto;
  return absl::InvalidArgumentError(absl::StrCat(
      "precision: expected fp32, bf16 or auto, found \"", name, "\""));
}

absl::StatusOr<std::unique_ptr<Representer>> MakeCpuRepresenter(
    std::shared_ptr<const FoundationModel> model, const CpuOptions& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads: expected 0 or more, found ", options.threads));
  }
  const int threads = options.threads == 0 ? ProcessorCount() : options.threads;
  Precision precision = options.precision;
  if (precision == Precision::kAuto) {
    precision = CpuSupportsBf16() ? Precision::kBf16 : Precision::kFp32;
  }
  if (precision == Precision::kBf16 && !CpuSupportsBf16() &&
      options.instruction_set != InstructionSet::kGeneric) {
    return absl::InvalidArgumentError(
        "precision bf16: this CPU lacks AVX512_BF16; use fp32 or auto");
  }
  for (const Candidate& candidate : kCandidates) {
    if (candidate.precision != precision) continue;
    if (options.instruction_set != InstructionSet::kBest &&
        options.instruction_set != candidate.set) {
      continue;
    }
    if (!CpuSupports(candidate.set)) continue;
    return std::make_unique<CpuRepresenter>(std::move(model), threads,
                                            candidate.kernel);
  }
  return absl::InvalidArgumentError(
      "this CPU lacks the instruction set asked for");
}

}  // namespace perfvec::compute
