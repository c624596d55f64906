// The vector of an architecture nobody trained with, from simulated times of a
// few programs, the foundation model frozen:
//
//   min_m  Σ_p w_p Σ_i (R_i·m − t_i/s)²
//          + v Σ_p 1/K_p Σ_k ((S_k·m − T_k/s) / (τ_k/s))²
//          + λ (m − μ)ᵀ Σ⁻¹ (m − μ),        M = s c m
//
// p programs with n_p instructions i and K_p intervals k; s the architecture's
// mean latency over them, w_p = 1 / (n_p ℓ_p) with ℓ_p its mean latency on p
// over s; τ_k is T_k, or 0.3 of the program's mean interval where that is more.
// c makes the mean of T̂_p / T_p over the programs 1: squares of relative errors
// shrink what is uncertain. The prior (μ, Σ) comes from known architectures,
// each divided by its own scale: low rank plus diagonal, since fewer are known
// than a vector has elements.
//
// Known architectures' times of the same intervals tell how far the intervals'
// representations are off; CorrectIntervals takes that out before.
//
// Pure functions on plain data; any thread. INVALID_ARGUMENT for sizes that do
// not fit or evidence without time, INTERNAL if the equations cannot be solved.
//
//   for (ProgramEvidence& e : evidence) CorrectIntervals(known, c, e);
//   ASSIGN prior = FitArchitecturePrior(vectors, MeanRepresentation(pointers),
//                                       LearnWeights().rank);
//   ASSIGN M = LearnArchitecture(pointers, column, prior, LearnWeights());
#ifndef PERFVEC_WORKER_LEARN_LEARN_ARCHITECTURE_H_
#define PERFVEC_WORKER_LEARN_LEARN_ARCHITECTURE_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::compute {

struct ArchitecturePrior {
  std::vector<double> mean;       // μ [H]
  std::vector<double> precision;  // Σ⁻¹ [H][H]
};

// Σ R / n over all the evidence, [H]: what a vector's scale is measured by. The
// scale of M is this mean representation times M, the mean latency predicted.
std::vector<double> MeanRepresentation(
    const std::vector<const ProgramEvidence*>& evidence);

// `vectors`: [H] each, at least two. `rank`: principal components kept, cut to
// one less than there are vectors.
absl::StatusOr<ArchitecturePrior> FitArchitecturePrior(
    const std::vector<std::vector<double>>& vectors,
    const std::vector<double>& mean_representation, int rank);

// Intervals short enough to tell phases apart, long enough for their times to
// be sums: of 128 to 10,240 instructions these did best on known architectures
// taken for new ones (docs/evaluation.md).
inline constexpr size_t kLearnIntervalInstructions = 512;

// The defaults are what did best there.
struct LearnWeights {
  double interval = 100;  // v
  double prior = 1e-2;    // λ
  int rank = 32;          // of the prior
};

// M [H] of the architecture that is column `column` of the evidence.
absl::StatusOr<std::vector<double>> LearnArchitecture(
    const std::vector<const ProgramEvidence*>& evidence, size_t column,
    const ArchitecturePrior& prior, const LearnWeights& weights);

// An architecture with a known vector and times in the evidence.
struct KnownArchitecture {
  size_t column = 0;
  std::vector<double> vector;  // [H]
};

// Second moments of intervals' sums of representations about their mean, each
// divided by the mean of its predicted times over known architectures, so that
// long and short, fast and slow ones count alike. `sums`: [H] each, at least
// two with a positive prediction. [H][H].
absl::StatusOr<std::vector<double>> IntervalCovariance(
    const std::vector<std::vector<double>>& sums,
    const std::vector<KnownArchitecture>& known);

// S_k ← S_k + C Vᵀ (V C Vᵀ + ρ I)⁻¹ (T_k − V S_k): the most likely sums where
// C is their covariance and known vectors V [n][H] give the times T_k up to a
// small error. V and T_k in units of the architecture's mean interval; ρ a
// fiftieth of the mean of the diagonal of V C Vᵀ. Known architectures that the
// program has no times of are passed over. `covariance` [H][H]. INTERNAL if it
// is not one.
absl::Status CorrectIntervals(const std::vector<KnownArchitecture>& known,
                              const std::vector<double>& covariance,
                              ProgramEvidence& evidence);

// Mean |T̂ − T| / T on a program left out, of some known architectures learned
// as if they were not, intervals corrected by the others. NaN with fewer than
// two programs or four known architectures: nothing can be left out.
absl::StatusOr<double> LeftOutError(
    const std::vector<const ProgramEvidence*>& evidence,
    const std::vector<KnownArchitecture>& known,
    const std::vector<double>& covariance, const LearnWeights& weights);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_LEARN_ARCHITECTURE_H_
