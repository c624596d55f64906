// The closed form for architecture vectors with the representations fixed, with
// weights that are the same for all architectures, so that one factorisation
// serves them all:
//
//   min_M  Σ_p w_p Σ_i (R_i·M − t_i)² + v Σ_k (S_k·M − T_k)² / τ_k²
//          + λ |M − M_0|²
//
// p programs, i their instructions, k intervals of instructions with
// S_k = Σ R_i, T_k = Σ t_i, and τ_k the mean of T_k over architectures. Times
// are divided by each architecture's mean latency, so that all are alike.
//
// Single-threaded; plain data.
#ifndef PERFVEC_WORKER_TRAIN_ARCHITECTURE_FIT_H_
#define PERFVEC_WORKER_TRAIN_ARCHITECTURE_FIT_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::train {

using compute::ProgramEvidence;

struct FitWeights {
  double interval = 1;       // v
  double prior = 1e-3;       // λ
  double program_power = 1;  // w_p = 1 / (n_p (mean latency)^power)
};

// Returns M [A][H]. `initial` is M_0 [A][H]. INTERNAL if the normal equations
// are not positive definite.
absl::StatusOr<std::vector<double>> FitArchitectures(
    const std::vector<const ProgramEvidence*>& programs, int width,
    int architectures, const FitWeights& weights,
    const std::vector<double>& initial);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_ARCHITECTURE_FIT_H_
