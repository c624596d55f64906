#include "worker/train/trainer.h"

#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/train/loss.h"

namespace perfvec::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSegment = 1024, kSegmentWarmUp = 255;

struct Adam {
  explicit Adam(size_t size) : mean(size), square(size) {}

  void Step(std::vector<float>& parameters, const std::vector<float>& gradients,
            double gradient_scale, double rate, size_t table_offset,
            double table_rate) {
    ++steps;
    const double correction =
        std::sqrt(1 - std::pow(0.999, steps)) / (1 - std::pow(0.9, steps));
    const float a = rate * correction, b = table_rate * correction;
    const float s = gradient_scale;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const float g = gradients[i] * s;
      mean[i] = 0.9f * mean[i] + 0.1f * g;
      square[i] = 0.999f * square[i] + 0.001f * g * g;
      parameters[i] -=
          (i < table_offset ? a : b) * mean[i] / (std::sqrt(square[i]) + 1e-8f);
    }
  }

  std::vector<float> mean, square;
  int64_t steps = 0;
};

struct Lane {
  size_t program = 0;
  size_t position = 0;
  int pieces_left = 0;
  int skip = 0;  // outputs still in warm-up
};

template <typename T>
void Write(std::ofstream& out, const T* values, size_t n) {
  out.write(reinterpret_cast<const char*>(values), n * sizeof(T));
}
template <typename T>
void Read(std::ifstream& in, T* values, size_t n) {
  in.read(reinterpret_cast<char*>(values), n * sizeof(T));
}

// Written beside and renamed, so that a kill leaves the one before. Lanes start
// afresh on resumption.
absl::Status SaveCheckpoint(const std::string& path, const Network& net,
                            const Adam& adam) {
  const std::string next = path + ".next";
  std::ofstream out(next, std::ios::binary);
  const uint64_t size = net.parameters().size();
  Write(out, &size, 1);
  Write(out, &adam.steps, 1);
  Write(out, net.parameters().data(), size);
  Write(out, adam.mean.data(), size);
  Write(out, adam.square.data(), size);
  out.close();
  if (!out || std::rename(next.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(
        absl::StrCat("checkpoint ", path, ": cannot be written"));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LoadCheckpoint(const std::string& path, Network& net,
                                    Adam& adam) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  uint64_t size = 0;
  Read(in, &size, 1);
  if (size != net.parameters().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint ", path, ": expected ",
                     net.parameters().size(), " parameters, found ", size,
                     "; remove it or give the options it "
                     "was made with"));
  }
  Read(in, &adam.steps, 1);
  Read(in, net.parameters().data(), size);
  Read(in, adam.mean.data(), size);
  Read(in, adam.square.data(), size);
  if (!in) {
    return absl::DataLossError(absl::StrCat("checkpoint ", path, ": cut"));
  }
  return true;
}

// gram = RᵀR and cross = RᵀT for r [rows][h], t [rows][a].
void Products(const std::vector<float>& r, const std::vector<float>& t,
              int rows, int h, int a, std::vector<float>& gram,
              std::vector<float>& cross) {
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, h, h, rows, 1.0f,
              r.data(), h, r.data(), h, 0.0f, gram.data(), h);
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, h, a, rows, 1.0f,
              r.data(), h, t.data(), a, 0.0f, cross.data(), a);
}

double MeanLatency(const TrainingProgram& p, size_t architectures,
                   const std::vector<double>& scales) {
  double sum = 0;
  for (size_t i = 0; i < p.instructions; ++i) {
    for (size_t a = 0; a < architectures; ++a) {
      sum += p.latency[i * architectures + a] / scales[a];
    }
  }
  return sum / (p.instructions * architectures);
}

}  // namespace

absl::StatusOr<TrainedModel> Train(const Dataset& data,
                                   const TrainOptions& options) {
  const size_t a = data.architectures.size();
  const int lanes = options.lanes, steps = options.steps;
  compute::InputEncoding encoding = MakeEncoding(data);
  const size_t width = encoding.width();

  std::vector<double> scales(a);
  double instructions = 0;
  for (const TrainingProgram& p : data.programs) {
    instructions += p.instructions;
    for (size_t i = 0; i < p.instructions; ++i) {
      for (size_t j = 0; j < a; ++j) scales[j] += p.latency[i * a + j];
    }
  }
  for (double& s : scales) s /= instructions;
  std::vector<float> weight, draw;
  for (const TrainingProgram& p : data.programs) {
    weight.push_back(
        1 / std::pow(MeanLatency(p, a, scales), options.program_power));
    draw.push_back(std::sqrt(static_cast<double>(p.instructions)));
  }
  double weight_sum = 0, draw_sum = 0;
  for (size_t i = 0; i < weight.size(); ++i) {
    weight_sum += weight[i] * draw[i];
    draw_sum += draw[i];
  }
  for (float& w : weight) w *= draw_sum / weight_sum;

  auto made = MakeNetwork({.inputs = static_cast<int>(width),
                           .width = options.width,
                           .layers = options.layers,
                           .architectures = static_cast<int>(a),
                           .seed = options.seed,
                           .bf16 = options.bf16,
                           .threads = options.threads});
  if (!made.ok()) return made.status();
  Network& net = **made;
  Adam adam(net.parameters().size());
  if (!options.checkpoint_path.empty()) {
    auto found = LoadCheckpoint(options.checkpoint_path, net, adam);
    if (!found.ok()) return found.status();
  }
  std::ofstream log;
  if (!options.log_path.empty()) log.open(options.log_path, std::ios::app);

  std::mt19937_64 random(options.seed + 1000003 * adam.steps);
  std::discrete_distribution<size_t> pick(draw.begin(), draw.end());
  std::vector<Lane> lane(lanes);
  net.ResetLanes(lanes);
  std::vector<float> x(size_t(steps) * lanes * width), piece(steps * width);
  std::vector<float> target(size_t(steps) * lanes * a);
  std::vector<float> keep(size_t(steps) * lanes), d(target.size());
  std::vector<float> scale(a);
  for (size_t j = 0; j < a; ++j) scale[j] = 1 / scales[j];
  double shown_loss = 0, shown_error = 0;
  int shown = 0;
  auto shown_time = Clock::now();

  while (adam.steps < options.updates) {
    for (int b = 0; b < lanes; ++b) {
      Lane& l = lane[b];
      if (l.pieces_left == 0 ||
          l.position + steps > data.programs[l.program].instructions) {
        l.program = pick(random);
        const size_t n = data.programs[l.program].instructions;
        l.position = n <= size_t(steps) ? 0 : random() % (n - steps);
        l.pieces_left = options.pieces_per_visit;
        // From the start of a program a zero state is the true one.
        l.skip = l.position == 0 ? 0 : options.warm_up;
        net.ResetLane(b);
      }
      const TrainingProgram& p = data.programs[l.program];
      encoding.Encode(&p.features[l.position * encoding.feature_count], steps,
                      piece.data());
      for (int t = 0; t < steps; ++t) {
        const size_t row = size_t(t) * lanes + b;
        std::copy_n(&piece[t * width], width, &x[row * width]);
        const uint16_t* y = &p.latency[(l.position + t) * a];
        for (size_t j = 0; j < a; ++j) target[row * a + j] = y[j] * scale[j];
        keep[row] = l.skip > 0 ? 0 : weight[l.program];
        l.skip -= l.skip > 0;
      }
      l.position += steps;
      --l.pieces_left;
    }

    net.Forward(x.data(), steps, lanes);
    const LossNumbers numbers = ComputeLoss(
        {options.window_weight}, steps, lanes, a, net.predictions().data(),
        target.data(), keep.data(), d.data());
    net.Backward(d);
    double norm2 = 0;
    for (float g : net.gradients()) norm2 += double{g} * g;
    const double length = std::sqrt(norm2);
    if (!std::isfinite(length)) {
      return absl::InternalError(
          absl::StrCat("update ", adam.steps,
                       ": the gradient is not finite; lower the "
                       "learning rate"));
    }
    const double done = double(adam.steps) / options.updates;
    const double ramp = std::min(
        1.0, (adam.steps + 1.0) / options.learning_rate_warm_up_updates);
    const double rate = options.learning_rate * ramp *
                        (0.02 + 0.98 * 0.5 * (1 + std::cos(M_PI * done)));
    adam.Step(net.parameters(), net.gradients(),
              std::min(1.0, options.gradient_norm_limit / (length + 1e-12)),
              rate, net.table_offset(), rate * options.table_rate_factor);

    shown_loss += numbers.loss;
    shown_error += numbers.window_error;
    if (++shown == 20) {
      const double seconds =
          std::chrono::duration<double>(Clock::now() - shown_time).count();
      const double per_second = shown * double(steps) * lanes / seconds;
      const std::string line = absl::StrFormat(
          "{\"update\":%d,\"loss\":%.5f,\"window_error\":%.4f,"
          "\"gradient_norm\":%.4f,\"rate\":%.6f,"
          "\"instructions_per_second\":%.0f,\"seconds_left\":%.0f}",
          adam.steps, shown_loss / shown, shown_error / shown, length, rate,
          per_second, seconds / shown * (options.updates - adam.steps));
      if (log) log << line << std::endl;
      std::fprintf(stderr, "%s\n", line.c_str());
      shown = 0;
      shown_loss = shown_error = 0;
      shown_time = Clock::now();
    }
    if (!options.checkpoint_path.empty() &&
        adam.steps % options.checkpoint_updates == 0) {
      absl::Status saved = SaveCheckpoint(options.checkpoint_path, net, adam);
      if (!saved.ok()) return saved;
    }
  }
  return TrainedModel{std::move(encoding), *std::move(made), std::move(scales)};
}

ProgramEvidence GatherEvidence(TrainedModel& model,
                               const TrainingProgram& program,
                               size_t architectures, size_t skip_instructions,
                               size_t max_instructions,
                               size_t interval_instructions) {
  const size_t a = architectures;
  const size_t h = model.network->shape().width;
  const size_t inputs = model.encoding.width();
  const size_t begin = skip_instructions / kSegment * kSegment;
  const size_t end =
      begin + std::min(program.instructions - begin, max_instructions);
  const size_t intervals =
      (end - begin + interval_instructions - 1) / interval_instructions;
  ProgramEvidence e;
  e.gram.resize(h * h);
  e.cross.resize(h * a);
  e.interval_sums.resize(intervals * h);
  e.interval_times.resize(intervals * a);
  constexpr int kLanes = 64, kSteps = 128;
  std::vector<float> x(kSteps * kLanes * inputs);
  std::vector<float> gram(h * h), cross(h * a), r, t;
  for (size_t s = begin; s < end; s += size_t(kLanes) * kSegment) {
    const int lanes =
        std::min<size_t>(kLanes, (end - s + kSegment - 1) / kSegment);
    model.network->ResetLanes(lanes);
    for (int step = -kSegmentWarmUp - 1; step < kSegment; step += kSteps) {
      std::fill(x.begin(), x.end(), 0.0f);
      for (int u = 0; u < kSteps; ++u) {
        for (int b = 0; b < lanes; ++b) {
          const int64_t i = int64_t(s) + int64_t(b) * kSegment + step + u;
          if (i < 0 || i >= int64_t(program.instructions)) continue;
          model.encoding.Encode(
              &program.features[i * model.encoding.feature_count], 1,
              &x[(size_t(u) * lanes + b) * inputs]);
        }
      }
      model.network->Represent(x.data(), kSteps, lanes);
      if (step < 0) {
        // Two pieces of kSteps: one step more than the warm-up. The trace's
        // start has no warm-up: its lane stays at zero state.
        for (int b = 0; b < lanes; ++b) {
          if (int64_t(s) + int64_t(b) * kSegment + step + kSteps <= 0) {
            model.network->ResetLane(b);
          }
        }
        continue;
      }
      r.clear();
      t.clear();
      for (int u = 0; u < kSteps; ++u) {
        for (int b = 0; b < lanes; ++b) {
          const size_t i = s + size_t(b) * kSegment + step + u;
          if (i >= end) continue;
          const float* row =
              &model.network->representations()[(size_t(u) * lanes + b) * h];
          r.insert(r.end(), row, row + h);
          const size_t k = (i - begin) / interval_instructions;
          for (size_t j = 0; j < h; ++j) e.interval_sums[k * h + j] += row[j];
          for (size_t j = 0; j < a; ++j) {
            const double y = program.latency[i * a + j] / model.scales[j];
            t.push_back(y);
            e.interval_times[k * a + j] += y;
          }
        }
      }
      const size_t rows = r.size() / h;
      e.instructions += rows;
      Products(r, t, rows, h, a, gram, cross);
      for (size_t i = 0; i < gram.size(); ++i) e.gram[i] += gram[i];
      for (size_t i = 0; i < cross.size(); ++i) e.cross[i] += cross[i];
    }
  }
  return e;
}

}  // namespace perfvec::train
