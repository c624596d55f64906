#include "worker/train/validation.h"

#include <algorithm>
#include <cmath>

namespace perfvec::train {
namespace {

constexpr int kLanes = 64;
// One step more than the warm-up, so that it is a whole number of pieces.
constexpr int kPieceSteps = 128;
static_assert((kSegmentWarmUp + 1) % kPieceSteps == 0);
static_assert(kSegment % kPieceSteps == 0);

}  // namespace

absl::StatusOr<std::unique_ptr<Validation>> Validation::Create(
    const std::vector<Slice>& programs, const compute::InputEncoding& encoding,
    const std::vector<double>& architecture_scales, const NetworkShape& shape,
    int segments_per_program) {
  std::unique_ptr<Validation> v(new Validation(programs, encoding));
  auto network = MakeNetwork(shape);
  if (!network.ok()) return network.status();
  v->network_ = *std::move(network);
  const size_t a = architecture_scales.size();
  for (size_t p = 0; p < programs.size(); ++p) {
    const Slice& s = programs[p];
    const size_t first = std::max<size_t>(
        s.begin,
        s.end > kStartUpInstructions + kSegment ? kStartUpInstructions : 0);
    const size_t whole = (s.end - first) / kSegment;
    const size_t count =
        std::max<size_t>(1, std::min<size_t>(whole, segments_per_program));
    std::vector<double> times(a);
    for (size_t k = 0; k < count; ++k) {
      Segment segment{p, first + whole * k / count * kSegment, 0};
      segment.length = std::min<size_t>(kSegment, s.end - segment.begin);
      const std::vector<double> sums = s.program->rows->LatencySums(
          segment.begin, segment.begin + segment.length);
      for (size_t j = 0; j < a; ++j)
        times[j] += sums[j] / architecture_scales[j];
      v->segments_.push_back(segment);
    }
    v->times_.push_back(std::move(times));
  }
  v->inputs_.resize(size_t(kPieceSteps) * kLanes * encoding.width());
  if (!programs.empty()) {
    v->features_.resize(kPieceSteps * programs[0].program->rows->features());
  }
  return v;
}

void Validation::AddSums(size_t first, size_t count,
                         std::vector<std::vector<double>>* sums) {
  const size_t width = encoding_.width(), h = network_->shape().width;
  std::vector<float> piece(kPieceSteps * width);
  network_->ResetLanes(count);
  for (int step = -kSegmentWarmUp - 1; step < kSegment; step += kPieceSteps) {
    std::fill(inputs_.begin(), inputs_.end(), 0.0f);
    for (size_t b = 0; b < count; ++b) {
      const Segment& s = segments_[first + b];
      const ProgramRows& rows = *programs_[s.program].program->rows;
      const int64_t from = int64_t(s.begin) + step;
      const int64_t begin = std::max<int64_t>(from, 0);
      const int64_t end =
          std::min<int64_t>(from + kPieceSteps, int64_t(s.begin + s.length));
      if (begin >= end) continue;
      rows.Features(begin, end - begin, features_.data());
      encoding_.Encode(features_.data(), end - begin, piece.data());
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(&piece[(i - begin) * width], width,
                    &inputs_[((i - from) * count + b) * width]);
      }
    }
    network_->Represent(inputs_.data(), kPieceSteps, count);
    for (size_t b = 0; b < count; ++b) {
      const Segment& s = segments_[first + b];
      // Nothing is before the trace's start: the state there is zero.
      if (int64_t(s.begin) + step + kPieceSteps <= 0) network_->ResetLane(b);
      for (int t = 0; t < kPieceSteps; ++t) {
        if (step + t < 0 || step + t >= int64_t(s.length)) continue;
        const float* r = &network_->representations()[(t * count + b) * h];
        for (size_t i = 0; i < h; ++i) (*sums)[s.program][i] += r[i];
      }
    }
  }
}

ValidationResult Validation::Run(const std::vector<float>& parameters) {
  const size_t h = network_->shape().width;
  network_->parameters() = parameters;
  std::vector<std::vector<double>> sums(programs_.size(),
                                        std::vector<double>(h));
  for (size_t first = 0; first < segments_.size(); first += kLanes) {
    AddSums(first, std::min<size_t>(kLanes, segments_.size() - first), &sums);
  }
  ValidationResult result;
  const float* table = &parameters[network_->table_offset()];
  for (size_t p = 0; p < programs_.size(); ++p) {
    const size_t a = times_[p].size();
    double error = 0;
    for (size_t j = 0; j < a; ++j) {
      double predicted = 0;
      for (size_t i = 0; i < h; ++i) predicted += sums[p][i] * table[j * h + i];
      error += std::abs(predicted / times_[p][j] - 1);
    }
    result.programs.push_back(error / a);
    result.error += error / a / programs_.size();
  }
  return result;
}

}  // namespace perfvec::train
