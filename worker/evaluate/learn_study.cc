#include "worker/evaluate/learn_study.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "worker/learn/dense.h"

namespace perfvec::train {
namespace {

constexpr double kRidges[] = {0.01, 0.1, 1, 10};
constexpr double kTwoSided90 = 1.6448536269514722;
constexpr int kResamples = 2000;

double Median(const std::vector<double>& v) { return Percentile(v, 50); }

// One draw: programs whose times are given, and the others.
struct Draw {
  const std::vector<ProgramRow>& rows;
  size_t target;                      // column
  std::vector<size_t> columns;        // of known architectures
  std::vector<size_t> given, others;  // rows
};

std::vector<double> Nearest(const Draw& d) {
  double least = INFINITY, ratio = 0;
  size_t best = 0;
  for (size_t column : d.columns) {
    double mean = 0, square = 0;
    for (size_t p : d.given) {
      const double x =
          std::log(d.rows[p].times[d.target] / d.rows[p].times[column]);
      mean += x / d.given.size();
      square += x * x / d.given.size();
    }
    if (square - mean * mean < least) {
      least = square - mean * mean;
      best = column;
      ratio = std::exp(mean);
    }
  }
  std::vector<double> out;
  for (size_t p : d.others) out.push_back(ratio * d.rows[p].times[best]);
  return out;
}

// log T = offset + mean over known of log T + Σ w z, z the deviations from that
// mean, centred on the given programs.
std::vector<double> Regression(const Draw& d) {
  const size_t n = d.given.size(), a = d.columns.size();
  const auto row = [&](size_t p, double* mean) {
    std::vector<double> z;
    *mean = 0;
    for (size_t c : d.columns) {
      z.push_back(std::log(d.rows[p].times[c]));
      *mean += z.back() / a;
    }
    for (double& x : z) x -= *mean;
    return z;
  };
  std::vector<std::vector<double>> z;
  std::vector<double> y, centre(a);
  double offset = 0;
  for (size_t p : d.given) {
    double mean;
    z.push_back(row(p, &mean));
    y.push_back(std::log(d.rows[p].times[d.target]) - mean);
    offset += y.back() / n;
    for (size_t i = 0; i < a; ++i) centre[i] += z.back()[i] / n;
  }
  std::vector<double> kernel(n * n);
  for (size_t k = 0; k < n; ++k) {
    y[k] -= offset;
    for (size_t i = 0; i < a; ++i) z[k][i] -= centre[i];
  }
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < n; ++k) {
      kernel[j * n + k] = compute::Dot(z[j].data(), z[k].data(), a);
    }
  }
  double least = INFINITY;
  std::vector<double> weights(n);
  for (double ridge : kRidges) {
    std::vector<double> system = kernel, inverse(n * n), w(n);
    for (size_t k = 0; k < n; ++k) {
      system[k * n + k] += ridge;
      inverse[k * n + k] = 1;
    }
    if (!compute::CholeskySolve(system, n, inverse, n)) continue;
    double error = 0;
    for (size_t k = 0; k < n; ++k) {
      w[k] = compute::Dot(&inverse[k * n], y.data(), n);
      error += std::pow(w[k] / inverse[k * n + k], 2);
    }
    if (error < least) {
      least = error;
      weights = w;
    }
  }
  std::vector<double> slopes(a), out;
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < a; ++i) slopes[i] += weights[k] * z[k][i];
  }
  for (size_t p : d.others) {
    double mean;
    std::vector<double> x = row(p, &mean);
    for (size_t i = 0; i < a; ++i) x[i] -= centre[i];
    out.push_back(
        std::exp(mean + offset + compute::Dot(slopes.data(), x.data(), a)));
  }
  return out;
}

double MedianError(const Draw& d, const std::vector<double>& guesses) {
  std::vector<double> errors;
  for (size_t i = 0; i < d.others.size(); ++i) {
    const double time = d.rows[d.others[i]].times[d.target];
    errors.push_back(std::fabs(guesses[i] - time) / time);
  }
  return Median(errors);
}

// Share of the other programs' times within the interval that the server would
// give.
double Covered(const Draw& d, const compute::LearnedVector& learned,
               const compute::Calibration& c, double level) {
  double covered = 0;
  const double more =
      std::max(0.0, learned.noise * learned.noise - c.noise * c.noise);
  for (size_t p : d.others) {
    const ProgramRow& row = d.rows[p];
    const size_t h = row.vector.size();
    const double time =
        compute::Dot(row.vector.data(), learned.vector.data(), h);
    if (!(time > 0)) continue;
    double variance = more;
    for (size_t at = 0; at < learned.factors.size(); at += h) {
      const double f =
          compute::Dot(row.vector.data(), &learned.factors[at], h) / time;
      variance += f * f;
    }
    const double own =
        c.Quantile(level) *
        c.Spread(c.Distance(row.vector.data(), row.instructions));
    const double half =
        std::sqrt(own * own + kTwoSided90 * kTwoSided90 * variance);
    covered += std::fabs(std::log(row.times[d.target] / time)) <= half;
  }
  return covered / static_cast<double>(d.others.size());
}

}  // namespace

absl::StatusOr<std::vector<LearnStudyRow>> StudyLearning(
    const std::vector<ProgramRow>& rows,
    const std::vector<compute::KnownVector>& known,
    const std::vector<size_t>& columns, const std::vector<LearnTarget>& targets,
    const LearnStudyOptions& options) {
  std::vector<LearnStudyRow> out;
  std::mt19937_64 random(options.seed);
  for (size_t runs : options.runs) {
    if (runs + 1 > rows.size()) continue;
    LearnStudyRow row;
    row.runs = runs;
    std::vector<double> errors, nearest, regression, left_out, milliseconds,
        coverage;
    for (const LearnTarget& target : targets) {
      std::vector<compute::KnownVector> others;
      std::vector<size_t> other_columns;
      for (size_t k = 0; k < known.size(); ++k) {
        if (target.known == k) continue;
        others.push_back(known[k]);
        other_columns.push_back(columns[k]);
      }
      std::vector<double> covered;
      for (int draw = 0; draw < options.draws; ++draw) {
        std::vector<size_t> order(rows.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::shuffle(order.begin(), order.end(), random);
        const Draw d = {rows,
                        target.column,
                        other_columns,
                        {order.begin(), order.begin() + runs},
                        {order.begin() + runs, order.end()}};
        std::vector<compute::Evidence> evidence;
        for (size_t p : d.given) {
          evidence.push_back({rows[p].name,
                              rows[p].instructions,
                              {{rows[p].vector, rows[p].times[d.target], 0}},
                              {},
                              {}});
        }
        compute::LearnSettings settings;
        if (options.calibration) {
          settings.expected_noise = options.calibration->noise;
          settings.directions = options.calibration->directions;
        }
        const auto start = std::chrono::steady_clock::now();
        auto learned = compute::LearnFromTimes(evidence, others, settings);
        milliseconds.push_back(std::chrono::duration<double, std::milli>(
                                   std::chrono::steady_clock::now() - start)
                                   .count());
        if (!learned.ok()) return learned.status();
        std::vector<double> guesses;
        for (size_t p : d.others) {
          guesses.push_back(compute::Dot(rows[p].vector.data(),
                                         learned->vector.data(),
                                         rows[p].vector.size()));
        }
        errors.push_back(MedianError(d, guesses));
        nearest.push_back(MedianError(d, Nearest(d)));
        regression.push_back(MedianError(d, Regression(d)));
        left_out.push_back(learned->left_out_error);
        row.flagged += compute::StrangeArchitecture(learned->distance);
        if (options.calibration) {
          covered.push_back(
              Covered(d, *learned, *options.calibration, options.level));
        }
      }
      coverage.push_back(Average(covered));
    }
    row.trials = errors.size();
    row.error = Median(errors);
    row.error_p90 = Percentile(errors, 90);
    row.nearest = Median(nearest);
    row.nearest_p90 = Percentile(nearest, 90);
    row.regression = Median(regression);
    row.regression_p90 = Percentile(regression, 90);
    row.left_out_error = Median(left_out);
    row.coverage = Average(coverage);
    row.coverage_interval = BootstrapMean(coverage, kResamples, options.seed);
    row.flagged /= static_cast<double>(row.trials);
    row.milliseconds = Median(milliseconds);
    out.push_back(row);
  }
  return out;
}

}  // namespace perfvec::train
