// The evaluation of a model: opens what the plan says, one program at a time,
// and computes every error, the learned vectors and the rivals.
//
//   EvaluationOptions options;
//   options.data = {"data"};
//   options.model = "deploy/models/default";
//   ASSIGN evaluation = Evaluate(options);
//   evaluation.splits[0].all.mean;
//
// Blocks until done; uses `threads` threads and one more that reads ahead.
#ifndef PERFVEC_WORKER_EVALUATE_EVALUATION_H_
#define PERFVEC_WORKER_EVALUATE_EVALUATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/errors.h"
#include "worker/evaluate/plan.h"
#include "worker/evaluate/rivals.h"
#include "worker/model/foundation_model.h"

namespace perfvec::train {

struct EvaluationOptions {
  std::vector<std::string> data;
  std::string model;
  PlanOptions plan;
  // What `scaled` and `completion` measure on.
  std::string reference = "cortex_a15_like";
  SummaryOptions summary;
  int threads = 0;          // 0: one per processor
  size_t sample_every = 0;  // keep each n-th representation for pictures
  std::function<void(const std::string& message)> progress;
};

struct RivalResult {
  int rival = 0;
  std::vector<Cell> cells;  // headline only
  Summary all;
};

struct SplitResult {
  PlannedSplit split;
  std::vector<Cell> cells;  // program and architecture: the plan's numbers
  Summary all;
  // Programs with a family of a training program, and without; of seen
  // programs on learned architectures: trained on, and not.
  std::vector<size_t> first_group, second_group;  // programs
  Summary first, second;
  std::vector<RivalResult> rivals;
};

struct Evaluation {
  std::shared_ptr<const compute::FoundationModel> model;
  Plan plan;
  std::vector<ProgramSums> sums;  // of plan.programs
  std::vector<double> vectors;    // [plan.architectures][width]; NaN: none
  std::vector<SplitResult> splits;
  std::string learning;  // how vectors were learned; empty: none were
  double rival_ridge = 0;
  int rival_rank = 0;
  std::vector<size_t> rival_given;  // architectures `completion` measures on
  size_t rival_programs = 0;        // trained on; 0: no rivals
  size_t times_opened = 0;          // how often this model has seen unseen data
  std::vector<std::string> notes;
};

// Errors name the file, program or option. With plan.open_unseen an entry is
// written beside the model before anything unseen is opened.
absl::StatusOr<Evaluation> Evaluate(const EvaluationOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_EVALUATION_H_
