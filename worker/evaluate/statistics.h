// The few statistics of an evaluation, each defined here once.
//
// Pure functions, any thread; an empty input gives NaN.
//
//   Average(errors); Percentile(errors, 95);
//   Interval i = BootstrapMean(program_means, 2000, seed);
#ifndef PERFVEC_WORKER_EVALUATE_STATISTICS_H_
#define PERFVEC_WORKER_EVALUATE_STATISTICS_H_

#include <cstdint>
#include <vector>

namespace perfvec::train {

double Average(const std::vector<double>& values);
double Max(const std::vector<double>& values);
// Nearest rank: the least value that `percent` % of the values do not exceed.
double Percentile(std::vector<double> values, double percent);

struct Interval {
  double low = 0, high = 0;
};
// The 95 % percentile interval of the mean when values are drawn again with
// replacement, `resamples` times. NaN for fewer than two values.
Interval BootstrapMean(const std::vector<double>& values, int resamples,
                       uint64_t seed);

// Kendall's tau-b and Spearman's rho, ties by mean rank. NaN if one side is
// constant.
double KendallTau(const std::vector<double>& x, const std::vector<double>& y);
double SpearmanRho(const std::vector<double>& x, const std::vector<double>& y);

// By how much the candidate with the least `predicted` is slower than the
// fastest: time / least time - 1.
double ChoiceLoss(const std::vector<double>& predicted,
                  const std::vector<double>& time);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_STATISTICS_H_
