// The errors of a model on one split, and their summaries.
//
// A cell is one (program, architecture): |T̂ − T| / T of total time over the
// split's range of the program, and the same over parts of it. Summaries take
// every program alike.
//
//   std::vector<Cell> cells = CellsOf(sums, range, whole, vectors, ...);
//   Summary all = Summarise(cells, options);
//
// Plain data and pure functions. Times in 0.1 ns.
#ifndef PERFVEC_WORKER_EVALUATE_ERRORS_H_
#define PERFVEC_WORKER_EVALUATE_ERRORS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/program_sums.h"
#include "worker/evaluate/statistics.h"

namespace perfvec::train {

struct TimePair {
  double time = 0, predicted = 0;
  double error() const;  // |predicted - time| / time
};

struct Cell {
  size_t program = 0, architecture = 0;  // the caller's numbers
  TimePair headline;                     // the split's range
  TimePair whole;                        // the whole trace; time 0: not asked
  std::array<TimePair, kInstructionKinds> kinds;  // of the range
  std::vector<double> interval_errors;  // of whole intervals of the range

  TimePair Part(KindSet set) const;
};

// One architecture to predict: its column of the program's times, the caller's
// number and its vector.
struct Target {
  size_t column = 0, architecture = 0;
  const double* vector = nullptr;  // [width]
};

// `range` and its steps of `interval` must be cuts of the sums.
// INVALID_ARGUMENT if a simulated time is 0 or a prediction not finite.
absl::StatusOr<std::vector<Cell>> CellsOf(const ProgramSums& sums, Range range,
                                          size_t interval, bool whole,
                                          size_t program,
                                          const std::vector<Target>& targets);

// Of all cells of one program.
struct ProgramErrors {
  size_t program = 0;
  double mean = 0, p95 = 0, max = 0;
  double whole_mean = 0;  // NaN: not asked
  // Error of the time of cold accesses and of the rest, each relative to its
  // own time; cold only where it is 1 % of the time or more (NaN: nowhere).
  double cold_mean = 0, rest_mean = 0, cold_share = 0;
  double interval_mean = 0, interval_p95 = 0;
  double choice_loss = 0, kendall = 0, spearman = 0;
};

struct Summary {
  size_t programs = 0, cells = 0;
  double mean = 0, p95 = 0, max = 0;  // p95 and max over cells
  Interval mean_interval;             // bootstrap over programs
  double worst_program_mean = 0;
  double whole_mean = 0, cold_mean = 0, rest_mean = 0, cold_share = 0;
  double interval_mean = 0, interval_p95 = 0;  // p95 over all intervals
  double choice_loss_mean = 0, choice_loss_max = 0;
  double kendall = 0, spearman = 0;
};

struct SummaryOptions {
  int resamples = 2000;
  uint64_t seed = 1;
};

// Cells of a program stand together, as CellsOf gives them.
std::vector<ProgramErrors> ByProgram(const std::vector<Cell>& cells);
Summary Summarise(const std::vector<Cell>& cells,
                  const SummaryOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_ERRORS_H_
