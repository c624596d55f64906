#include "worker/explore/learn_designs.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/explore/parallel.h"
#include "worker/learn/dense.h"

namespace perfvec::explore {
namespace {

using compute::ProgramEvidence;
using Vector = std::vector<double>;

// What λ P takes of the components that it leaves free.
constexpr double kFreeShare = 1e-3;
// The least unit of an element, of the greatest.
constexpr double kLeastUnit = 1e-2;
// Designs of which the weights are chosen, at most.
constexpr size_t kTrials = 6;

// Of one program, for all designs.
struct Totals {
  Vector sum;    // Σ R [H]
  Vector times;  // [A]
};

struct Problem {
  std::vector<const ProgramEvidence*> evidence;
  std::vector<Totals> totals;
  size_t width = 0, designs = 0;

  double Scale(size_t design) const {
    double time = 0, instructions = 0;
    for (size_t p = 0; p < evidence.size(); ++p) {
      time += totals[p].times[design];
      instructions += evidence[p]->instructions;
    }
    return time / instructions;
  }
  Problem Without(size_t program) const {
    Problem rest = *this;
    rest.evidence.erase(rest.evidence.begin() + program);
    rest.totals.erase(rest.totals.begin() + program);
    return rest;
  }
};

absl::StatusOr<Problem> Check(
    const std::vector<const ProgramEvidence*>& evidence, size_t width) {
  Problem problem;
  problem.evidence = evidence;
  problem.width = width;
  for (const ProgramEvidence* e : evidence) {
    const size_t designs = e->cross.size() / width;
    if (problem.designs == 0) problem.designs = designs;
    const size_t intervals = e->interval_sums.size() / width;
    if (designs == 0 || designs != problem.designs ||
        e->gram.size() != width * width || e->cross.size() % width != 0 ||
        intervals == 0 || e->interval_sums.size() != intervals * width ||
        e->interval_times.size() != intervals * designs ||
        !(e->instructions > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "evidence: expected intervals of width ", width, " with times of ",
          problem.designs, " designs for each program, found other sizes"));
    }
    Totals totals{Vector(width), Vector(designs)};
    for (size_t k = 0; k < intervals; ++k) {
      for (size_t i = 0; i < width; ++i) {
        totals.sum[i] += e->interval_sums[k * width + i];
      }
      for (size_t a = 0; a < designs; ++a) {
        totals.times[a] += e->interval_times[k * designs + a];
      }
    }
    for (size_t a = 0; a < designs; ++a) {
      if (!(totals.times[a] > 0) || !std::isfinite(totals.times[a])) {
        return absl::InvalidArgumentError(
            absl::StrCat("evidence: expected positive times, found ",
                         totals.times[a], " on design ", a));
      }
    }
    problem.totals.push_back(std::move(totals));
  }
  return problem;
}

// The known vector nearest to one of the designs, by log times of intervals,
// every program counting alike.
size_t NearestKnown(const Problem& problem, const std::vector<Vector>& known) {
  const size_t h = problem.width, designs = problem.designs;
  size_t best = 0;
  double least = INFINITY;
  for (size_t k = 0; k < known.size(); ++k) {
    Vector errors(designs);
    for (const ProgramEvidence* e : problem.evidence) {
      const size_t intervals = e->interval_times.size() / designs;
      for (size_t i = 0; i < intervals; ++i) {
        const double guess =
            compute::Dot(&e->interval_sums[i * h], known[k].data(), h);
        for (size_t a = 0; a < designs; ++a) {
          const double t = e->interval_times[i * designs + a];
          if (!(t > 0)) continue;
          const double error =
              guess > 0 ? std::fabs(std::log(guess / t)) : INFINITY;
          errors[a] += error / intervals;
        }
      }
    }
    const double error = *std::min_element(errors.begin(), errors.end());
    if (error < least) {
      least = error;
      best = k;
    }
  }
  return best;
}

// Principal components of the known vectors, each divided by its scale and
// each element multiplied by the representation's mean: shares of the time, so
// that an element counts alike in whatever unit it comes.
struct Components {
  std::vector<Vector> directions;  // unit length, strongest first
  Vector variances;
  Vector unit;  // [H], the mean representation, with a floor
};

absl::StatusOr<Components> FindComponents(const Problem& problem,
                                          const std::vector<Vector>& known) {
  const size_t h = problem.width, n = known.size();
  Components c;
  c.unit.assign(h, 0);
  double instructions = 0;
  for (size_t p = 0; p < problem.evidence.size(); ++p) {
    for (size_t i = 0; i < h; ++i) {
      c.unit[i] += problem.totals[p].sum[i];
    }
    instructions += problem.evidence[p]->instructions;
  }
  for (double& m : c.unit) m /= instructions;
  std::vector<Vector> x = known;
  // What these programs seldom or never have is not free for that.
  const double least =
      kLeastUnit * *std::max_element(c.unit.begin(), c.unit.end());
  Vector mean(h);
  for (size_t a = 0; a < n; ++a) {
    const double scale = compute::Dot(x[a].data(), c.unit.data(), h);
    if (!(scale > 0) || !std::isfinite(scale)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "known architecture ", a,
          ": expected a vector that predicts positive times, found ", scale));
    }
    for (size_t i = 0; i < h; ++i) {
      x[a][i] *= std::max(c.unit[i], least) / scale;
      mean[i] += x[a][i] / n;
    }
  }
  for (double& u : c.unit) u = std::max(u, least);
  Vector gram(n * n);
  for (Vector& v : x) {
    for (size_t i = 0; i < h; ++i) v[i] -= mean[i];
  }
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) {
      gram[a * n + b] = compute::Dot(x[a].data(), x[b].data(), h) / n;
    }
  }
  const compute::Eigen eigen = compute::SymmetricEigen(std::move(gram), n);
  for (size_t r = 0; r < n && eigen.values[r] > 1e-9 * eigen.values[0]; ++r) {
    Vector u(h);
    for (size_t a = 0; a < n; ++a) {
      for (size_t i = 0; i < h; ++i) u[i] += eigen.vectors[r * n + a] * x[a][i];
    }
    const double norm = std::sqrt(compute::Dot(u.data(), u.data(), h));
    for (double& v : u) v /= norm;
    c.directions.push_back(std::move(u));
    c.variances.push_back(eigen.values[r]);
  }
  return c;
}

// λ P.
Vector Precision(const Components& c, const DesignWeights& weights, size_t h) {
  const size_t rank =
      std::min<size_t>(std::max(0, weights.rank), c.variances.size());
  double rest = 0;
  for (size_t r = rank; r < c.variances.size(); ++r) rest += c.variances[r];
  const double strongest = c.variances.empty() ? 1 : c.variances[0];
  const double noise =
      std::max(rest / std::max<size_t>(1, h - rank), 1e-4 * strongest / h);
  const double stiff = weights.prior / noise;
  Vector precision(h * h);
  for (size_t i = 0; i < h; ++i) precision[i * h + i] = stiff;
  for (size_t r = 0; r < rank; ++r) {
    const Vector& u = c.directions[r];
    const double f =
        stiff - std::min(stiff, kFreeShare * weights.prior / c.variances[r]);
    for (size_t i = 0; i < h; ++i) {
      for (size_t k = 0; k < h; ++k) precision[i * h + k] -= f * u[i] * u[k];
    }
  }
  for (size_t i = 0; i < h; ++i) {
    for (size_t k = 0; k < h; ++k) {
      precision[i * h + k] *= c.unit[i] * c.unit[k];
    }
  }
  return precision;
}

// A and A m + ... of one design's data terms, weighted.
void AddData(const Problem& problem, size_t design, double v, double s,
             Vector& metric, Vector& right) {
  const size_t h = problem.width, a = problem.designs;
  for (size_t p = 0; p < problem.evidence.size(); ++p) {
    const ProgramEvidence& e = *problem.evidence[p];
    const double w = s / problem.totals[p].times[design];
    for (size_t i = 0; i < h * h; ++i) metric[i] += w * e.gram[i];
    for (size_t i = 0; i < h; ++i) {
      right[i] += w * e.cross[i * a + design] / s;
    }
    const size_t intervals = e.interval_times.size() / a;
    for (size_t k = 0; v > 0 && k < intervals; ++k) {
      const double t = e.interval_times[k * a + design] / s;
      if (!(t > 0)) continue;
      const double* sum = &e.interval_sums[k * h];
      const double share = v / (intervals * t);
      for (size_t i = 0; i < h; ++i) {
        right[i] += share * sum[i];
        const double f = share / t * sum[i];
        double* row = &metric[i * h];
        for (size_t j = 0; j < h; ++j) row[j] += f * sum[j];
      }
    }
  }
}

// M of the design, empty if the equations cannot be solved; `metric` becomes
// A_a.
Vector Solve(const Problem& problem, size_t design, const Vector& base,
             const Vector& precision, double v, Vector& metric) {
  const size_t h = problem.width;
  const double s = problem.Scale(design);
  metric = precision;
  Vector x(h);
  for (size_t i = 0; i < h; ++i) {
    x[i] = compute::Dot(&precision[i * h], base.data(), h) / s;
  }
  AddData(problem, design, v, s, metric, x);
  if (!compute::CholeskySolve(metric, h, x, 1)) return {};
  for (double& value : x) value *= s;
  return x;
}

// Mean |d − mean d| over the trial designs and programs left out.
double LeftOutError(const std::vector<Problem>& rest, const Problem& all,
                    const Components& components, const Vector& base,
                    const DesignWeights& weights) {
  const Vector precision = Precision(components, weights, all.width);
  const size_t trials = std::min(kTrials, all.designs);
  Vector metric;
  double error = 0;
  for (size_t p = 0; p < rest.size(); ++p) {
    Vector d;
    double mean = 0;
    for (size_t t = 0; t < trials; ++t) {
      const size_t design =
          trials == 1 ? 0 : t * (all.designs - 1) / (trials - 1);
      const Vector m =
          Solve(rest[p], design, base, precision, weights.interval, metric);
      if (m.empty()) return INFINITY;
      const double guess =
          compute::Dot(all.totals[p].sum.data(), m.data(), all.width);
      if (!(guess > 0)) return INFINITY;
      d.push_back(std::log(guess / all.totals[p].times[design]));
      mean += d.back() / trials;
    }
    for (double x : d) error += std::fabs(x - mean) / (trials * rest.size());
  }
  return error;
}

}  // namespace

std::vector<DesignWeights> LearnDesignsOptions::DefaultWeights() {
  std::vector<DesignWeights> all = {DesignWeights()};
  for (int rank : {6, 8, 12}) {
    for (double prior : {0.03, 0.1, 1.0}) {
      for (double interval : {1.0, 30.0})
        all.push_back({rank, prior, interval});
    }
  }
  return all;
}

absl::StatusOr<LearnedDesigns> LearnDesigns(
    const std::vector<const ProgramEvidence*>& evidence,
    const std::vector<Vector>& known, const LearnDesignsOptions& options) {
  if (evidence.empty() || known.empty() || options.weights.empty()) {
    return absl::InvalidArgumentError(
        "expected evidence of a program, a known architecture and weights to "
        "try");
  }
  const size_t width = known[0].size();
  for (const Vector& v : known) {
    if (v.empty() || v.size() != width) {
      return absl::InvalidArgumentError(
          absl::StrCat("known architectures: expected vectors of ", width,
                       " elements, found ", v.size()));
    }
  }
  auto problem = Check(evidence, width);
  if (!problem.ok()) return problem.status();
  auto components = FindComponents(*problem, known);
  if (!components.ok()) return components.status();

  LearnedDesigns learned;
  learned.base = NearestKnown(*problem, known);
  const Vector& base = known[learned.base];
  learned.weights = options.weights[0];
  learned.left_out_error = std::nan("");
  if (evidence.size() > 1 && options.weights.size() > 1) {
    std::vector<Problem> rest;
    for (size_t p = 0; p < evidence.size(); ++p) {
      rest.push_back(problem->Without(p));
    }
    Vector errors(options.weights.size());
    Parallel(errors.size(), options.threads, [&](size_t w) {
      errors[w] =
          LeftOutError(rest, *problem, *components, base, options.weights[w]);
    });
    const size_t best =
        std::min_element(errors.begin(), errors.end()) - errors.begin();
    learned.weights = options.weights[best];
    learned.left_out_error = errors[best];
  }
  const Vector precision = Precision(*components, learned.weights, width);
  learned.vectors.resize(problem->designs);
  learned.metrics.resize(problem->designs);
  Parallel(problem->designs, options.threads, [&](size_t a) {
    auto metric = std::make_shared<Vector>();
    learned.vectors[a] =
        Solve(*problem, a, base, precision, learned.weights.interval, *metric);
    learned.metrics[a] = std::move(metric);
  });
  for (size_t a = 0; a < problem->designs; ++a) {
    if (learned.vectors[a].empty()) {
      return absl::InternalError(absl::StrCat(
          "design ", a, ": its equations are not positive definite"));
    }
  }
  return learned;
}

}  // namespace perfvec::explore
