// Which part of the data is trained on, which chooses, and which is kept for
// the evaluation: by families, by the tail of each program, by a share of all.
//
//   absl::StatusOr<DataPlan> plan = PlanData(data, options);
//   Train({names, encoding, plan->training, plan->validation}, ...);
//
// Plain data; slices point into the Dataset, which outlives them.
#ifndef PERFVEC_WORKER_TRAIN_DATA_PLAN_H_
#define PERFVEC_WORKER_TRAIN_DATA_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/input_encoding.h"
#include "worker/train/dataset.h"

namespace perfvec::train {

// Instructions left out between what is trained on and the tail, so that the
// tail's first representations do not see trained ones.
inline constexpr size_t kTailGap = 512;

struct DataPlanOptions {
  // Families left out for validation: these, or else every `validate_every`th
  // in alphabetical order (from the sixth of eight on), or none.
  std::vector<std::string> validate_families;
  int validate_every = 8;
  bool all_families = false;
  // The last share of each training program is not trained on.
  double holdout_tail = 0;
  // Train on whole families, drawn with the seed, until this share of the
  // instructions is reached.
  double data_fraction = 1;
  uint64_t seed = 1;
};

struct DataPlan {
  std::vector<Slice> training;
  std::vector<std::string> validation_families;
  // Programs of the validation families; where there are none, the tails.
  std::vector<Slice> validation;
  std::vector<Slice> tails;  // of the training programs
};

// INVALID_ARGUMENT: an unknown family, a share out of range, nothing left.
absl::StatusOr<DataPlan> PlanData(const Dataset& data,
                                  const DataPlanOptions& options);

// Takes the columns of groups of features out of the encoding: "memory"
// (distances, reuse, strides, pressure), "branch" (entropies, mispredictions
// and what else of control the rich schema has), "dependences" and "machines"
// (the reference machines, which see memory and branches too). INVALID_ARGUMENT
// names a group that is none.
absl::Status DropFeatures(const std::vector<std::string>& groups,
                          compute::InputEncoding* encoding);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_DATA_PLAN_H_
