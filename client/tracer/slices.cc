#include "client/tracer/slices.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::tracer {
namespace {

using Point = std::vector<double>;

// splitmix64: a number for each (seed, block, dimension) without a table.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Uniform in [-1, 1).
double Coefficient(uint64_t seed, uint64_t block, int dimension) {
  const uint64_t bits = Mix(Mix(seed ^ Mix(block)) + dimension);
  return static_cast<double>(bits >> 11) * 0x1p-52 - 1;
}

std::vector<Point> Project(const std::vector<BlockVector>& vectors,
                           const SliceOptions& options) {
  std::vector<Point> points;
  for (const BlockVector& vector : vectors) {
    double sum = 0;
    for (const auto& [block, count] : vector) sum += count;
    Point point(options.dimensions);
    for (const auto& [block, count] : vector) {
      for (int d = 0; d < options.dimensions && sum > 0; ++d) {
        point[d] += count / sum * Coefficient(options.seed, block, d);
      }
    }
    points.push_back(std::move(point));
  }
  return points;
}

double SquaredDistance(const Point& a, const Point& b) {
  double sum = 0;
  for (size_t d = 0; d < a.size(); ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

struct Clustering {
  std::vector<Point> centres;
  std::vector<int> cluster;  // of each point
  double squared_error = std::numeric_limits<double>::infinity();
};

// Lloyd's algorithm from centres chosen as in k-means++.
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

absl::Status WriteText(const std::string& path, const std::string& text) {
  auto sink = trace::CreateFileSink(path);
  if (!sink.ok()) return sink.status();
  absl::Status status = (*sink)->Write(text);
  return status.ok() ? (*sink)->Close() : status;
}

// Lines of two numbers, the second an own one: by the second.
absl::StatusOr<std::map<uint64_t, double>> ReadPairs(const std::string& path,
                                                     double most) {
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  std::map<uint64_t, double> pairs;
  std::string line;
  for (uint64_t number = 1; std::getline(file, line); ++number) {
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (parts.empty()) continue;
    double value;
    uint64_t key;
    if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &value) ||
        !(value >= 0 && value <= most) || !absl::SimpleAtoi(parts[1], &key) ||
        !pairs.emplace(key, value).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ", line ", number, ": expected a number up to ", most,
          " and that of its cluster, which no other line has; found '",
          line.substr(0, 60), "'"));
    }
  }
  return pairs;
}

}  // namespace

SliceChoice ChooseSlices(const std::vector<BlockVector>& vectors,
                         const SliceOptions& options) {
  const std::vector<Point> points = Project(vectors, options);
  SliceChoice choice;
  if (points.empty()) return choice;
  std::vector<Clustering> best;
  std::vector<double> bic;
  // A cluster for each interval would explain all and choose nothing.
  const int most = std::clamp<int64_t>(
      options.most, 1, static_cast<int64_t>(points.size() + 1) / 2);
  for (int k = 1; k <= most; ++k) {
    Clustering least;
    for (int i = 0; i < std::max(options.restarts, 1); ++i) {
      Clustering c = KMeans(points, k, Mix(options.seed + 1000 * k + i));
      if (c.squared_error < least.squared_error) least = std::move(c);
    }
    best.push_back(std::move(least));
    // Intervals that repeat exactly would have a likelihood without bound: a
    // thousandth of the spread counts as alike.
    const double floor =
        1e-3 * best[0].squared_error / (points.size() * points[0].size());
    bic.push_back(Bic(points, best.back(), std::max(floor, 1e-30)));
  }
  const auto [low, high] = std::minmax_element(bic.begin(), bic.end());
  size_t chosen = 0;
  while (bic[chosen] < *low + options.bic_share * (*high - *low)) ++chosen;
  const Clustering& clusters = best[chosen];

  double from_slice = 0;
  for (size_t j = 0; j < clusters.centres.size(); ++j) {
    SliceChoice::Representative slice;
    double least = std::numeric_limits<double>::infinity();
    uint64_t size = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      if (clusters.cluster[i] != static_cast<int>(j)) continue;
      ++size;
      const double distance = SquaredDistance(points[i], clusters.centres[j]);
      if (distance < least) {
        least = distance;
        slice.interval = i;
      }
    }
    if (size == 0) continue;
    for (size_t i = 0; i < points.size(); ++i) {
      if (clusters.cluster[i] == static_cast<int>(j)) {
        from_slice += SquaredDistance(points[i], points[slice.interval]);
      }
    }
    slice.weight = static_cast<double>(size) / points.size();
    choice.slices.push_back(slice);
  }
  std::sort(
      choice.slices.begin(), choice.slices.end(),
      [](const auto& a, const auto& b) { return a.interval < b.interval; });
  const double whole = best[0].squared_error;
  choice.unexplained = whole > 0 ? from_slice / whole : 0;
  return choice;
}

absl::Status WriteSlices(const std::string& base, const SliceChoice& choice) {
  std::string simpoints, weights;
  for (size_t i = 0; i < choice.slices.size(); ++i) {
    absl::StrAppend(&simpoints, choice.slices[i].interval, " ", i, "\n");
    absl::StrAppend(&weights, choice.slices[i].weight, " ", i, "\n");
  }
  absl::Status status = WriteText(absl::StrCat(base, ".simpoints"), simpoints);
  if (!status.ok()) return status;
  return WriteText(absl::StrCat(base, ".weights"), weights);
}

absl::StatusOr<std::vector<Slice>> ReadSlices(const std::string& base,
                                              uint64_t interval,
                                              uint64_t warm_up) {
  const std::string simpoints = absl::StrCat(base, ".simpoints");
  constexpr double kMostInterval = 1e9;
  if (interval == 0 || interval > uint64_t{1} << 32) {
    return absl::InvalidArgumentError(
        absl::StrCat("an interval should have from 1 to 2^32 instructions, ",
                     "found ", interval));
  }
  auto places = ReadPairs(simpoints, kMostInterval);
  if (!places.ok()) return places.status();
  auto weights = ReadPairs(absl::StrCat(base, ".weights"), 1);
  if (!weights.ok()) return weights.status();
  std::map<uint64_t, double> by_interval;
  for (const auto& [cluster, place] : *places) {
    const auto weight = weights->find(cluster);
    const bool whole = place == std::floor(place);
    if (weight == weights->end() || !whole ||
        !by_interval.emplace(static_cast<uint64_t>(place), weight->second)
             .second) {
      return absl::InvalidArgumentError(absl::StrCat(
          simpoints, ": cluster ", cluster,
          weight == weights->end() ? " has no line in the .weights file"
                                   : " has no interval of its own"));
    }
  }
  if (by_interval.empty() || weights->size() != places->size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(simpoints, ": ", places->size(), " slices, but ",
                     weights->size(), " weights"));
  }
  std::vector<Slice> slices;
  uint64_t end = 0;
  for (const auto& [number, weight] : by_interval) {
    const uint64_t begin = number * interval;
    const uint64_t warm = std::max(end, begin - std::min(begin, warm_up));
    if (warm < begin) {
      slices.push_back({warm, begin, absl::StrCat("warm-up at ", warm), 0});
    }
    end = begin + interval;
    slices.push_back({begin, end, absl::StrCat("at ", begin), weight});
  }
  return slices;
}

}  // namespace perfvec::tracer
