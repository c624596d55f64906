#include "worker/evaluate/program_sums.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/evidence/evidence_builder.h"
#include "worker/features/feature_schema.h"

namespace perfvec::train {
namespace {

using compute::kFeatureCount;

constexpr size_t kEvidenceRows = 1024;  // at a time

size_t PieceOf(const std::vector<size_t>& cuts, size_t instruction) {
  return std::upper_bound(cuts.begin(), cuts.end(), instruction) -
         cuts.begin() - 1;
}

// Pieces [first, last) of a range whose ends are cuts.
std::pair<size_t, size_t> Pieces(const std::vector<size_t>& cuts, Range range) {
  const auto at = [&](size_t instruction) {
    return std::lower_bound(cuts.begin(), cuts.end(), instruction) -
           cuts.begin();
  };
  return {at(range.begin), at(range.end)};
}

std::vector<double> Total(const std::vector<double>& table, size_t width,
                          std::pair<size_t, size_t> pieces, KindSet kinds) {
  std::vector<double> sum(width);
  for (size_t p = pieces.first; p < pieces.second; ++p) {
    for (size_t k = 0; k < kInstructionKinds; ++k) {
      if ((kinds >> k & 1) == 0) continue;
      const double* from = &table[(p * kInstructionKinds + k) * width];
      for (size_t i = 0; i < width; ++i) sum[i] += from[i];
    }
  }
  return sum;
}

// Instructions [begin, end) as lanes over rows that start at `first_row`.
std::vector<compute::Lane> Lanes(const compute::Manifest& m, size_t begin,
                                 size_t end, size_t first_row) {
  const bool window = m.mode == compute::Mode::kWindow;
  const size_t length = window ? 1 : static_cast<size_t>(m.segment_length);
  std::vector<compute::Lane> lanes;
  for (size_t at = begin; at < end; at += length) {
    const int64_t kept = static_cast<int64_t>(std::min(length, end - at));
    int64_t from = static_cast<int64_t>(at) - m.warm_up;
    // Windows reach before the trace, segments do not.
    if (!window) from = std::max<int64_t>(0, from);
    const int64_t steps = static_cast<int64_t>(at) + kept - from;
    lanes.push_back({from - static_cast<int64_t>(first_row),
                     static_cast<int>(steps), static_cast<int>(kept)});
  }
  return lanes;
}

void AddCounts(const ProgramData& data,
               const std::vector<InstructionKind>& kinds, ProgramSums& sums) {
  const size_t n = data.instructions, columns = sums.columns;
  for (size_t p = 0; p < sums.pieces(); ++p) {
    for (size_t i = sums.cuts[p]; i < sums.cuts[p + 1]; ++i) {
      const size_t cell = p * kInstructionKinds + static_cast<size_t>(kinds[i]);
      sums.counts[cell] += 1;
      const float* row = &data.features[i * data.feature_count];
      for (size_t f = 0; f < kFeatureCount; ++f) {
        sums.features[p * kFeatureCount + f] += std::log2(1 + row[f]);
      }
    }
    for (size_t c = 0; c < columns; ++c) {
      const uint32_t* latency = &data.latency[c * n];
      uint64_t totals[kInstructionKinds] = {};
      for (size_t i = sums.cuts[p]; i < sums.cuts[p + 1]; ++i) {
        totals[static_cast<size_t>(kinds[i])] += latency[i];
        sums.saturated += latency[i] == UINT16_MAX;
      }
      for (size_t k = 0; k < kInstructionKinds; ++k) {
        sums.times[(p * kInstructionKinds + k) * columns + c] =
            static_cast<double>(totals[k]);
      }
    }
  }
}

// The representations [begin, begin + count), as far as they are in the range,
// with their latencies.
void AddEvidence(const ProgramData& data, Range range, const float* outputs,
                 size_t begin, size_t count, size_t width, size_t columns,
                 compute::EvidenceBuilder& builder) {
  const size_t first = std::max(begin, range.begin);
  const size_t last = std::min(begin + count, range.end);
  std::vector<float> times(kEvidenceRows * columns);
  for (size_t at = first; at < last; at += kEvidenceRows) {
    const size_t rows = std::min(kEvidenceRows, last - at);
    for (size_t c = 0; c < columns; ++c) {
      const uint32_t* from = &data.latency[c * data.instructions + at];
      for (size_t i = 0; i < rows; ++i) times[i * columns + c] = from[i];
    }
    builder.Add(outputs + (at - begin) * width, times.data(), rows);
  }
}

}  // namespace

std::vector<double> ProgramSums::Sum(Range range, KindSet kinds) const {
  return Total(vectors, static_cast<size_t>(width), Pieces(cuts, range), kinds);
}

std::vector<double> ProgramSums::Times(Range range, KindSet kinds) const {
  return Total(times, columns, Pieces(cuts, range), kinds);
}

double ProgramSums::Count(Range range, KindSet kinds) const {
  return Total(counts, 1, Pieces(cuts, range), kinds)[0];
}

std::vector<double> ProgramSums::Features(Range range) const {
  const auto [first, last] = Pieces(cuts, range);
  std::vector<double> means(kFeatureCount);
  for (size_t p = first; p < last; ++p) {
    for (size_t f = 0; f < kFeatureCount; ++f) {
      means[f] += features[p * kFeatureCount + f] / range.size();
    }
  }
  return means;
}

absl::StatusOr<ProgramSums> SumProgram(const ProgramData& data,
                                       std::vector<size_t> cuts,
                                       const PassOptions& options,
                                       compute::Representer* back_end,
                                       compute::ProgramEvidence* evidence) {
  const size_t n = data.instructions;
  cuts.push_back(0);
  cuts.push_back(n);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  while (cuts.back() > n) cuts.pop_back();

  ProgramSums sums;
  sums.cuts = std::move(cuts);
  sums.columns = n == 0 ? 0 : data.latency.size() / n;
  const size_t cells = sums.pieces() * kInstructionKinds;
  sums.counts.resize(cells);
  sums.times.resize(cells * sums.columns);
  sums.features.resize(sums.pieces() * kFeatureCount);
  std::vector<InstructionKind> kinds(n);
  for (size_t i = 0; i < n; ++i) {
    kinds[i] = KindOf(&data.features[i * data.feature_count]);
  }
  AddCounts(data, kinds, sums);
  if (back_end == nullptr) return sums;

  const compute::Manifest& m = back_end->model()->manifest();
  const size_t h = static_cast<size_t>(m.width);
  sums.width = m.width;
  sums.vectors.resize(cells * h);
  compute::EvidenceBuilder builder(
      {h, sums.columns, options.evidence_interval});
  const size_t step =
      m.mode == compute::Mode::kWindow
          ? kEvidenceRows
          : static_cast<size_t>(m.segment_length) * back_end->PreferredLanes();
  const size_t columns = m.inputs.width();
  std::vector<float> inputs, outputs;
  std::vector<double> lane_sums;
  const size_t start = options.represent_from /
                       static_cast<size_t>(m.segment_length) *
                       static_cast<size_t>(m.segment_length);
  for (size_t begin = start; begin < n; begin += step) {
    const size_t end = std::min(n, begin + step);
    const size_t first_row = begin - std::min<size_t>(begin, m.warm_up);
    inputs.resize((end - first_row) * columns);
    m.inputs.Encode(&data.features[first_row * data.feature_count],
                    end - first_row, inputs.data());
    for (float x : inputs) {
      if (!(std::fabs(x) <= compute::kMaxInput)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "instructions ", first_row, " to ", end - 1,
            ": expected inputs within +-", compute::kMaxInput, ", found ", x));
      }
    }
    const std::vector<compute::Lane> lanes = Lanes(m, begin, end, first_row);
    outputs.resize((end - begin) * h);
    lane_sums.resize(lanes.size() * h);
    absl::Status status =
        back_end->Run({inputs.data(), lanes, outputs.data()}, lane_sums.data());
    if (!status.ok()) return status;
    for (size_t i = begin; i < end; ++i) {
      const float* r = &outputs[(i - begin) * h];
      const size_t cell = PieceOf(sums.cuts, i) * kInstructionKinds +
                          static_cast<size_t>(kinds[i]);
      double* to = &sums.vectors[cell * h];
      for (size_t u = 0; u < h; ++u) to[u] += r[u];
      if (options.sample_every > 0 && i % options.sample_every == 0) {
        sums.sample.insert(sums.sample.end(), r, r + h);
        sums.sample_kinds.push_back(kinds[i]);
      }
    }
    if (options.evidence) {
      AddEvidence(data, options.evidence_range, outputs.data(), begin,
                  end - begin, h, sums.columns, builder);
    }
  }
  if (options.evidence) *evidence = builder.Take();
  return sums;
}

}  // namespace perfvec::train
