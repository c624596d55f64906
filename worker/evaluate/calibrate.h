// The calibration of a model: from the programs that it was not trained on, the
// quantiles of its errors; from those that it was trained on, what a program
// like them looks like.
//
//   ASSIGN calibration = Calibrate(rows, vectors, names);
//   Coverage c = LeaveFamiliesOut(rows, vectors, 0.9, ...);
//
// Pure functions; any thread.
#ifndef PERFVEC_WORKER_EVALUATE_CALIBRATE_H_
#define PERFVEC_WORKER_EVALUATE_CALIBRATE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/program_table.h"
#include "worker/evaluate/statistics.h"
#include "worker/model/calibration.h"

namespace perfvec::train {

// `vectors` [A][H]: of the table's architectures, called `names`.
// FAILED_PRECONDITION if there are fewer than 3 families left out or fewer than
// 8 training programs.
absl::StatusOr<compute::Calibration> Calibrate(
    const std::vector<ProgramRow>& rows, const std::vector<double>& vectors,
    const std::vector<std::string>& names);

// What a calibration is worth on programs it has not seen: each family left out
// is judged by a calibration on the others.
struct LeftOutResult {
  struct Program {
    std::string name;
    double error = 0;     // mean over architectures
    double covered = 0;   // share of its times within the interval
    double distance = 0;  // over the limit
    double flagged = 0;   // share of its predictions
  };
  std::vector<Program> programs;
  double coverage = 0;
  Interval coverage_interval;  // bootstrap over families, 95 %
  double mean_width = 0;       // of (high − low) / predicted
  // Of the predictions with errors above and up to 20 %, those flagged.
  size_t large = 0, large_flagged = 0, small = 0, small_flagged = 0;
};
absl::StatusOr<LeftOutResult> LeaveFamiliesOut(
    const std::vector<ProgramRow>& rows, const std::vector<double>& vectors,
    const std::vector<std::string>& names, double level);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_CALIBRATE_H_
