#include "worker/represent/stream_representer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::compute {
namespace {

// The inputs of a batch take at most this (or one segment's, if more).
constexpr int64_t kMaxBufferBytes = int64_t{1} << 30;

int64_t DivideUp(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// Segments to run together: as many as the back end likes and the buffer holds,
// evenly spread over the range if its end is known.
int64_t SegmentsPerBatch(const Manifest& m, const InstructionRange& range,
                         int preferred_lanes, bool with_outputs) {
  if (m.mode == Mode::kWindow) return 1;  // a segment of windows is the batch
  const int64_t columns =
      std::max<int64_t>(m.inputs.width(), with_outputs ? m.width : 0);
  const int64_t segment_bytes =
      columns * static_cast<int64_t>(sizeof(float)) * m.segment_length;
  const int64_t most =
      std::clamp<int64_t>(kMaxBufferBytes / segment_bytes, 1, preferred_lanes);
  if (range.end == kEndOfTrace) return most;
  const int64_t segments =
      std::max<int64_t>(1, DivideUp(range.end - range.begin, m.segment_length));
  return DivideUp(segments, DivideUp(segments, most));
}

bool AllWithinBounds(const float* inputs, size_t count) {
  bool within = true;
  for (size_t i = 0; i < count; ++i) {
    within &= std::fabs(inputs[i]) <= kMaxInput;  // false for NaN
  }
  return within;
}

}  // namespace

absl::StatusOr<StreamRepresenter> StreamRepresenter::Create(
    Representer* back_end, InstructionRange range, StreamOptions options) {
  const int64_t length = back_end->model()->manifest().segment_length;
  if (range.begin < 0 || range.end < range.begin || range.begin % length != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "instruction range [", range.begin, ", ", range.end,
        "): expected a begin that is a multiple of the model's segment length ",
        length, " and an end not before it"));
  }
  int64_t before = range.begin;
  for (const int64_t at : options.interval_begins) {
    if (at <= before || at >= range.end) {
      return absl::InvalidArgumentError(
          absl::StrCat("intervals of [", range.begin, ", ", range.end,
                       "): expected their begins in it and ascending, found ",
                       at, " after ", before));
    }
    before = at;
  }
  return StreamRepresenter(back_end, range, std::move(options));
}

StreamRepresenter::StreamRepresenter(Representer* back_end,
                                     InstructionRange range,
                                     StreamOptions options)
    : back_end_(back_end),
      range_(range),
      options_(std::move(options)),
      done_(range.begin),
      sum_(back_end->model()->id(), back_end->model()->manifest().width) {
  const Manifest& m = back_end->model()->manifest();
  first_instruction_ = std::max<int64_t>(0, range.begin - m.warm_up);
  buffer_begin_ = first_instruction_;
  capacity_rows_ =
      m.warm_up +
      m.segment_length * SegmentsPerBatch(m, range, back_end->PreferredLanes(),
                                          options_.groups > 0);
  buffer_.resize(static_cast<size_t>(capacity_rows_) * m.inputs.width());
  if (options_.intervals) {
    interval_sums_.assign(options_.interval_begins.size() + 1, sum_);
  }
  if (options_.groups > 0) {
    group_buffer_.resize(static_cast<size_t>(capacity_rows_));
    group_sums_.assign(options_.groups, sum_);
  }
}

absl::Status StreamRepresenter::Feed(const float* features, size_t count,
                                     const uint32_t* groups) {
  const InputEncoding& encoding = back_end_->model()->manifest().inputs;
  if (static_cast<int64_t>(count) > range_.end - next_instruction()) {
    return absl::OutOfRangeError(
        absl::StrCat("expected features up to instruction ", range_.end,
                     ", found ", count, " more at ", next_instruction()));
  }
  while (count > 0) {
    const size_t n = std::min<size_t>(
        count, static_cast<size_t>(capacity_rows_ - buffer_rows_));
    float* const to =
        &buffer_[static_cast<size_t>(buffer_rows_) * encoding.width()];
    encoding.Encode(features, n, to);
    if (!AllWithinBounds(to, n * encoding.width())) {
      return absl::InvalidArgumentError(
          absl::StrCat("instructions ", next_instruction(), " to ",
                       next_instruction() + static_cast<int64_t>(n) - 1,
                       ": expected inputs within +-", kMaxInput,
                       ", found a greater one or NaN; check the features and "
                       "the manifest's mean and std"));
    }
    if (options_.groups > 0) {
      std::copy(groups, groups + n, group_buffer_.begin() + buffer_rows_);
      groups += n;
    }
    buffer_rows_ += static_cast<int64_t>(n);
    features += n * encoding.feature_count;
    count -= n;
    if (buffer_rows_ == capacity_rows_) {
      if (absl::Status s = RunBatch(/*last=*/false); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ProgramVectorAccumulator> StreamRepresenter::Finish() {
  if (range_.end != kEndOfTrace && next_instruction() != range_.end) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected features up to instruction ", range_.end,
                     ", found them up to ", next_instruction()));
  }
  if (absl::Status s = RunBatch(/*last=*/true); !s.ok()) return s;
  return sum_;
}

// Runs what is complete (all that is there, if `last`) and moves the tail that
// the next batch warms up on to the front.
absl::Status StreamRepresenter::RunBatch(bool last) {
  const Manifest& m = back_end_->model()->manifest();
  const int64_t available = next_instruction();
  const int64_t end =
      last ? available : available / m.segment_length * m.segment_length;
  if (end > done_) {
    absl::Status s =
        m.mode == Mode::kStream ? RunSegments(end) : RunWindows(end);
    if (!s.ok()) return s;
    done_ = end;
  }
  const int64_t keep_from = std::max(buffer_begin_, done_ - m.warm_up);
  const size_t columns = m.inputs.width();
  std::memmove(
      buffer_.data(),
      buffer_.data() + static_cast<size_t>(keep_from - buffer_begin_) * columns,
      static_cast<size_t>(available - keep_from) * columns * sizeof(float));
  if (options_.groups > 0) {
    std::copy(group_buffer_.begin() + (keep_from - buffer_begin_),
              group_buffer_.begin() + (available - buffer_begin_),
              group_buffer_.begin());
  }
  buffer_begin_ = keep_from;
  buffer_rows_ = available - keep_from;
  if (options_.progress) return options_.progress(done_ - range_.begin);
  return absl::OkStatus();
}

int64_t StreamRepresenter::SumEnd(int64_t at, int64_t end) const {
  const int64_t length = back_end_->model()->manifest().segment_length;
  const auto& begins = options_.interval_begins;
  const auto next = std::upper_bound(begins.begin(), begins.end(), at);
  end = std::min(end, at / length * length + length);
  return next == begins.end() ? end : std::min(end, *next);
}

absl::Status StreamRepresenter::AddSum(int64_t at, int64_t count,
                                       const double* sum) {
  if (options_.intervals) {
    const auto& begins = options_.interval_begins;
    const auto after = std::upper_bound(begins.begin(), begins.end(), at);
    absl::Status s =
        interval_sums_[static_cast<size_t>(after - begins.begin())].AddSegment(
            sum, static_cast<uint64_t>(count));
    if (!s.ok()) return s;
  }
  return sum_.AddSegment(sum, static_cast<uint64_t>(count));
}

// Summed in order within what lies in one segment and interval, and rounded
// there once: the same in any batch and any shard.
absl::Status StreamRepresenter::AddGroups(int64_t at, int64_t count,
                                          const float* outputs) {
  const size_t width = static_cast<size_t>(sum_.width());
  struct Sum {
    uint64_t count = 0;
    std::vector<double> values;
  };
  std::map<uint32_t, Sum> sums;
  const uint32_t* groups =
      &group_buffer_[static_cast<size_t>(at - buffer_begin_)];
  for (int64_t i = 0; i < count; ++i) {
    Sum& sum = sums[std::min(groups[i], options_.groups - 1)];
    sum.values.resize(width);
    ++sum.count;
    const float* row = outputs + static_cast<size_t>(i) * width;
    for (size_t k = 0; k < width; ++k) {
      sum.values[k] += static_cast<double>(row[k]);
    }
  }
  for (const auto& [group, sum] : sums) {
    absl::Status s =
        group_sums_[group].AddSegment(sum.values.data(), sum.count);
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status StreamRepresenter::RunSegments(int64_t end) {
  const Manifest& m = back_end_->model()->manifest();
  const size_t width = static_cast<size_t>(m.width);
  std::vector<Lane> lanes;
  for (int64_t at = done_, next; at < end; at = next) {
    next = SumEnd(at, end);
    // From the segment's own beginning, wherever the interval begins.
    const int64_t from = std::max<int64_t>(
        0, at / m.segment_length * m.segment_length - m.warm_up);
    lanes.push_back({from - buffer_begin_, static_cast<int>(next - from),
                     static_cast<int>(next - at)});
  }
  std::vector<double> sums(lanes.size() * width);
  const size_t rows = static_cast<size_t>(end - done_);
  LaneBatch batch{buffer_.data(), lanes};
  if (options_.outputs || options_.groups > 0) {
    outputs_.resize(rows * width);
    batch.outputs = outputs_.data();
  }
  if (absl::Status s = back_end_->Run(batch, sums.data()); !s.ok()) return s;
  if (options_.outputs) {
    absl::Status s = options_.outputs(done_, rows, outputs_.data());
    if (!s.ok()) return s;
  }
  int64_t at = done_;
  for (size_t i = 0; i < lanes.size(); at += lanes[i++].kept) {
    absl::Status s = AddSum(at, lanes[i].kept, &sums[i * width]);
    if (s.ok() && options_.groups > 0) {
      s = AddGroups(at, lanes[i].kept,
                    &outputs_[static_cast<size_t>(at - done_) * width]);
    }
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

// One segment of windows; rows before 0, which are zeros, occur only where the
// buffer begins with the trace.
absl::Status StreamRepresenter::RunWindows(int64_t end) {
  const Manifest& m = back_end_->model()->manifest();
  const size_t width = static_cast<size_t>(m.width);
  for (int64_t at = done_, next; at < end; at = next) {
    next = SumEnd(at, end);
    std::vector<Lane> lanes;
    for (int64_t i = at; i < next; ++i) {
      lanes.push_back({i - m.warm_up - buffer_begin_, m.warm_up + 1, 1});
    }
    std::vector<double> outputs(lanes.size() * width);
    absl::Status s = back_end_->Run({buffer_.data(), lanes}, outputs.data());
    if (!s.ok()) return s;
    // A lane of one step: its sum is that step's output.
    outputs_.assign(outputs.begin(), outputs.end());
    if (options_.outputs) {
      s = options_.outputs(at, lanes.size(), outputs_.data());
      if (!s.ok()) return s;
    }
    std::vector<double> sum(width, 0.0);
    for (size_t i = 0; i < outputs.size(); ++i) sum[i % width] += outputs[i];
    s = AddSum(at, next - at, sum.data());
    if (s.ok() && options_.groups > 0) {
      s = AddGroups(at, next - at, outputs_.data());
    }
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace perfvec::compute
