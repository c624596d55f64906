#include "worker/evaluate/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace perfvec::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

int Sign(double d) { return (d > 0) - (d < 0); }

std::vector<double> Ranks(const std::vector<double>& x) {
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return x[a] < x[b]; });
  std::vector<double> ranks(x.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && x[order[end]] == x[order[i]]) ++end;
    for (size_t k = i; k < end; ++k) ranks[order[k]] = (i + end - 1) / 2.0;
    i = end;
  }
  return ranks;
}

}  // namespace

double Average(const std::vector<double>& v) {
  if (v.empty()) return kNan;
  return std::accumulate(v.begin(), v.end(), 0.0) / v.size();
}

double Max(const std::vector<double>& v) {
  return v.empty() ? kNan : *std::max_element(v.begin(), v.end());
}

double Percentile(std::vector<double> v, double percent) {
  if (v.empty()) return kNan;
  const double rank = std::ceil(percent / 100 * v.size());
  const size_t at = std::min(v.size() - 1, rank < 1 ? 0 : size_t(rank) - 1);
  std::nth_element(v.begin(), v.begin() + at, v.end());
  return v[at];
}

Interval BootstrapMean(const std::vector<double>& values, int resamples,
                       uint64_t seed) {
  if (values.size() < 2) return {kNan, kNan};
  std::mt19937_64 random(seed);
  std::vector<double> means;
  for (int i = 0; i < resamples; ++i) {
    double sum = 0;
    for (size_t k = 0; k < values.size(); ++k) {
      // Not std::uniform_int_distribution, whose results a library may choose.
      sum += values[random() % values.size()];
    }
    means.push_back(sum / values.size());
  }
  return {Percentile(means, 2.5), Percentile(means, 97.5)};
}

double KendallTau(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0, distinct_x = 0, distinct_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int a = Sign(x[i] - x[j]), b = Sign(y[i] - y[j]);
      sum += a * b;
      distinct_x += a != 0;
      distinct_y += b != 0;
    }
  }
  const double norm = std::sqrt(distinct_x * distinct_y);
  return norm > 0 ? sum / norm : kNan;
}

double SpearmanRho(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> a = Ranks(x), b = Ranks(y);
  const double mean = (x.size() - 1.0) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) * (a[i] - mean);
    bb += (b[i] - mean) * (b[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNan;
}

double ChoiceLoss(const std::vector<double>& predicted,
                  const std::vector<double>& time) {
  if (predicted.empty()) return kNan;
  const size_t chosen =
      std::min_element(predicted.begin(), predicted.end()) - predicted.begin();
  return time[chosen] / *std::min_element(time.begin(), time.end()) - 1;
}

}  // namespace perfvec::train
