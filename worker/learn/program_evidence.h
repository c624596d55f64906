// What one program says about architectures with the foundation model frozen:
// the loss over its instructions is a quadratic form in the architecture
// vector, and so is that over sums of intervals.
//
// Plain data. H width, A architectures, K intervals, which together are all of
// the instructions; times in 0.1 ns or any other unit, the same throughout.
#ifndef PERFVEC_WORKER_LEARN_PROGRAM_EVIDENCE_H_
#define PERFVEC_WORKER_LEARN_PROGRAM_EVIDENCE_H_

#include <vector>

namespace perfvec::compute {

struct ProgramEvidence {
  double instructions = 0;
  std::vector<double> gram;            // [H][H]  Σ R Rᵀ
  std::vector<double> cross;           // [H][A]  Σ R t
  std::vector<double> interval_sums;   // [K][H]  S_k
  std::vector<double> interval_times;  // [K][A]  T_k
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_PROGRAM_EVIDENCE_H_
