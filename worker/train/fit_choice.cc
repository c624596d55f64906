#include "worker/train/fit_choice.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>

namespace perfvec::train {
namespace {

constexpr int kFolds = 5;
constexpr double kIntervals[] = {100, 1e3, 1e4, 1e5};
constexpr double kPriors[] = {0.1, 1, 10, 100};

// Sum of representations, [H], and time on one architecture.
std::vector<double> Sum(const ProgramEvidence& e, int h) {
  std::vector<double> sum(h);
  for (size_t i = 0; i < e.interval_sums.size(); ++i) {
    sum[i % h] += e.interval_sums[i];
  }
  return sum;
}

double Time(const ProgramEvidence& e, int column, int a) {
  double time = 0;
  for (size_t i = column; i < e.interval_times.size(); i += a) {
    time += e.interval_times[i];
  }
  return time;
}

// Mean error, each program alike, of each pair of weights.
class Tally {
 public:
  explicit Tally(size_t programs)
      : error_(programs * Choices().size()), count_(programs) {}

  static const std::vector<FitWeights>& Choices() {
    static const auto* const all = [] {
      auto* v = new std::vector<FitWeights>;
      for (double interval : kIntervals) {
        for (double prior : kPriors) v->push_back({interval, prior});
      }
      return v;
    }();
    return *all;
  }

  void Add(size_t program, size_t choice, double error) {
    error_[program * Choices().size() + choice] += error;
    if (choice == 0) ++count_[program];
  }

  double Mean(size_t choice) const {
    double sum = 0;
    int programs = 0;
    for (size_t p = 0; p < count_.size(); ++p) {
      if (count_[p] == 0) continue;
      sum += error_[p * Choices().size() + choice] / count_[p];
      ++programs;
    }
    return sum / std::max(1, programs);
  }

 private:
  std::vector<double> error_;  // [program][choice]
  std::vector<int> count_;
};

}  // namespace

std::vector<double> TimeErrors(const ProgramEvidence& e,
                               const std::vector<double>& table, int h, int a) {
  const std::vector<double> sum = Sum(e, h);
  std::vector<double> errors;
  for (int j = 0; j < a; ++j) {
    const double time = Time(e, j, a);
    if (!(time > 0)) continue;
    const double predicted =
        std::inner_product(sum.begin(), sum.end(), &table[size_t(j) * h], 0.0);
    errors.push_back(std::abs(predicted - time) / time);
  }
  return errors;
}

double Mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / v.size();
}

absl::StatusOr<FitWeights> ChooseWeights(
    const std::vector<Evaluated>& training,
    const std::vector<Evaluated>& validation, int h, int a,
    const std::vector<double>& initial) {
  std::set<std::string> names;
  for (const Evaluated& p : training) names.insert(p.family);
  const std::vector<std::string> families(names.begin(), names.end());
  const int folds = validation.empty() ? kFolds : 1;
  const auto fold = [&](const Evaluated& p) {
    return (std::find(families.begin(), families.end(), p.family) -
            families.begin()) %
           folds;
  };
  const std::vector<Evaluated>& judges =
      validation.empty() ? training : validation;
  std::vector<std::vector<double>> sums;
  for (const Evaluated& p : judges) sums.push_back(Sum(p.evidence, h));

  const std::vector<FitWeights>& choices = Tally::Choices();
  Tally tally(judges.size());
  for (int j = 0; j < a; ++j) {
    std::vector<ArchitectureSums> of_fold(folds, ArchitectureSums(h));
    for (const Evaluated& p : training) of_fold[fold(p)].Add(p.evidence, j, a);
    for (int f = 0; f < folds; ++f) {
      ArchitectureSums rest(h);
      for (int g = 0; g < folds; ++g) {
        if (g != f || folds == 1) rest.Add(of_fold[g]);
      }
      if (rest.empty()) continue;
      for (size_t c = 0; c < choices.size(); ++c) {
        auto vector = rest.Solve(choices[c], &initial[size_t(j) * h]);
        if (!vector.ok()) return vector.status();
        for (size_t p = 0; p < judges.size(); ++p) {
          const double time = Time(judges[p].evidence, j, a);
          if (!(time > 0) || (folds > 1 && fold(judges[p]) != f)) continue;
          const double predicted = std::inner_product(
              sums[p].begin(), sums[p].end(), vector->begin(), 0.0);
          tally.Add(p, c, std::abs(predicted - time) / time);
        }
      }
    }
  }
  size_t best = 0;
  for (size_t c = 1; c < choices.size(); ++c) {
    if (tally.Mean(c) < tally.Mean(best)) best = c;
  }
  std::fprintf(stderr,
               "architecture vectors: error on families left out of the fit "
               "%.4f with interval weight %g, prior %g\n",
               tally.Mean(best), choices[best].interval, choices[best].prior);
  return choices[best];
}

}  // namespace perfvec::train
