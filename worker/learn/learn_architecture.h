// The vector of an architecture nobody trained with, from simulated times of a
// few programs, the foundation model frozen:
//
//   min_m  Σ_p w_p Σ_i (R_i·m − t_i/s)²
//          + v Σ_p 1/K_p Σ_k (S_k·m / (T_k/s) − 1)²
//          + λ (m − μ)ᵀ Σ⁻¹ (m − μ),        M = s m
//
// p programs with n_p instructions i and K_p intervals k; s the architecture's
// mean latency over them, w_p = 1 / (n_p ℓ_p) with ℓ_p its mean latency on p
// over s. The prior (μ, Σ) comes from known architectures, each divided by its
// own scale: low rank plus diagonal, since fewer are known than a vector has
// elements.
//
// Pure functions on plain data; any thread. INVALID_ARGUMENT for sizes that do
// not fit or evidence without time, INTERNAL if the equations cannot be solved.
//
//   ASSIGN prior = FitArchitecturePrior(known, MeanRepresentation(evidence),
//   16); ASSIGN M = LearnArchitecture(evidence, column, prior, LearnWeights());
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

struct LearnWeights {
  double interval = 10;  // v
  double prior = 1e-3;   // λ
  int rank = 16;         // of the prior
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

struct ChosenWeights {
  LearnWeights weights;
  // Mean |T̂ − T| / T on a program left out, of known architectures learned as
  // if they were not. NaN if nothing could be left out.
  double error = 0;
};
// The weights with the least such error. With fewer than two programs or four
// known architectures there is nothing to choose by: the defaults.
absl::StatusOr<ChosenWeights> ChooseLearnWeights(
    const std::vector<const ProgramEvidence*>& evidence,
    const std::vector<KnownArchitecture>& known);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_LEARN_ARCHITECTURE_H_
