// Chooses the weights of the closed-form fit of the architecture vectors by
// leaving families of the training programs out.
//
//   auto weights = ChooseWeights(programs, h, a, initial);
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

// |T̂ − T| / T of each architecture. table: [A][H].
std::vector<double> TimeErrors(const ProgramEvidence& e,
                               const std::vector<double>& table, int h, int a);

double Mean(const std::vector<double>& v);

// The weights with the least mean error on training families left out.
// `initial`: [A][H], what the prior pulls towards.
absl::StatusOr<FitWeights> ChooseWeights(const std::vector<Evaluated>& programs,
                                         int h, int a,
                                         const std::vector<double>& initial);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_FIT_CHOICE_H_
