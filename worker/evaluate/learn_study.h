// How well an architecture is learned from the times of a few whole runs:
// random programs are given, the others predicted, beside two methods that know
// the simulated times of all programs on the known architectures.
//
//   nearest      the known architecture whose times are most nearly
//                proportional on the given programs, times that ratio
//   regression   ridge regression of log time on the known architectures' log
//                times; ridge by leaving one out
//
// Each architecture in turn is learned as if it were not known, or, of split
// "unseen", is not.
//
//   ASSIGN study = StudyLearning(rows, known, targets, options);
//
// Pure functions; any thread.
#ifndef PERFVEC_WORKER_EVALUATE_LEARN_STUDY_H_
#define PERFVEC_WORKER_EVALUATE_LEARN_STUDY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/program_table.h"
#include "worker/evaluate/statistics.h"
#include "worker/learn/learn_from_times.h"
#include "worker/model/calibration.h"

namespace perfvec::train {

struct LearnStudyOptions {
  std::vector<size_t> runs = {3, 5, 10, 20, 40};
  int draws = 5;  // of each architecture and number of runs
  uint64_t seed = 1;
  double level = 0.9;
  std::optional<compute::Calibration> calibration;
};

// The table's column of an architecture and, if the model knows it, which of
// `known` is left out while it is learned.
struct LearnTarget {
  size_t column = 0;
  std::optional<size_t> known;
};

struct LearnStudyRow {
  size_t runs = 0, trials = 0;
  // Of the median error over the remaining programs: median and 90th
  // percentile over trials.
  double error = 0, error_p90 = 0;
  double nearest = 0, nearest_p90 = 0;
  double regression = 0, regression_p90 = 0;
  double left_out_error = 0;  // median of what the report said
  // Of the remaining programs' times, those within the interval; bootstrap over
  // architectures. NaN without calibration.
  double coverage = 0;
  Interval coverage_interval;
  double flagged = 0;       // share of trials said to be out of distribution
  double milliseconds = 0;  // median of learning
};

// `known`: vectors of the model, and `columns` of the table they are. Targets
// of rows with fewer programs than runs + 1 are left out.
absl::StatusOr<std::vector<LearnStudyRow>> StudyLearning(
    const std::vector<ProgramRow>& rows,
    const std::vector<compute::KnownVector>& known,
    const std::vector<size_t>& columns, const std::vector<LearnTarget>& targets,
    const LearnStudyOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_LEARN_STUDY_H_
