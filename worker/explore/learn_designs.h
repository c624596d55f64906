// The vectors of sampled designs, from the simulations of a few programs, with
// what a network between them is trained on.
//
// Designs of one space are variants of one machine. So the prior is not the
// mean of the known architectures but the known one that is nearest, the base
// B: the one whose predicted times of the programs fit one of the designs best.
// For design a with mean time s per instruction over the programs p, M = s m:
//
//   min_m  Σ_p w_p Σ_i (R_i·m − t_i/s)²  +  v Σ_p 1/K_p Σ_k (S_k·m/(T_k/s) −
//   1)²
//          + λ (m − B/s)ᵀ P (m − B/s),
//
// the objective of worker/learn/learn_architecture.h with another prior: P
// leaves the `rank` principal components of the known architectures all but
// free and holds what they do not span. Half its second derivative is the
// metric A_a of the design. Rank, λ and v are those that tell designs apart
// best on a program left out: the least mean |d − mean d|, d = log(T̂/T) over
// the designs.
//
// Pure function; any thread; seconds. INVALID_ARGUMENT for evidence of unlike
// sizes, times that are not positive, or no known vector.
//
//   ASSIGN learned = LearnDesigns(evidence, known, {});
//   learned.vectors[a];  // of column a of the evidence
#ifndef PERFVEC_WORKER_EXPLORE_LEARN_DESIGNS_H_
#define PERFVEC_WORKER_EXPLORE_LEARN_DESIGNS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::explore {

struct DesignWeights {
  int rank = 8;
  double prior = 0.1;   // λ
  double interval = 1;  // v
};

struct LearnDesignsOptions {
  std::vector<DesignWeights> weights = DefaultWeights();
  int threads = 1;

  static std::vector<DesignWeights> DefaultWeights();
};

struct LearnedDesigns {
  std::vector<std::vector<double>> vectors;                         // [H]
  std::vector<std::shared_ptr<const std::vector<double>>> metrics;  // [H][H]
  size_t base = 0;  // of the known
  DesignWeights weights;
  // The measure above for those weights. NaN with one program: then the first
  // weights are taken.
  double left_out_error = 0;
};

absl::StatusOr<LearnedDesigns> LearnDesigns(
    const std::vector<const compute::ProgramEvidence*>& evidence,
    const std::vector<std::vector<double>>& known,
    const LearnDesignsOptions& options);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_LEARN_DESIGNS_H_
