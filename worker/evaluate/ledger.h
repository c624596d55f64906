// How often a model has been tried on data it must not be fitted to: a list in
// evaluations.json beside the model, one entry each time the split "unseen" was
// opened. Errors on unseen data mean little once something was chosen by them;
// the ledger makes a second look visible.
//
// An entry: {"date", "model_id", "programs": [...], "architectures": [...]}.
//
//   ASSIGN times = CountOpening("models/mine", model_id, plan);   // 1: the
//   first
#ifndef PERFVEC_WORKER_EVALUATE_LEDGER_H_
#define PERFVEC_WORKER_EVALUATE_LEDGER_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "worker/evaluate/plan.h"

namespace perfvec::train {

inline constexpr char kLedgerFileName[] = "evaluations.json";

// If the plan opens anything unseen, appends an entry, durably, before
// returning; then nothing may be opened if this fails. Returns the number of
// the ledger's entries of this model. DATA_LOSS for a damaged ledger,
// UNAVAILABLE if it cannot be written. One process at a time (the directory is
// locked).
absl::StatusOr<size_t> CountOpening(const std::string& model_directory,
                                    const std::string& model_id,
                                    const Plan& plan);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_LEDGER_H_
