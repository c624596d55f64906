// What is believed of an architecture vector: a Gaussian, N(mean, covariance),
// first from the architectures already known, then from evidence.
//
// The objective that docs/learning.md states is minus its log density, so that
// the mean is the vector learned and the covariance says how far it may be off.
// Vectors are in units of the architecture's own scale, its mean latency over
// the evidence: m = M / scale.
//
// Pure functions on plain data; any thread.
//
//   ASSIGN belief = BeliefOfKnown(vectors, mean_representation);
//   ASSIGN precision = PrecisionOf(belief);
//   ASSIGN belief = AbsorbForm(belief, precision, gram, cross);
//   TimesUpdate after = AbsorbTimes(belief, rows, {variances});
#ifndef PERFVEC_WORKER_LEARN_BELIEF_H_
#define PERFVEC_WORKER_LEARN_BELIEF_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"

namespace perfvec::compute {

struct Belief {
  std::vector<double> mean;        // [H]
  std::vector<double> covariance;  // [H][H]
  size_t width() const { return mean.size(); }
};

// Known vectors, each divided by its scale, its dot product with
// `mean_representation`: their mean, and what each is off it.
struct KnownDeviations {
  std::vector<double> mean;                     // [H]
  std::vector<std::vector<double>> deviations;  // [n][H]
};
// At least two vectors of [H] that predict a positive time.
absl::StatusOr<KnownDeviations> DeviationsOfKnown(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation);

// Mean and covariance of the known vectors, each divided by its scale, its dot
// product with `mean_representation`. As fewer are known than a vector has
// elements, the covariance is theirs plus a multiple of the identity; and a
// part along the mean leaves the scale open. Errors of DeviationsOfKnown.
absl::StatusOr<Belief> BeliefOfKnown(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation);

// The inverse of its covariance, [H][H]. INTERNAL if there is none.
absl::StatusOr<std::vector<double>> PrecisionOf(const Belief& belief);

// After per-instruction evidence mᵀ G m − 2 mᵀ b, already weighted: G [H][H],
// b [H]; `precision` is the belief's. INTERNAL if the sums are not those of any
// representations.
absl::StatusOr<Belief> AbsorbForm(const Belief& belief,
                                  const std::vector<double>& precision,
                                  const std::vector<double>& gram,
                                  const std::vector<double>& cross);

// n totals: x_k · m = y_k + noise, the noise independent.
struct TimesEvidence {
  std::vector<double> rows;       // [n][H]  x
  std::vector<double> values;     // [n]     y
  std::vector<double> variances;  // [n]     of the noise, positive
};

struct TimesUpdate {
  std::vector<double> mean;      // [H]
  std::vector<double> left_out;  // [n] x_k · m had total k not been there
  std::vector<double> spread;    // [n] standard deviation of y_k − left_out_k
  double log_likelihood = 0;     // of the values, without constants
  double determined = 0;         // directions that the totals decide
  std::vector<double> weights;   // [n] mean = belief.mean + Σ V w
  std::vector<double> precision;  // [n][n] inverse of K + noise
};

// What AbsorbTimes needs of belief and rows, whatever the noise.
struct TimesKernel {
  std::vector<double> gains;   // [n][H]  V = covariance x_k
  std::vector<double> kernel;  // [n][n]  x_j · V_k
  std::vector<double> start;   // [n]     x_k · belief.mean
};
TimesKernel MakeKernel(const Belief& belief, const std::vector<double>& rows);

// By the matrix inversion lemma: n x n systems only. INTERNAL if the kernel is
// not one, which rows that are not finite cause.
absl::StatusOr<TimesUpdate> AbsorbTimes(const Belief& belief,
                                        const TimesKernel& kernel,
                                        const TimesEvidence& evidence);

// The covariance after the update of directions w [k][H]: [k][k].
std::vector<double> CovarianceOf(const Belief& belief,
                                 const TimesKernel& kernel,
                                 const TimesUpdate& update,
                                 const std::vector<double>& directions);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_BELIEF_H_
