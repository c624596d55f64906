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

// A program faster on one architecture than this share of its mean over all
// counts as this fast: what takes no time at all must not decide everything.
constexpr double kLeastMean = 0.05;

}  // namespace

Scaling MakeScaling(const std::vector<Slice>& slices,
                    const TrainOptions& options) {
  const size_t a = slices[0].program->rows->architectures();
  Scaling scaling;
  scaling.architecture.resize(a);
  std::vector<double> instructions(a);
  std::vector<std::vector<double>> means;  // 0: not simulated
  for (const Slice& s : slices) {
    means.push_back(s.program->rows->LatencySums(s.begin, s.end));
    for (size_t j = 0; j < a; ++j) {
      if (means.back()[j] == 0) continue;
      scaling.architecture[j] += means.back()[j];
      instructions[j] += s.end - s.begin;
      means.back()[j] /= s.end - s.begin;
    }
  }
  for (size_t j = 0; j < a; ++j) {
    // What no program was simulated on is not trained.
    scaling.architecture[j] =
        instructions[j] > 0 ? scaling.architecture[j] / instructions[j] : 1;
  }
  const bool mse = options.loss == "mse";
  if (mse) {
    const double mean = std::accumulate(scaling.architecture.begin(),
                                        scaling.architecture.end(), 0.0) /
                        a;
    scaling.architecture.assign(a, mean);
  }
  double weight_sum = 0, draw_sum = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    double program = 0, simulated = 0;
    for (size_t j = 0; j < a; ++j) {
      means[i][j] /= scaling.architecture[j];
      program += means[i][j];
      simulated += means[i][j] > 0;
    }
    program /= simulated;
    // Architectures resemble each other: few of them tell more about a program
    // than their number says.
    const double share = std::sqrt(a / simulated);
    for (size_t j = 0; j < a; ++j) {
      const double cell = std::max(means[i][j], kLeastMean * program);
      const double weight =
          mse ? 1.0
              : 1 / (std::pow(program, options.program_power) *
                     std::pow(cell / program, options.cell_power));
      scaling.weight.push_back(means[i][j] > 0 ? share * weight : 0);
      weight_sum += scaling.weight.back() * DrawWeight(slices[i]);
    }
    draw_sum += DrawWeight(slices[i]) * simulated;
  }
  for (float& w : scaling.weight) w *= draw_sum / weight_sum;
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
      architectures_(scaling.architecture.size()),
      input_dropout_(options.input_dropout) {
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
  weights_.resize(lanes_ * architectures_);
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

void Sampler::DropInputs(const Lane& lane) {
  // Where the visit began tells which, so that there is nothing to remember.
  const uint64_t start =
      lane.position - (pieces_per_visit_ - lane.pieces_left) * steps_;
  Random random((lane.slice << 40) ^ start);
  if (random.Next() & 1) return;
  const size_t width = encoding_.width();
  for (size_t c = 0; c < width; ++c) {
    if (random.Unit() >= input_dropout_) continue;
    for (size_t t = 0; t < steps_; ++t) piece_[t * width + c] = 0;
  }
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
    std::copy_n(&scaling_.weight[lane.slice * architectures_], architectures_,
                &weights_[b * architectures_]);
    rows.Features(lane.position, steps_, features_.data());
    rows.Latency(lane.position, steps_, latency_.data());
    encoding_.Encode(features_.data(), steps_, piece_.data());
    if (input_dropout_ > 0) DropInputs(lane);
    for (size_t t = 0; t < steps_; ++t) {
      const size_t row = t * lanes_ + b;
      std::copy_n(&piece_[t * width], width, &inputs_[row * width]);
      float* target = &targets_[row * architectures_];
      for (size_t j = 0; j < architectures_; ++j) {
        target[j] = static_cast<float>(latency_[t * architectures_ + j] /
                                       scaling_.architecture[j]);
      }
      keep_[row] = lane.skip > 0 ? 0 : 1;
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
