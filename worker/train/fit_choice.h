// Chooses the weights of the closed-form fit of the architecture vectors: those
// with the least error on the validation families, or without any on families
// of the training programs left out of the fit.
//
//   auto weights = ChooseWeights(training, validation, h, a, initial);
//
// Functions without state; any thread.
#ifndef PERFVEC_WORKER_TRAIN_FIT_CHOICE_H_
#define PERFVEC_WORKER_TRAIN_FIT_CHOICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/train/architecture_fit.h"

namespace perfvec::train {

struct Evaluated {
  std::string program, family;
  ProgramEvidence evidence;  // without start-up
};

// |T̂ − T| / T of each architecture that the program has times of. table:
// [A][H].
std::vector<double> TimeErrors(const ProgramEvidence& e,
                               const std::vector<double>& table, int h, int a);

double Mean(const std::vector<double>& v);

// `initial`: [A][H], what the prior pulls towards. INTERNAL if no weights can
// be solved with.
absl::StatusOr<FitWeights> ChooseWeights(
    const std::vector<Evaluated>& training,
    const std::vector<Evaluated>& validation, int h, int a,
    const std::vector<double>& initial);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_FIT_CHOICE_H_
