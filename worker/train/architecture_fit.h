// The closed form for architecture vectors with the representations fixed, each
// architecture by itself:
//
//   min_M  Σ_p 1/(n_p ℓ_p²) Σ_i (R_i·M − t_i)²
//          + v Σ_p 1/K_p Σ_k ((S_k·M − T_k) / τ_k)²  +  λ |M − M_0|²
//
// p programs with times on it, n_p instructions i of mean latency ℓ_p; K_p
// intervals k of instructions with S_k = Σ R_i, T_k = Σ t_i; τ_k is T_k, or
// kLeastShare of the program's mean interval where that is more, so that no
// short interval outweighs the rest. Times are divided by the architecture's
// mean latency, so that one λ fits all.
//
// Single-threaded but for BLAS; plain data.
//
//   ArchitectureSums sums(h);
//   for (const ProgramEvidence* p : programs) sums.Add(*p, a, architectures);
//   ASSIGN m = sums.Solve({.interval = 1e4, .prior = 1}, initial);
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
  double interval = 1e4;  // v
  double prior = 1;       // λ
};

inline constexpr double kLeastShare = 0.3;

// One architecture's two data terms as quadratic forms in M, from which any
// weights are solved.
class ArchitectureSums {
 public:
  explicit ArchitectureSums(int width);

  // Column `architecture` of the evidence; nothing if the program has no times
  // of it.
  void Add(const ProgramEvidence& program, int architecture, int architectures);
  void Add(const ArchitectureSums& others);
  bool empty() const { return programs_ == 0; }

  // M [H]. `initial` is M_0 [H]. INTERNAL if the normal equations are not
  // positive definite.
  absl::StatusOr<std::vector<double>> Solve(const FitWeights& weights,
                                            const double* initial) const;

 private:
  const int h_;
  int programs_ = 0;
  std::vector<double> gram_, right_;                    // [H][H], [H]
  std::vector<double> interval_gram_, interval_right_;  // upper triangle, [H]
  std::vector<double> scaled_;                          // rows S_k / τ_k
};

// Returns M [A][H]; an architecture that no program has times of keeps its
// row of `initial` [A][H].
absl::StatusOr<std::vector<double>> FitArchitectures(
    const std::vector<const ProgramEvidence*>& programs, int width,
    int architectures, const FitWeights& weights,
    const std::vector<double>& initial);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_ARCHITECTURE_FIT_H_
