#include "worker/learn/cluster.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace perfvec::compute {
namespace {

// splitmix64: a number for each (seed, block, dimension) without a table.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// D. Pelleg and A. Moore, "X-means", ICML 2000: the log-likelihood of a
// mixture of spherical normals less half a log(R) for each parameter.
double Bic(const std::vector<Point>& points, const Clustering& c,
           double least_variance) {
  const double r = points.size(), k = c.centres.size();
  const double m = points[0].size();
  const double variance =
      std::max(c.squared_error / (m * std::max(r - k, 1.0)), least_variance);
  std::vector<double> sizes(c.centres.size());
  for (const int j : c.cluster) ++sizes[j];
  double likelihood = -r * m / 2 * std::log(2 * M_PI * variance) -
                      c.squared_error / (2 * variance);
  for (const double n : sizes) {
    if (n > 0) likelihood += n * std::log(n / r);
  }
  return likelihood - (k - 1 + k * m + 1) / 2 * std::log(r);
}

}  // namespace

double ProjectionWeight(uint64_t seed, uint64_t coordinate, int dimension) {
  const uint64_t bits = Mix(Mix(seed ^ Mix(coordinate)) + dimension);
  return static_cast<double>(bits >> 11) * 0x1p-52 - 1;
}

double SquaredDistance(const Point& a, const Point& b) {
  double sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

Clustering KMeans(const std::vector<Point>& points, int k, uint64_t seed) {
  constexpr int kMostRounds = 100;
  std::mt19937_64 random(seed);
  auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  Clustering c;
  std::vector<double> nearest(points.size(),
                              std::numeric_limits<double>::infinity());
  size_t next = static_cast<size_t>(unit() * points.size());
  while (static_cast<int>(c.centres.size()) < k) {
    c.centres.push_back(points[next]);
    double sum = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      nearest[i] =
          std::min(nearest[i], SquaredDistance(points[i], c.centres.back()));
      sum += nearest[i];
    }
    double left = unit() * sum;
    next = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      if (nearest[i] == 0) continue;
      next = i;
      if ((left -= nearest[i]) < 0) break;
    }
  }
  c.cluster.assign(points.size(), -1);
  for (int round = 0; round < kMostRounds; ++round) {
    bool moved = false;
    c.squared_error = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      int best = 0;
      double least = std::numeric_limits<double>::infinity();
      for (int j = 0; j < k; ++j) {
        const double distance = SquaredDistance(points[i], c.centres[j]);
        if (distance < least) {
          least = distance;
          best = j;
        }
      }
      moved |= c.cluster[i] != best;
      c.cluster[i] = best;
      c.squared_error += least;
    }
    if (!moved) break;
    std::vector<Point> sums(k, Point(points[0].size()));
    std::vector<double> sizes(k);
    for (size_t i = 0; i < points.size(); ++i) {
      for (size_t d = 0; d < points[i].size(); ++d) {
        sums[c.cluster[i]][d] += points[i][d];
      }
      ++sizes[c.cluster[i]];
    }
    for (int j = 0; j < k; ++j) {
      if (sizes[j] == 0) continue;  // keeps its centre
      for (double& v : sums[j]) v /= sizes[j];
      c.centres[j] = std::move(sums[j]);
    }
  }
  return c;
}

ClusterChoice ChooseClusters(const std::vector<Point>& points,
                             const ClusterOptions& options) {
  std::vector<Clustering> best;
  std::vector<double> bic;
  ClusterChoice choice;
  choice.whole_squared_error = KMeans(points, 1, options.seed).squared_error;
  // Points that repeat exactly would have a likelihood without bound: a
  // thousandth of the spread counts as alike.
  const double floor =
      1e-3 * choice.whole_squared_error / (points.size() * points[0].size());
  for (int k = options.least; k <= std::max(options.least, options.most); ++k) {
    Clustering least;
    for (int i = 0; i < std::max(options.restarts, 1); ++i) {
      Clustering c = KMeans(points, k, Mix(options.seed + 1000 * k + i));
      if (c.squared_error < least.squared_error) least = std::move(c);
    }
    best.push_back(std::move(least));
    bic.push_back(Bic(points, best.back(), std::max(floor, 1e-30)));
  }
  const auto [low, high] = std::minmax_element(bic.begin(), bic.end());
  size_t chosen = 0;
  while (bic[chosen] < *low + options.bic_share * (*high - *low)) ++chosen;
  choice.clusters = std::move(best[chosen]);
  return choice;
}

}  // namespace perfvec::compute
