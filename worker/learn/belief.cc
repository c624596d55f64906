#include "worker/learn/belief.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/learn/dense.h"

namespace perfvec::compute {
namespace {

// Of the mean variance of an element: what directions that no known
// architecture shows still may vary.
constexpr double kUnseenShare = 0.01;
// Of the squared mean: known ones that are all alike do not make others so.
constexpr double kLeastVariance = 1e-6;
// Standard deviation of the scale, relative: it is left to the evidence.
constexpr double kScaleSpread = 1;

// matrix [H][H] times each row of x [n][H].
std::vector<double> Apply(const std::vector<double>& matrix,
                          const std::vector<double>& x, size_t h) {
  std::vector<double> out(x.size());
  for (size_t k = 0; k < x.size() / h; ++k) {
    for (size_t i = 0; i < h; ++i) {
      out[k * h + i] = Dot(&matrix[i * h], &x[k * h], h);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<KnownDeviations> DeviationsOfKnown(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation) {
  const size_t h = mean_representation.size(), n = vectors.size();
  if (n < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected at least two known architectures to learn another from, "
        "found ",
        n));
  }
  KnownDeviations known{std::vector<double>(h), vectors};
  for (std::vector<double>& m : known.deviations) {
    const double scale = m.size() == h
                             ? Dot(m.data(), mean_representation.data(), h)
                             : std::nan("");
    if (!(scale > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("known architectures: expected vectors of ", h,
                       " elements that predict a positive time, found ",
                       m.size(), " elements and ", scale));
    }
    for (size_t i = 0; i < h; ++i) {
      m[i] /= scale;
      known.mean[i] += m[i] / static_cast<double>(n);
    }
  }
  for (std::vector<double>& m : known.deviations) {
    for (size_t i = 0; i < h; ++i) m[i] -= known.mean[i];
  }
  return known;
}

absl::StatusOr<Belief> BeliefOfKnown(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation) {
  auto known = DeviationsOfKnown(vectors, mean_representation);
  if (!known.ok()) return known.status();
  const size_t h = mean_representation.size(), n = vectors.size();
  Belief belief;
  belief.mean = std::move(known->mean);
  std::vector<double>& c = belief.covariance;
  c.assign(h * h, 0);
  const auto add = [&](const std::vector<double>& u, double weight) {
    for (size_t i = 0; i < h; ++i) {
      const double f = weight * u[i];
      for (size_t j = i; j < h; ++j) c[i * h + j] += f * u[j];
    }
  };
  for (const std::vector<double>& m : known->deviations) {
    add(m, 1 / static_cast<double>(n - 1));
  }
  double trace = 0;
  for (size_t i = 0; i < h; ++i) trace += c[i * h + i];
  const double unseen = std::max(kUnseenShare * trace,
                                 kLeastVariance * Dot(belief.mean.data(),
                                                      belief.mean.data(), h)) /
                        static_cast<double>(h);
  for (size_t i = 0; i < h; ++i) c[i * h + i] += unseen;
  add(belief.mean, kScaleSpread * kScaleSpread);
  for (size_t i = 0; i < h; ++i) {
    for (size_t j = 0; j < i; ++j) c[i * h + j] = c[j * h + i];
  }
  return belief;
}

absl::StatusOr<std::vector<double>> PrecisionOf(const Belief& belief) {
  std::vector<double> precision = belief.covariance;
  if (CholeskyInverse(precision, belief.width())) return precision;
  return absl::InternalError(
      "the known architectures' covariance is not positive definite; are their "
      "vectors finite?");
}

absl::StatusOr<Belief> AbsorbForm(const Belief& belief,
                                  const std::vector<double>& precision,
                                  const std::vector<double>& gram,
                                  const std::vector<double>& cross) {
  const size_t h = belief.width();
  std::vector<double> right = Apply(precision, belief.mean, h);
  for (size_t i = 0; i < h; ++i) right[i] += cross[i];
  Belief after;
  after.covariance = precision;
  for (size_t i = 0; i < h * h; ++i) after.covariance[i] += gram[i];
  if (!CholeskyInverse(after.covariance, h)) {
    return absl::InternalError(
        absl::StrCat("per-instruction evidence of width ", h,
                     ": not positive definite; were its sums changed since "
                     "they were made?"));
  }
  after.mean = Apply(after.covariance, right, h);
  return after;
}

TimesKernel MakeKernel(const Belief& belief, const std::vector<double>& rows) {
  const size_t h = belief.width(), n = rows.size() / h;
  TimesKernel out;
  out.gains = Apply(belief.covariance, rows, h);
  out.kernel.resize(n * n);
  for (size_t j = 0; j < n; ++j) {
    out.start.push_back(Dot(&rows[j * h], belief.mean.data(), h));
    for (size_t k = 0; k < n; ++k) {
      out.kernel[j * n + k] = Dot(&rows[j * h], &out.gains[k * h], h);
    }
  }
  return out;
}

absl::StatusOr<TimesUpdate> AbsorbTimes(const Belief& belief,
                                        const TimesKernel& kernel,
                                        const TimesEvidence& evidence) {
  const size_t h = belief.width(), n = evidence.values.size();
  TimesUpdate out;
  out.mean = belief.mean;
  out.precision = kernel.kernel;
  for (size_t k = 0; k < n; ++k) {
    out.precision[k * n + k] += evidence.variances[k];
  }
  double log_determinant;
  if (!CholeskyInverse(out.precision, n, &log_determinant)) {
    return absl::InternalError(absl::StrCat(
        n,
        " totals: their equations have no solution; expected finite program "
        "vectors"));
  }
  std::vector<double> residual(n);
  for (size_t k = 0; k < n; ++k) {
    residual[k] = evidence.values[k] - kernel.start[k];
  }
  out.weights = Apply(out.precision, residual, n);
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < h; ++i) {
      out.mean[i] += out.weights[k] * kernel.gains[k * h + i];
    }
    // Rasmussen & Williams 2006, equations 5.10 to 5.12.
    const double p = out.precision[k * n + k];
    out.left_out.push_back(evidence.values[k] - out.weights[k] / p);
    out.spread.push_back(std::sqrt(1 / p));
    out.determined += 1 - evidence.variances[k] * p;
    out.log_likelihood -= 0.5 * residual[k] * out.weights[k];
  }
  out.log_likelihood -= 0.5 * log_determinant;
  return out;
}

std::vector<double> CovarianceOf(const Belief& belief,
                                 const TimesKernel& kernel,
                                 const TimesUpdate& update,
                                 const std::vector<double>& directions) {
  const size_t h = belief.width(), k = directions.size() / h;
  const size_t n = update.weights.size();
  const std::vector<double> applied = Apply(belief.covariance, directions, h);
  std::vector<double> shared(k * n);  // directions · V
  for (size_t a = 0; a < k; ++a) {
    for (size_t j = 0; j < n; ++j) {
      shared[a * n + j] = Dot(&directions[a * h], &kernel.gains[j * h], h);
    }
  }
  const std::vector<double> solved =
      n == 0 ? shared : Apply(update.precision, shared, n);
  std::vector<double> out(k * k);
  for (size_t a = 0; a < k; ++a) {
    for (size_t b = 0; b < k; ++b) {
      out[a * k + b] = Dot(&directions[a * h], &applied[b * h], h) -
                       Dot(&shared[a * n], &solved[b * n], n);
    }
  }
  return out;
}

}  // namespace perfvec::compute
