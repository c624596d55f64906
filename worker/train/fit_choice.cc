#include "worker/train/fit_choice.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>

namespace perfvec::train {
namespace {

constexpr int kFolds = 5;

}  // namespace

std::vector<double> TimeErrors(const ProgramEvidence& e,
                               const std::vector<double>& table, int h, int a) {
  std::vector<double> sum(h), time(a), errors(a);
  const size_t intervals = e.interval_times.size() / a;
  for (size_t k = 0; k < intervals; ++k) {
    for (int i = 0; i < h; ++i) sum[i] += e.interval_sums[k * h + i];
    for (int j = 0; j < a; ++j) time[j] += e.interval_times[k * a + j];
  }
  for (int j = 0; j < a; ++j) {
    const double predicted =
        std::inner_product(sum.begin(), sum.end(), &table[size_t(j) * h], 0.0);
    errors[j] = std::abs(predicted - time[j]) / time[j];
  }
  return errors;
}

double Mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / v.size();
}

absl::StatusOr<FitWeights> ChooseWeights(const std::vector<Evaluated>& programs,
                                         int h, int a,
                                         const std::vector<double>& initial) {
  std::set<std::string> names;
  for (const Evaluated& p : programs) names.insert(p.family);
  const std::vector<std::string> families(names.begin(), names.end());
  const auto fold = [&](const Evaluated& p) {
    return (std::find(families.begin(), families.end(), p.family) -
            families.begin()) %
           kFolds;
  };
  FitWeights best;
  double best_error = INFINITY;
  for (double interval : {0.0, 0.1, 1.0, 10.0, 100.0}) {
    for (double prior : {1e-5, 1e-3, 1e-1, 10.0}) {
      for (double power : {1.0, 2.0}) {
        const FitWeights weights{interval, prior, power};
        std::vector<double> errors;
        for (int f = 0; f < kFolds; ++f) {
          std::vector<const ProgramEvidence*> training;
          for (const Evaluated& p : programs) {
            if (fold(p) != f) training.push_back(&p.evidence);
          }
          auto table = FitArchitectures(training, h, a, weights, initial);
          if (!table.ok()) return table.status();
          for (const Evaluated& p : programs) {
            if (fold(p) != f) continue;
            errors.push_back(Mean(TimeErrors(p.evidence, *table, h, a)));
          }
        }
        const double error = Mean(errors);
        if (error < best_error) {
          best_error = error;
          best = weights;
        }
      }
    }
  }
  std::fprintf(stderr,
               "architecture vectors: error on families left out of the fit "
               "%.4f with interval weight %g, prior %g, power %g\n",
               best_error, best.interval, best.prior, best.program_power);
  return best;
}

}  // namespace perfvec::train
