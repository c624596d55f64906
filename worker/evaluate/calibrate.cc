#include "worker/evaluate/calibrate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/learn/dense.h"

namespace perfvec::train {
namespace {

using compute::Calibration;

constexpr size_t kComponents = 16;
constexpr size_t kDirections = 16;
constexpr double kLevels[] = {0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99};
constexpr double kWidthLevel = 0.9;
constexpr double kGrowths[] = {0, 0.25, 0.5, 1, 2, 4};
constexpr double kLargeError = 0.2;
constexpr double kFalseAlarms = 0.1;
constexpr double kLeastError = 1e-6, kMostErrorFactor = 5;
constexpr double kLeastLimit = 1e-6;
constexpr size_t kLeastFamilies = 3, kLeastTrained = 8;
constexpr int kResamples = 2000;

double Predicted(const ProgramRow& row, const std::vector<double>& vectors,
                 size_t a) {
  const size_t h = row.vector.size();
  return compute::Dot(row.vector.data(), &vectors[a * h], h);
}

// |log(time / predicted)|; a prediction that is no time counts as ten times
// off.
double LogError(double time, double predicted) {
  return predicted > 0 ? std::fabs(std::log(time / predicted)) : std::log(10);
}

double RelativeError(double time, double predicted) {
  return std::fabs(predicted - time) / time;
}

// The first principal components of rows [n][h]: unit length, and the variance
// along each.
struct Components {
  std::vector<double> vectors, variances;
};
Components Principal(const std::vector<std::vector<double>>& rows,
                     size_t most) {
  const size_t n = rows.size(), h = rows[0].size();
  std::vector<double> gram(n * n);
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) {
      gram[a * n + b] = compute::Dot(rows[a].data(), rows[b].data(), h) / n;
    }
  }
  const compute::Eigen eigen = compute::SymmetricEigen(std::move(gram), n);
  Components out;
  for (size_t r = 0; r < std::min({most, n - 1, h}); ++r) {
    const double variance = eigen.values[r];
    if (!(variance > 1e-9 * eigen.values[0])) break;
    out.variances.push_back(variance);
    std::vector<double> u(h);
    for (size_t a = 0; a < n; ++a) {
      const double f = eigen.vectors[r * n + a] / std::sqrt(n * variance);
      for (size_t i = 0; i < h; ++i) u[i] += f * rows[a][i];
    }
    out.vectors.insert(out.vectors.end(), u.begin(), u.end());
  }
  return out;
}

void FitDistance(const std::vector<const ProgramRow*>& trained,
                 Calibration* c) {
  const size_t h = trained[0]->vector.size();
  std::vector<std::vector<double>> y;
  c->mean.assign(h, 0);
  for (const ProgramRow* row : trained) {
    y.emplace_back();
    for (size_t i = 0; i < h; ++i) {
      y.back().push_back(
          std::log(row->vector[i] / row->instructions + c->floor));
      c->mean[i] += y.back()[i] / static_cast<double>(trained.size());
    }
  }
  for (std::vector<double>& one : y) {
    for (size_t i = 0; i < h; ++i) one[i] -= c->mean[i];
  }
  Components principal = Principal(y, kComponents);
  for (size_t r = 0; r < principal.variances.size(); ++r) {
    for (size_t i = 0; i < h; ++i) {
      c->components.push_back(principal.vectors[r * h + i] /
                              std::sqrt(principal.variances[r]));
    }
  }
  for (const ProgramRow* row : trained) {
    const std::vector<double> at =
        c->Project(row->vector.data(), row->instructions);
    c->references.insert(c->references.end(), at.begin(), at.end());
  }
}

void FitDirections(const std::vector<ProgramRow>& rows, Calibration* c) {
  std::vector<std::vector<double>> units;
  for (const ProgramRow& row : rows) {
    units.push_back(row.vector);
    const double length = std::sqrt(
        compute::Dot(row.vector.data(), row.vector.data(), row.vector.size()));
    for (double& x : units.back()) x /= length;
  }
  c->directions = Principal(units, kDirections).vectors;
}

// Errors on the training programs: how hard an architecture is to predict shows
// there too. Over their geometric mean.
void FitErrorFactors(const std::vector<const ProgramRow*>& trained,
                     const std::vector<double>& vectors,
                     const std::vector<std::string>& names, Calibration* c) {
  std::vector<double> logs;
  for (size_t a = 0; a < names.size(); ++a) {
    double square = kLeastError * kLeastError;
    for (const ProgramRow* row : trained) {
      const double e = LogError(row->times[a], Predicted(*row, vectors, a));
      square += e * e / static_cast<double>(trained.size());
    }
    logs.push_back(std::log(square) / 2);
  }
  const double mean = Average(logs);
  for (size_t a = 0; a < names.size(); ++a) {
    c->error_factors[names[a]] = std::clamp(
        std::exp(logs[a] - mean), 1 / kMostErrorFactor, kMostErrorFactor);
  }
}

// The least distance × error factor beyond which lie at most kFalseAlarms of
// the predictions that are not far off.
double FitLimit(const std::vector<const ProgramRow*>& left_out,
                const std::vector<double>& vectors,
                const std::vector<std::string>& names, const Calibration& c) {
  std::vector<double> good;
  for (const ProgramRow* row : left_out) {
    const double distance = c.Distance(row->vector.data(), row->instructions);
    for (size_t a = 0; a < names.size(); ++a) {
      const double predicted = Predicted(*row, vectors, a);
      if (RelativeError(row->times[a], predicted) > kLargeError) continue;
      good.push_back(distance * c.ErrorFactor(names[a]));
    }
  }
  if (good.empty()) return kLeastLimit;
  std::sort(good.rbegin(), good.rend());
  const double beyond = kFalseAlarms * static_cast<double>(good.size());
  return std::max(kLeastLimit, good[static_cast<size_t>(beyond)]);
}

double QuantileOf(std::vector<double> sorted, double level) {
  std::sort(sorted.begin(), sorted.end());
  const double at = level * static_cast<double>(sorted.size() - 1);
  const size_t k = std::min(sorted.size() - 2, static_cast<size_t>(at));
  return sorted[k] +
         (at - static_cast<double>(k)) * (sorted[k + 1] - sorted[k]);
}

void FitErrors(const std::vector<const ProgramRow*>& left_out,
               const std::vector<double>& vectors, Calibration* c) {
  double best = INFINITY;
  for (double growth : kGrowths) {
    Calibration trial;
    trial.growth = growth;
    trial.limit = c->limit;
    std::vector<double> scaled, plain;
    double width = 0;
    for (const ProgramRow* row : left_out) {
      const double spread =
          trial.Spread(c->Distance(row->vector.data(), row->instructions));
      width += std::log(spread) / static_cast<double>(left_out.size());
      for (size_t a = 0; a < row->times.size(); ++a) {
        plain.push_back(LogError(row->times[a], Predicted(*row, vectors, a)));
        scaled.push_back(plain.back() / spread);
      }
    }
    // The narrowest intervals, in the geometric mean, that cover as much.
    width += std::log(QuantileOf(scaled, kWidthLevel));
    if (!(width < best)) continue;
    best = width;
    c->growth = growth;
    c->noise = 1.4826 * QuantileOf(plain, 0.5);
    c->quantiles.clear();
    for (double level : kLevels) {
      c->quantiles.emplace_back(level, QuantileOf(scaled, level));
    }
  }
}

}  // namespace

absl::StatusOr<Calibration> Calibrate(const std::vector<ProgramRow>& rows,
                                      const std::vector<double>& vectors,
                                      const std::vector<std::string>& names) {
  std::vector<const ProgramRow*> trained, left_out;
  std::set<std::string> families;
  for (const ProgramRow& row : rows) {
    (row.trained ? trained : left_out).push_back(&row);
    if (!row.trained) families.insert(row.family);
  }
  if (trained.size() < kLeastTrained || families.size() < kLeastFamilies) {
    return absl::FailedPreconditionError(absl::StrCat(
        "calibration: expected at least ", kLeastTrained,
        " programs that the model was trained on and ", kLeastFamilies,
        " families of others, found ", trained.size(), " and ", families.size(),
        "; the manifest's provenance.training_programs says which are which"));
  }
  Calibration c;
  FitDistance(trained, &c);
  FitDirections(rows, &c);
  FitErrorFactors(trained, vectors, names, &c);
  c.limit = FitLimit(left_out, vectors, names, c);
  FitErrors(left_out, vectors, &c);
  nlohmann::json programs = nlohmann::json::array();
  for (const ProgramRow* row : left_out) programs.push_back(row->name);
  c.record_json = nlohmann::json({{"programs", programs},
                                  {"families", families.size()},
                                  {"training_programs", trained.size()}})
                      .dump();
  return c;
}

absl::StatusOr<LeftOutResult> LeaveFamiliesOut(
    const std::vector<ProgramRow>& rows, const std::vector<double>& vectors,
    const std::vector<std::string>& names, double level) {
  std::set<std::string> families;
  for (const ProgramRow& row : rows) {
    if (!row.trained) families.insert(row.family);
  }
  LeftOutResult out;
  std::vector<double> coverage;
  double predictions = 0;
  for (const std::string& family : families) {
    std::vector<ProgramRow> rest;
    for (const ProgramRow& row : rows) {
      if (row.trained || row.family != family) rest.push_back(row);
    }
    auto c = Calibrate(rest, vectors, names);
    if (!c.ok()) return c.status();
    std::vector<double> covered;
    for (const ProgramRow& row : rows) {
      if (row.trained || row.family != family) continue;
      LeftOutResult::Program p;
      p.name = row.name;
      const double distance = c->Distance(row.vector.data(), row.instructions);
      p.distance = distance / c->limit;
      const double half = c->Quantile(level) * c->Spread(distance);
      const double n = static_cast<double>(row.times.size());
      for (size_t a = 0; a < row.times.size(); ++a) {
        const double predicted = Predicted(row, vectors, a);
        const double error = RelativeError(row.times[a], predicted);
        p.error += error / n;
        p.covered += (LogError(row.times[a], predicted) <= half) / n;
        (error > kLargeError ? out.large : out.small) += 1;
        if (c->Strange(distance, c->ErrorFactor(names[a]))) {
          p.flagged += 1 / n;
          (error > kLargeError ? out.large_flagged : out.small_flagged) += 1;
        }
        out.mean_width += std::exp(half) - std::exp(-half);
        predictions += 1;
      }
      covered.push_back(p.covered);
      out.programs.push_back(std::move(p));
    }
    coverage.push_back(Average(covered));
  }
  out.mean_width /= predictions;
  out.coverage = Average(coverage);
  out.coverage_interval = BootstrapMean(coverage, kResamples, 1);
  return out;
}

}  // namespace perfvec::train
