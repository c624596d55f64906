// The vectors of an evaluation's learned architectures, from the programs named
// for it, by the code that serves requests to learn (worker/learn).
#ifndef PERFVEC_WORKER_EVALUATE_LEARN_VECTORS_H_
#define PERFVEC_WORKER_EVALUATE_LEARN_VECTORS_H_

#include <vector>

#include "absl/status/status.h"
#include "worker/evaluate/evaluation.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::train {

// Fills e.vectors of architectures that the plan says are learned. `evidence`:
// of each planned program; used for those named to learn from. The prior and
// the weights come from the model's own architectures of split "seen".
// INVALID_ARGUMENT if a program lacks an architecture's times.
absl::Status LearnVectors(const std::vector<compute::ProgramEvidence>& evidence,
                          Evaluation& e);

// The evaluated model with the vectors learned, in place of those it had or
// behind them. Its id is the same.
absl::StatusOr<compute::FoundationModel> WithLearned(const Evaluation& e);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_LEARN_VECTORS_H_
