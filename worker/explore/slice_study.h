// How well a few weighted slices stand for a whole run: what
// `perfvec-worker slice-study` measures.
//
// Long runs are cut into intervals; the intervals, described by the means of
// their features, are clustered into k clusters, and of each the one nearest to
// the centre is taken with its cluster's share of the instructions. The time
// predicted from those is compared with the time predicted from the whole, on
// every architecture that the model knows, and the error that was estimated
// (worker/represent/slice_weights.h) with the one that was made.
//
// Every instruction's features are those of the whole run: this is the error of
// sampling, not of caches that are cold where a slice begins.
//
//   ASSIGN study = RunSliceStudy(folder, model, {2, 4, 8}, evidence_options);
//   study.rows[0].mean_error;
//
// Blocks until done.
#ifndef PERFVEC_WORKER_EXPLORE_SLICE_STUDY_H_
#define PERFVEC_WORKER_EXPLORE_SLICE_STUDY_H_

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "worker/explore/study_evidence.h"

namespace perfvec::explore {

struct SliceStudyRow {
  int slices = 0;
  size_t programs = 0;
  double recorded = 0;  // mean share of the instructions in the slices
  // Of |T_slices / T_whole - 1| over programs and architectures.
  double mean_error = 0, p95_error = 0, max_error = 0;
  double mean_deviation = 0;  // that was estimated, relative
  double coverage = 0;  // share of errors within 1.645 deviations: 90 % hoped
};

struct SliceStudy {
  std::string model_id;
  size_t architectures = 0;
  std::vector<SliceStudyRow> rows;
};

// Programs with fewer than twice as many intervals as slices are left out of a
// row; so is a row without programs.
absl::StatusOr<SliceStudy> RunSliceStudy(
    const StudyFolder& folder,
    const std::shared_ptr<const compute::FoundationModel>& model,
    const std::vector<int>& slices, const EvidenceOptions& options);

// Chooses `count` of the intervals that rows of `features` describe, and weighs
// them. `counts`: their instructions. Two clusters may end as one.
struct ChosenSlices {
  std::vector<size_t> intervals;
  std::vector<double> weights;
};
ChosenSlices ChooseSlices(const std::vector<std::vector<double>>& features,
                          const std::vector<double>& counts, int count);

// Adds the command to the parser; `exit_code` is set when it has run.
void AddSliceStudyCommand(CLI::App* app, int* exit_code);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_SLICE_STUDY_H_
