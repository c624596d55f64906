// Completing a table of log times, programs by architectures, by a low-rank
// model: the strongest of the simple rivals.
//
// Rows are programs. Over architectures their covariance is W Wᵀ + δ I with W
// [A][rank], the principal components; a new program's times on a few machines
// give the others as the conditional mean (a Gaussian's). Columns that only
// some rows know get their mean and loadings from those rows, with the other
// columns' as the prior.
//
// Pure functions; any thread.
//
//   LowRank fit = FitLowRank(table, reference);
//   std::vector<double> row = Complete(fit, log_times);
#ifndef PERFVEC_WORKER_EVALUATE_LOW_RANK_H_
#define PERFVEC_WORKER_EVALUATE_LOW_RANK_H_

#include <cstddef>
#include <vector>

namespace perfvec::train {

struct LogTimeTable {
  size_t columns = 0;
  std::vector<std::vector<double>> rows;  // NaN: not known
};

struct LowRank {
  std::vector<size_t> given;  // columns that Complete reads
  int rank = 0;
  std::vector<double> mean;      // [columns]
  std::vector<double> loadings;  // [columns][rank]
  double noise = 0;              // δ
};

inline constexpr size_t kGivenMachines = 3;
inline constexpr int kMaxCompletionRank = 12;

// The given columns (`reference` first, the others greedily) and the rank are
// those with the least squared error on rows left out of the fit, in five
// folds. `reference` is a column that every row knows.
LowRank FitLowRank(const LogTimeTable& table, size_t reference);

// The conditional mean of all columns from row[fit.given].
std::vector<double> Complete(const LowRank& fit,
                             const std::vector<double>& row);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_LOW_RANK_H_
