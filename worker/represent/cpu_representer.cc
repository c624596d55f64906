#include "worker/represent/cpu_representer.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
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
  std::vector<float> weights, bias;
};

Layer Pack(const FoundationModel& model, int index, int panel_units) {
  const FoundationModel::LstmLayer from = model.Layer(index);
  Layer layer;
  const int width = model.manifest().width;
  PackedLayer& p = layer.packed;
  p.inputs = from.inputs;
  p.hidden = width;
  p.panels = (width + panel_units - 1) / panel_units;
  const size_t row = static_cast<size_t>(kGates) * panel_units;
  const size_t k_size = static_cast<size_t>(p.inputs + p.hidden);
  layer.weights.assign(p.panels * k_size * row, 0.0f);
  layer.bias.assign(p.panels * row, 0.0f);
  for (int unit = 0; unit < width; ++unit) {
    const size_t panel = static_cast<size_t>(unit / panel_units);
    for (int gate = 0; gate < kGates; ++gate) {
      const size_t out = static_cast<size_t>(gate) * width + unit;
      const size_t column =
          static_cast<size_t>(gate) * panel_units + unit % panel_units;
      float* to = &layer.weights[panel * k_size * row + column];
      for (int k = 0; k < p.inputs; ++k, to += row) {
        *to = from.weight_ih[out * p.inputs + k];
      }
      for (int k = 0; k < p.hidden; ++k, to += row) {
        *to = from.weight_hh[out * p.hidden + k];
      }
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
      : model_(std::move(model)), threads_(threads), kernel_(kernel) {
    for (int i = 0; i < model_->manifest().layers; ++i) {
      layers_.push_back(Pack(*model_, i, kernel_.panel_units));
    }
  }

  const std::shared_ptr<const FoundationModel>& model() const override {
    return model_;
  }
  std::string Description() const override {
    return absl::StrCat("cpu ", kernel_.name, " x", threads_);
  }
  int PreferredLanes() const override { return threads_ * kLanesPerGroup; }
  absl::Status Run(const LaneBatch& batch, double* sums) override;

 private:
  void RunGroup(const LaneBatch& batch, const std::vector<int64_t>& output_rows,
                const int* order, int lanes, double* sums) const;

  const std::shared_ptr<const FoundationModel> model_;
  const int threads_;
  const LstmKernel& kernel_;
  std::vector<Layer> layers_;
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
  const size_t state = static_cast<size_t>(lanes) * stride;
  std::vector<float> input(static_cast<size_t>(lanes) * columns);
  std::vector<float> hidden(layers_.size() * 2 * state, 0.0f);
  std::vector<float> cell(layers_.size() * state, 0.0f);
  std::vector<double> total(state, 0.0);
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
      float* to = &input[static_cast<size_t>(i) * columns];
      if (row < 0) {
        std::fill_n(to, columns, 0.0f);
      } else {
        std::memcpy(to, batch.inputs + static_cast<size_t>(row) * columns,
                    columns * sizeof(float));
      }
      keep[i] = left <= lane.kept;
    }
    LstmStep step;
    step.lanes = active;
    step.input = input.data();
    step.input_stride = columns;
    for (size_t l = 0; l < layers_.size(); ++l) {
      float* const buffers = &hidden[l * 2 * state];
      step.hidden_in = buffers + parity * state;
      step.hidden_out = buffers + (1 - parity) * state;
      step.cell = &cell[l * state];
      if (l + 1 == layers_.size()) {
        step.sums = total.data();
        step.keep = keep.data();
      }
      kernel_.step(layers_[l].packed, step);
      step.input = step.hidden_out;
      step.input_stride = stride;
    }
    for (int i = 0; batch.outputs != nullptr && i < active; ++i) {
      if (keep[i] == 0) continue;
      const int64_t row =
          output_rows[order[i]] + batch.lanes[order[i]].kept - left;
      const float* h = step.input + static_cast<size_t>(i) * stride;
      float* to = batch.outputs + static_cast<size_t>(row) * width;
      for (size_t u = 0; u < width; ++u) to[u] = std::max(0.0f, h[u]);
    }
    parity = 1 - parity;
  }
  for (int i = 0; i < lanes; ++i) {
    std::memcpy(sums + static_cast<size_t>(order[i]) * width,
                &total[static_cast<size_t>(i) * stride],
                width * sizeof(double));
  }
}

absl::Status CpuRepresenter::Run(const LaneBatch& batch, double* sums) {
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
  InstructionSet set;
  const LstmKernel& kernel;
};
const Candidate kCandidates[] = {
#if defined(__x86_64__)
    {InstructionSet::kAvx512, kLstmKernelAvx512},
    {InstructionSet::kAvx2, kLstmKernelAvx2},
#endif
    {InstructionSet::kGeneric, kLstmKernelGeneric}};

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

absl::StatusOr<std::unique_ptr<Representer>> MakeCpuRepresenter(
    std::shared_ptr<const FoundationModel> model, const CpuOptions& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads: expected 0 or more, found ", options.threads));
  }
  const int threads = options.threads == 0 ? ProcessorCount() : options.threads;
  for (const Candidate& candidate : kCandidates) {
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
