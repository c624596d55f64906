#include "worker/train/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace perfvec::train {
namespace {

// A long program is drawn more often, but not in proportion: variety counts.
double DrawWeight(const Slice& slice) {
  return std::sqrt(static_cast<double>(slice.end - slice.begin));
}

}  // namespace

Scaling MakeScaling(const std::vector<Slice>& slices,
                    const TrainOptions& options) {
  Scaling scaling;
  std::vector<std::vector<double>> means;
  double instructions = 0;
  for (const Slice& s : slices) {
    means.push_back(s.program->rows->LatencySums(s.begin, s.end));
    scaling.architecture.resize(means.back().size());
    for (size_t a = 0; a < means.back().size(); ++a) {
      scaling.architecture[a] += means.back()[a];
      means.back()[a] /= s.end - s.begin;
    }
    instructions += s.end - s.begin;
  }
  const size_t a = scaling.architecture.size();
  for (double& s : scaling.architecture) s /= instructions;
  if (options.loss == "mse") {
    const double mean = std::accumulate(scaling.architecture.begin(),
                                        scaling.architecture.end(), 0.0) /
                        a;
    scaling.architecture.assign(a, mean);
    scaling.program.assign(slices.size(), 1.0f);
    return scaling;
  }
  double weight_sum = 0, draw_sum = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    double mean = 0;
    for (size_t j = 0; j < a; ++j)
      mean += means[i][j] / scaling.architecture[j];
    scaling.program.push_back(1 / std::pow(mean / a, options.program_power));
    weight_sum += scaling.program[i] * DrawWeight(slices[i]);
    draw_sum += DrawWeight(slices[i]);
  }
  for (float& w : scaling.program) w *= draw_sum / weight_sum;
  return scaling;
}

Sampler::Sampler(const std::vector<Slice>& slices,
                 const compute::InputEncoding& encoding, const Scaling& scaling,
                 const TrainOptions& options, uint64_t seed)
    : slices_(slices),
      encoding_(encoding),
      scaling_(scaling),
      lanes_(options.lanes),
      steps_(options.steps),
      pieces_per_visit_(options.pieces_per_visit),
      warm_up_(options.warm_up),
      architectures_(scaling.architecture.size()) {
  state_.random = seed;
  state_.lanes.resize(lanes_);
  for (const Slice& s : slices) {
    cumulative_.push_back((cumulative_.empty() ? 0 : cumulative_.back()) +
                          DrawWeight(s));
  }
  const size_t rows = steps_ * lanes_;
  inputs_.resize(rows * encoding.width());
  targets_.resize(rows * architectures_);
  keep_.resize(rows);
  features_.resize(steps_ * slices[0].program->rows->features());
  piece_.resize(steps_ * encoding.width());
  latency_.resize(steps_ * architectures_);
}

void Sampler::Jump(Lane* lane) {
  Random random(state_.random);
  const double at = random.Unit() * cumulative_.back();
  lane->slice = std::min<size_t>(
      std::upper_bound(cumulative_.begin(), cumulative_.end(), at) -
          cumulative_.begin(),
      slices_.size() - 1);
  const Slice& s = slices_[lane->slice];
  lane->position = s.begin + random.Below(s.end - s.begin - steps_ + 1);
  lane->pieces_left = pieces_per_visit_;
  // From the start of a program a zero state is the true one.
  lane->skip = lane->position == 0 ? 0 : warm_up_;
  state_.random = random.state;
}

const std::vector<int>& Sampler::Next() {
  const size_t width = encoding_.width();
  jumped_.clear();
  for (size_t b = 0; b < lanes_; ++b) {
    Lane& lane = state_.lanes[b];
    if (lane.pieces_left == 0 ||
        lane.position + steps_ > slices_[lane.slice].end) {
      Jump(&lane);
      jumped_.push_back(b);
    }
    const ProgramRows& rows = *slices_[lane.slice].program->rows;
    rows.Features(lane.position, steps_, features_.data());
    rows.Latency(lane.position, steps_, latency_.data());
    encoding_.Encode(features_.data(), steps_, piece_.data());
    for (size_t t = 0; t < steps_; ++t) {
      const size_t row = t * lanes_ + b;
      std::copy_n(&piece_[t * width], width, &inputs_[row * width]);
      float* target = &targets_[row * architectures_];
      for (size_t j = 0; j < architectures_; ++j) {
        target[j] = static_cast<float>(latency_[t * architectures_ + j] /
                                       scaling_.architecture[j]);
      }
      keep_[row] = lane.skip > 0 ? 0 : scaling_.program[lane.slice];
      lane.skip -= lane.skip > 0;
    }
    lane.position += steps_;
    --lane.pieces_left;
  }
  return jumped_;
}

std::vector<int> Sampler::Choose(int n, int count) {
  Random random(state_.random);
  std::vector<int> chosen;
  // Selection sampling: number i is taken with what is still wanted over what
  // is left.
  for (int i = 0; i < n && static_cast<int>(chosen.size()) < count; ++i) {
    const uint64_t wanted = count - chosen.size();
    if (random.Below(n - i) < wanted) chosen.push_back(i);
  }
  state_.random = random.state;
  return chosen;
}

}  // namespace perfvec::train
