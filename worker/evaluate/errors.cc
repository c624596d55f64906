#include "worker/evaluate/errors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLeastColdShare = 0.01;

double Dot(const std::vector<double>& sum, const double* vector) {
  double dot = 0;
  for (size_t i = 0; i < sum.size(); ++i) dot += sum[i] * vector[i];
  return dot;
}

// The mean of what is a number.
double FiniteMean(const std::vector<double>& values) {
  std::vector<double> finite;
  for (double v : values) {
    if (std::isfinite(v)) finite.push_back(v);
  }
  return Average(finite);
}

template <typename Field>
std::vector<double> Column(const std::vector<ProgramErrors>& programs,
                           Field field) {
  std::vector<double> out;
  for (const ProgramErrors& p : programs) out.push_back(p.*field);
  return out;
}

ProgramErrors OfProgram(const Cell* begin, const Cell* end) {
  ProgramErrors out;
  out.program = begin->program;
  std::vector<double> errors, whole, cold, rest, share, intervals, time,
      predicted;
  for (const Cell* c = begin; c != end; ++c) {
    errors.push_back(c->headline.error());
    if (c->whole.time > 0) whole.push_back(c->whole.error());
    const TimePair cold_part = c->Part(ColdKinds());
    const TimePair rest_part = c->Part(AllKinds() & ~ColdKinds());
    share.push_back(cold_part.time / c->headline.time);
    if (share.back() >= kLeastColdShare) cold.push_back(cold_part.error());
    if (rest_part.time > 0) rest.push_back(rest_part.error());
    intervals.insert(intervals.end(), c->interval_errors.begin(),
                     c->interval_errors.end());
    time.push_back(c->headline.time);
    predicted.push_back(c->headline.predicted);
  }
  out.mean = Average(errors);
  out.p95 = Percentile(errors, 95);
  out.max = Max(errors);
  out.whole_mean = Average(whole);
  out.cold_mean = Average(cold);
  out.rest_mean = Average(rest);
  out.cold_share = Average(share);
  out.interval_mean = Average(intervals);
  out.interval_p95 = Percentile(intervals, 95);
  out.choice_loss = ChoiceLoss(predicted, time);
  out.kendall = KendallTau(predicted, time);
  out.spearman = SpearmanRho(predicted, time);
  return out;
}

}  // namespace

double TimePair::error() const {
  return time > 0 ? std::fabs(predicted - time) / time : kNan;
}

TimePair Cell::Part(KindSet set) const {
  TimePair part;
  for (int k = 0; k < kInstructionKinds; ++k) {
    if ((set >> k & 1) == 0) continue;
    part.time += kinds[k].time;
    part.predicted += kinds[k].predicted;
  }
  return part;
}

absl::StatusOr<std::vector<Cell>> CellsOf(const ProgramSums& sums, Range range,
                                          size_t interval, bool whole,
                                          size_t program,
                                          const std::vector<Target>& targets) {
  std::vector<Cell> cells(targets.size());
  const Range all = {0, sums.cuts.back()};
  // Each of the columns of `times` and what the vectors make of `sum`.
  const auto pair = [&](const std::vector<double>& sum,
                        const std::vector<double>& times, const Target& t) {
    return TimePair{times[t.column], Dot(sum, t.vector)};
  };
  for (int k = 0; k < kInstructionKinds; ++k) {
    const std::vector<double> sum = sums.Sum(range, KindSet{1} << k);
    const std::vector<double> times = sums.Times(range, KindSet{1} << k);
    for (size_t i = 0; i < targets.size(); ++i) {
      cells[i].kinds[k] = pair(sum, times, targets[i]);
    }
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    cells[i].program = program;
    cells[i].architecture = targets[i].architecture;
    cells[i].headline = cells[i].Part(AllKinds());
    if (!(cells[i].headline.time > 0) ||
        !std::isfinite(cells[i].headline.predicted)) {
      return absl::InvalidArgumentError(
          absl::StrCat("instructions ", range.begin, " to ", range.end,
                       ": expected a positive simulated time and a finite "
                       "prediction, found ",
                       cells[i].headline.time, " and ",
                       cells[i].headline.predicted, " (0.1 ns)"));
    }
  }
  if (whole) {
    const std::vector<double> sum = sums.Sum(all, AllKinds());
    const std::vector<double> times = sums.Times(all, AllKinds());
    for (size_t i = 0; i < targets.size(); ++i) {
      cells[i].whole = pair(sum, times, targets[i]);
    }
  }
  for (size_t at = range.begin; at + interval <= range.end; at += interval) {
    const std::vector<double> sum = sums.Sum({at, at + interval}, AllKinds());
    const std::vector<double> times =
        sums.Times({at, at + interval}, AllKinds());
    for (size_t i = 0; i < targets.size(); ++i) {
      const TimePair p = pair(sum, times, targets[i]);
      if (p.time > 0) cells[i].interval_errors.push_back(p.error());
    }
  }
  return cells;
}

std::vector<ProgramErrors> ByProgram(const std::vector<Cell>& cells) {
  std::vector<ProgramErrors> out;
  for (size_t i = 0; i < cells.size();) {
    size_t end = i;
    while (end < cells.size() && cells[end].program == cells[i].program) ++end;
    out.push_back(OfProgram(&cells[i], &cells[i] + (end - i)));
    i = end;
  }
  return out;
}

Summary Summarise(const std::vector<Cell>& cells,
                  const SummaryOptions& options) {
  const std::vector<ProgramErrors> programs = ByProgram(cells);
  Summary s;
  s.programs = programs.size();
  s.cells = cells.size();
  std::vector<double> errors, intervals;
  for (const Cell& c : cells) {
    errors.push_back(c.headline.error());
    intervals.insert(intervals.end(), c.interval_errors.begin(),
                     c.interval_errors.end());
  }
  const std::vector<double> means = Column(programs, &ProgramErrors::mean);
  s.mean = Average(means);
  s.mean_interval = BootstrapMean(means, options.resamples, options.seed);
  s.worst_program_mean = Max(means);
  s.p95 = Percentile(errors, 95);
  s.max = Max(errors);
  s.whole_mean = FiniteMean(Column(programs, &ProgramErrors::whole_mean));
  s.cold_mean = FiniteMean(Column(programs, &ProgramErrors::cold_mean));
  s.rest_mean = FiniteMean(Column(programs, &ProgramErrors::rest_mean));
  s.cold_share = Average(Column(programs, &ProgramErrors::cold_share));
  s.interval_mean = FiniteMean(Column(programs, &ProgramErrors::interval_mean));
  s.interval_p95 = Percentile(intervals, 95);
  const std::vector<double> losses =
      Column(programs, &ProgramErrors::choice_loss);
  s.choice_loss_mean = Average(losses);
  s.choice_loss_max = Max(losses);
  s.kendall = FiniteMean(Column(programs, &ProgramErrors::kendall));
  s.spearman = FiniteMean(Column(programs, &ProgramErrors::spearman));
  return s;
}

}  // namespace perfvec::train
