// The simple rivals on the splits of an evaluation.
//
// Fitted on the training programs of the data, over the instructions the model
// was trained on; on architectures that are learned they know the times of
// those programs among them that are learned from. Machines whose times a rival
// was given do not count in its errors.
//
//   AddRivals(options, evaluation);   // evaluation.splits[i].rivals
#ifndef PERFVEC_WORKER_EVALUATE_RIVAL_RESULTS_H_
#define PERFVEC_WORKER_EVALUATE_RIVAL_RESULTS_H_

#include "worker/evaluate/evaluation.h"

namespace perfvec::train {

// Needs e.sums and e.splits. Where they cannot be fitted (no training programs
// in the data), a note says why.
void AddRivals(const EvaluationOptions& options, Evaluation& e);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_RIVAL_RESULTS_H_
