#include "worker/evaluate/rivals.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/evaluate/low_rank.h"
#include "worker/learn/dense.h"

namespace perfvec::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kRidges[] = {0.1, 1, 10, 100, 1000};

// (K + λ)⁻¹ y and the diagonal of (K + λ)⁻¹, K = X Xᵀ over `rows`.
struct Dual {
  std::vector<double> alpha, diagonal;
};
Dual SolveDual(const std::vector<std::vector<double>>& x, double ridge,
               const std::vector<double>& y) {
  const size_t n = x.size();
  std::vector<double> kernel(n * n), right(n * (n + 1));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double dot = i == j ? ridge : 0;
      for (size_t f = 0; f < x[i].size(); ++f) dot += x[i][f] * x[j][f];
      kernel[i * n + j] = dot;
    }
    right[i * (n + 1)] = y[i];
    right[i * (n + 1) + 1 + i] = 1;
  }
  compute::CholeskySolve(kernel, n, right, n + 1);  // ridge > 0: definite
  Dual dual;
  for (size_t i = 0; i < n; ++i) {
    dual.alpha.push_back(right[i * (n + 1)]);
    dual.diagonal.push_back(right[i * (n + 1) + 1 + i]);
  }
  return dual;
}

double MeanOf(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return sum / v.size();
}

}  // namespace

std::string_view RivalName(int rival) {
  static constexpr std::array<std::string_view, kRivals> kNames = {
      "mean-cpi", "scaled", "regression", "completion"};
  return kNames[static_cast<size_t>(rival)];
}

absl::StatusOr<Rivals> Rivals::Fit(const std::vector<RivalProgram>& training,
                                   size_t reference) {
  if (training.size() < 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected at least 3 training programs in the data, found ",
        training.size()));
  }
  for (const RivalProgram& p : training) {
    if (std::isnan(p.log_times[reference])) {
      return absl::InvalidArgumentError(
          "expected the reference's time of every training program");
    }
  }
  Rivals r;
  r.architectures_ = training[0].log_times.size();
  r.reference_ = reference;
  for (size_t a = 0; a < r.architectures_; ++a) {
    std::vector<double> times, ratios;
    for (const RivalProgram& p : training) {
      if (std::isnan(p.log_times[a])) continue;
      times.push_back(p.log_times[a]);
      ratios.push_back(p.log_times[a] - p.log_times[reference]);
    }
    if (times.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "no training program has times of architecture number ", a));
    }
    r.mean_log_.push_back(MeanOf(times));
    r.log_ratio_.push_back(MeanOf(ratios));
  }
  r.FitRegression(training);
  r.FitCompletion(training);
  return r;
}

void Rivals::FitRegression(const std::vector<RivalProgram>& training) {
  const size_t features = training[0].features.size();
  for (size_t f = 0; f < features; ++f) {
    double mean = 0, square = 0;
    for (const RivalProgram& p : training) {
      mean += p.features[f] / training.size();
    }
    for (const RivalProgram& p : training) {
      square += (p.features[f] - mean) * (p.features[f] - mean);
    }
    const double deviation = std::sqrt(square / training.size());
    feature_mean_.push_back(mean);
    // A feature that never varies says nothing.
    feature_deviation_.push_back(deviation > 1e-9 ? deviation : INFINITY);
  }
  // Of each architecture, the programs that know it.
  const auto problem = [&](size_t a) {
    std::pair<std::vector<std::vector<double>>, std::vector<double>> out;
    for (const RivalProgram& p : training) {
      if (std::isnan(p.log_times[a])) continue;
      std::vector<double> row(features);
      for (size_t f = 0; f < features; ++f) {
        row[f] = (p.features[f] - feature_mean_[f]) / feature_deviation_[f];
      }
      out.first.push_back(std::move(row));
      out.second.push_back(p.log_times[a]);
    }
    return out;
  };
  double least = INFINITY;
  for (double ridge : kRidges) {
    double square = 0;
    for (size_t a = 0; a < architectures_; ++a) {
      auto [x, y] = problem(a);
      if (x.size() < training.size()) continue;
      const double mean = MeanOf(y);
      for (double& v : y) v -= mean;
      const Dual dual = SolveDual(x, ridge, y);
      for (size_t i = 0; i < y.size(); ++i) {
        const double left_out = dual.alpha[i] / dual.diagonal[i];
        square += left_out * left_out;
      }
    }
    if (square < least) {
      least = square;
      ridge_ = ridge;
    }
  }
  weights_.assign(architectures_ * (features + 1), 0);
  for (size_t a = 0; a < architectures_; ++a) {
    auto [x, y] = problem(a);
    double* const w = &weights_[a * (features + 1)];
    w[features] = MeanOf(y);
    for (double& v : y) v -= w[features];
    const Dual dual = SolveDual(x, ridge_, y);
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t f = 0; f < features; ++f) w[f] += dual.alpha[i] * x[i][f];
    }
  }
}

void Rivals::FitCompletion(const std::vector<RivalProgram>& training) {
  LogTimeTable table;
  table.columns = architectures_;
  for (const RivalProgram& p : training) table.rows.push_back(p.log_times);
  const LowRank fit = FitLowRank(table, reference_);
  given_ = fit.given;
  rank_ = fit.rank;
  log_mean_ = fit.mean;
  loadings_ = fit.loadings;
  noise_ = fit.noise;
}

std::vector<size_t> Rivals::Given(Rival rival) const {
  if (rival == kScaled) return {reference_};
  if (rival == kCompletion) return given_;
  return {};
}

std::vector<double> Rivals::Predict(Rival rival,
                                    const RivalProgram& program) const {
  std::vector<double> out;
  switch (rival) {
    case kMeanCpi:
      return mean_log_;
    case kScaled:
      for (double ratio : log_ratio_) {
        out.push_back(program.log_times[reference_] + ratio);
      }
      break;
    case kRegression: {
      const size_t features = feature_mean_.size();
      for (size_t a = 0; a < architectures_; ++a) {
        const double* w = &weights_[a * (features + 1)];
        double y = w[features];
        for (size_t f = 0; f < features; ++f) {
          y += w[f] * (program.features[f] - feature_mean_[f]) /
               feature_deviation_[f];
        }
        out.push_back(y);
      }
      break;
    }
    case kCompletion:
      out = Complete({given_, rank_, log_mean_, loadings_, noise_},
                     program.log_times);
      break;
  }
  for (size_t a : Given(rival)) out[a] = kNan;
  return out;
}

}  // namespace perfvec::train
