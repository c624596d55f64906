#include "worker/learn/learn_architecture.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/learn/belief.h"
#include "worker/learn/dense.h"

namespace perfvec::compute {
namespace {

constexpr size_t kTrials = 8;  // known architectures learned as if not
constexpr double kLeastShare = 0.3;
constexpr double kCorrectionNoise = 0.02;  // ρ

size_t Width(const ProgramEvidence& e) {
  return static_cast<size_t>(std::lround(std::sqrt(e.gram.size())));
}
size_t Columns(const ProgramEvidence& e) {
  return e.cross.size() / std::max<size_t>(1, Width(e));
}

absl::Status CheckEvidence(const std::vector<const ProgramEvidence*>& evidence,
                           size_t width, size_t column) {
  if (evidence.empty()) {
    return absl::InvalidArgumentError(
        "expected evidence of a program at least");
  }
  for (const ProgramEvidence* e : evidence) {
    const size_t intervals = e->interval_sums.size() / width;
    if (e->gram.size() != width * width ||
        e->cross.size() != width * Columns(*evidence[0]) ||
        e->interval_sums.size() != intervals * width ||
        e->interval_times.size() != intervals * Columns(*evidence[0])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "expected evidence of width ", width, " and ", Columns(*evidence[0]),
          " architectures, found other sizes"));
    }
    if (!(e->instructions > 0) || column >= Columns(*e)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "expected instructions of each program and times of architecture ",
          column, ", found ", e->instructions, " and times of ", Columns(*e)));
    }
  }
  return absl::OkStatus();
}

std::vector<double> TotalSum(const ProgramEvidence& e) {
  const size_t h = Width(e);
  std::vector<double> sum(h);
  for (size_t i = 0; i < e.interval_sums.size(); ++i) {
    sum[i % h] += e.interval_sums[i];
  }
  return sum;
}

double TotalTime(const ProgramEvidence& e, size_t column) {
  const size_t a = Columns(e);
  double sum = 0;
  for (size_t i = column; i < e.interval_times.size(); i += a) {
    sum += e.interval_times[i];
  }
  return sum;
}

// The two data terms of the objective, not yet weighted against each other, as
// quadratic forms in M: per instruction over s, per interval free of units.
struct Normal {
  double scale = 0;  // s, time an instruction
  std::vector<double> gram, right;
  std::vector<double> interval_gram, interval_right;
};

absl::StatusOr<Normal> Accumulate(
    const std::vector<const ProgramEvidence*>& evidence, size_t column) {
  const size_t h = Width(*evidence[0]), a = Columns(*evidence[0]);
  Normal n;
  n.gram.assign(h * h, 0);
  n.interval_gram.assign(h * h, 0);
  n.right.assign(h, 0);
  n.interval_right.assign(h, 0);
  double time = 0, instructions = 0;
  for (const ProgramEvidence* e : evidence) {
    time += TotalTime(*e, column);
    instructions += e->instructions;
  }
  n.scale = time / instructions;
  for (const ProgramEvidence* e : evidence) {
    const double total = TotalTime(*e, column);
    if (!(total > 0) || !std::isfinite(total)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "architecture ", column,
          ": expected a positive time of each program, found ", total));
    }
    const size_t intervals = e->interval_times.size() / a;
    // 1 / (n_p ℓ_p), ℓ_p = total / n_p / s.
    const double w = n.scale / total;
    for (size_t i = 0; i < h * h; ++i) n.gram[i] += w * e->gram[i];
    for (size_t i = 0; i < h; ++i) n.right[i] += w * e->cross[i * a + column];
    for (size_t k = 0; k < intervals; ++k) {
      const double t = e->interval_times[k * a + column];
      const double tau = std::max(t, kLeastShare * total / intervals);
      const double* s = &e->interval_sums[k * h];
      const double v = 1 / (intervals * tau * tau);
      for (size_t i = 0; i < h; ++i) {
        n.interval_right[i] += v * t * s[i];
        const double f = v * s[i];
        for (size_t u = i; u < h; ++u) n.interval_gram[i * h + u] += f * s[u];
      }
    }
  }
  for (size_t i = 0; i < h; ++i) {
    for (size_t u = 0; u < i; ++u) {
      n.interval_gram[i * h + u] = n.interval_gram[u * h + i];
    }
  }
  return n;
}

absl::StatusOr<std::vector<double>> Solve(const Normal& n,
                                          const ArchitecturePrior& prior,
                                          const LearnWeights& weights) {
  // Solved for m = M / s, the unit of the prior.
  const size_t h = n.right.size();
  const double v = weights.interval, s = n.scale;
  std::vector<double> normal(h * h), x(h);
  for (size_t i = 0; i < h * h; ++i) {
    normal[i] = n.gram[i] + v * s * s * n.interval_gram[i] +
                weights.prior * prior.precision[i];
  }
  for (size_t i = 0; i < h; ++i) {
    x[i] = n.right[i] / s + v * s * n.interval_right[i] +
           weights.prior * Dot(&prior.precision[i * h], prior.mean.data(), h);
  }
  if (!CholeskySolve(std::move(normal), h, x, 1)) {
    return absl::InternalError(
        absl::StrCat("normal equations of width ", h,
                     ": not positive definite; raise the prior's weight from ",
                     weights.prior));
  }
  for (double& value : x) value *= s;
  return x;
}

absl::StatusOr<std::vector<double>> Learn(
    const std::vector<const ProgramEvidence*>& evidence, size_t column,
    const ArchitecturePrior& prior, const LearnWeights& weights) {
  auto normal = Accumulate(evidence, column);
  if (!normal.ok()) return normal.status();
  auto vector = Solve(*normal, prior, weights);
  if (!vector.ok()) return vector.status();
  double ratio = 0;
  for (const ProgramEvidence* e : evidence) {
    const std::vector<double> sum = TotalSum(*e);
    ratio += Dot(sum.data(), vector->data(), sum.size()) /
             TotalTime(*e, column) / evidence.size();
  }
  if (ratio > 0) {
    for (double& v : *vector) v /= ratio;
  }
  return vector;
}

}  // namespace

std::vector<double> MeanRepresentation(
    const std::vector<const ProgramEvidence*>& evidence) {
  std::vector<double> mean;
  double instructions = 0;
  for (const ProgramEvidence* e : evidence) {
    const std::vector<double> sum = TotalSum(*e);
    mean.resize(sum.size());
    for (size_t i = 0; i < sum.size(); ++i) mean[i] += sum[i];
    instructions += e->instructions;
  }
  for (double& m : mean) m /= instructions;
  return mean;
}

absl::StatusOr<ArchitecturePrior> FitArchitecturePrior(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation, int rank) {
  auto known = DeviationsOfKnown(vectors, mean_representation);
  if (!known.ok()) return known.status();
  const size_t h = mean_representation.size(), n = vectors.size();
  const std::vector<std::vector<double>>& x = known->deviations;
  ArchitecturePrior prior;
  prior.mean = std::move(known->mean);
  // Principal components from the small Gram matrix of the n deviations.
  std::vector<double> gram(n * n);
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) {
      gram[a * n + b] = Dot(x[a].data(), x[b].data(), h) / n;
    }
  }
  const Eigen eigen = SymmetricEigen(std::move(gram), n);
  const size_t kept = std::min<size_t>(std::max(0, rank), n - 1);
  double rest = 0;
  for (size_t r = kept; r < n; ++r) rest += std::max(0.0, eigen.values[r]);
  // What the components do not explain, over all other directions (the
  // maximum likelihood of probabilistic PCA, Tipping & Bishop 1999); never
  // nothing, as few machines cannot show what others do.
  const double noise =
      std::max(rest / std::max<size_t>(1, h - std::min(h, kept)),
               1e-4 * std::max(eigen.values[0], 1e-300) / h);
  prior.precision.assign(h * h, 0);
  for (size_t i = 0; i < h; ++i) prior.precision[i * h + i] = 1 / noise;
  for (size_t r = 0; r < kept; ++r) {
    const double l = eigen.values[r];
    if (l <= noise) break;
    std::vector<double> u(h);
    for (size_t a = 0; a < n; ++a) {
      for (size_t i = 0; i < h; ++i) u[i] += eigen.vectors[r * n + a] * x[a][i];
    }
    const double norm = std::sqrt(Dot(u.data(), u.data(), h));
    const double f = (1 - noise / l) / (noise * norm * norm);
    for (size_t i = 0; i < h; ++i) {
      for (size_t j = 0; j < h; ++j) {
        prior.precision[i * h + j] -= f * u[i] * u[j];
      }
    }
  }
  return prior;
}

absl::StatusOr<std::vector<double>> LearnArchitecture(
    const std::vector<const ProgramEvidence*>& evidence, size_t column,
    const ArchitecturePrior& prior, const LearnWeights& weights) {
  absl::Status status = CheckEvidence(evidence, prior.mean.size(), column);
  if (!status.ok()) return status;
  return Learn(evidence, column, prior, weights);
}

absl::StatusOr<std::vector<double>> IntervalCovariance(
    const std::vector<std::vector<double>>& sums,
    const std::vector<KnownArchitecture>& known) {
  const size_t h = known.empty() ? 0 : known[0].vector.size();
  std::vector<double> mean_vector(h);
  for (const KnownArchitecture& k : known) {
    for (size_t i = 0; i < h; ++i) mean_vector[i] += k.vector[i] / known.size();
  }
  std::vector<std::vector<double>> rows;
  std::vector<double> mean(h);
  for (const std::vector<double>& sum : sums) {
    const double time =
        sum.size() == h ? Dot(sum.data(), mean_vector.data(), h) : 0;
    if (!(time > 0) || !std::isfinite(time)) continue;
    rows.push_back(sum);
    for (double& v : rows.back()) v /= time;
    for (size_t i = 0; i < h; ++i) mean[i] += rows.back()[i];
  }
  if (rows.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected at least 2 intervals of width ", h, " whose time the ",
        known.size(), " known architectures predict, found ", rows.size()));
  }
  std::vector<double> covariance(h * h);
  for (std::vector<double>& row : rows) {
    for (size_t i = 0; i < h; ++i) row[i] -= mean[i] / rows.size();
    for (size_t i = 0; i < h; ++i) {
      const double f = row[i] / (rows.size() - 1);
      for (size_t j = 0; j < h; ++j) covariance[i * h + j] += f * row[j];
    }
  }
  return covariance;
}

absl::Status CorrectIntervals(const std::vector<KnownArchitecture>& known,
                              const std::vector<double>& covariance,
                              ProgramEvidence& e) {
  const size_t h = Width(e), a = Columns(e);
  const size_t intervals = e.interval_sums.size() / h;
  std::vector<double> v;                           // [n][h]
  std::vector<std::pair<size_t, double>> columns;  // and their scales
  for (const KnownArchitecture& k : known) {
    const double total = TotalTime(e, k.column);
    if (!(total > 0)) continue;
    columns.emplace_back(k.column, intervals / total);
    for (double x : k.vector) v.push_back(x * columns.back().second);
  }
  const size_t n = columns.size();
  if (n == 0) return absl::OkStatus();
  std::vector<double> vc(n * h), kernel(n * n);
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = 0; i < h; ++i) {
      vc[j * h + i] = Dot(&v[j * h], &covariance[i * h], h);
    }
  }
  double trace = 0;
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = 0; i < n; ++i) {
      kernel[j * n + i] = Dot(&vc[j * h], &v[i * h], h);
    }
    trace += kernel[j * n + j];
  }
  for (size_t j = 0; j < n; ++j) {
    kernel[j * n + j] += kCorrectionNoise * trace / n;
  }
  // [n][intervals]: what the sums miss of the times, then the weights.
  std::vector<double> missing(n * intervals);
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < intervals; ++k) {
      missing[j * intervals + k] =
          e.interval_times[k * a + columns[j].first] * columns[j].second -
          Dot(&e.interval_sums[k * h], &v[j * h], h);
    }
  }
  if (!CholeskySolve(std::move(kernel), n, missing, intervals)) {
    return absl::InternalError(
        absl::StrCat("correcting intervals: the covariance of width ", h,
                     " is not positive definite"));
  }
  for (size_t k = 0; k < intervals; ++k) {
    for (size_t j = 0; j < n; ++j) {
      const double w = missing[j * intervals + k];
      for (size_t i = 0; i < h; ++i) {
        e.interval_sums[k * h + i] += w * vc[j * h + i];
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<double> LeftOutError(
    const std::vector<const ProgramEvidence*>& evidence,
    const std::vector<KnownArchitecture>& known,
    const std::vector<double>& covariance, const LearnWeights& weights) {
  if (evidence.size() < 2 || known.size() < 4) return std::nan("");
  const size_t h = known[0].vector.size();
  // Every n-th of the known is learned as if it were not.
  const size_t trials = std::min(kTrials, known.size() / 2);
  std::vector<KnownArchitecture> others;
  std::vector<std::vector<double>> vectors;
  std::vector<size_t> columns;
  for (size_t i = 0; i < known.size(); ++i) {
    absl::Status status = CheckEvidence(evidence, h, known[i].column);
    if (!status.ok()) return status;
    if (columns.size() < trials &&
        i == columns.size() * known.size() / trials) {
      columns.push_back(known[i].column);
    } else {
      others.push_back(known[i]);
      vectors.push_back(known[i].vector);
    }
  }
  std::vector<ProgramEvidence> corrected;
  for (const ProgramEvidence* e : evidence) {
    corrected.push_back(*e);
    absl::Status status =
        CorrectIntervals(others, covariance, corrected.back());
    if (!status.ok()) return status;
  }
  auto prior =
      FitArchitecturePrior(vectors, MeanRepresentation(evidence), weights.rank);
  if (!prior.ok()) return prior.status();
  double error = 0;
  for (size_t p = 0; p < evidence.size(); ++p) {
    std::vector<const ProgramEvidence*> rest;
    for (size_t q = 0; q < corrected.size(); ++q) {
      if (q != p) rest.push_back(&corrected[q]);
    }
    const std::vector<double> total = TotalSum(*evidence[p]);
    for (size_t column : columns) {
      auto vector = Learn(rest, column, *prior, weights);
      if (!vector.ok()) return vector.status();
      const double time = TotalTime(*evidence[p], column);
      error += std::fabs(Dot(total.data(), vector->data(), h) - time) / time;
    }
  }
  return error / (evidence.size() * columns.size());
}

}  // namespace perfvec::compute
