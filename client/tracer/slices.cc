#include "client/tracer/slices.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/learn/cluster.h"

namespace perfvec::tracer {
namespace {

using compute::Point;
using compute::SquaredDistance;

std::vector<Point> Project(const std::vector<BlockVector>& vectors,
                           const SliceOptions& options) {
  std::vector<Point> points;
  for (const BlockVector& vector : vectors) {
    double sum = 0;
    for (const auto& [block, count] : vector) sum += count;
    Point point(options.dimensions);
    for (const auto& [block, count] : vector) {
      for (int d = 0; d < options.dimensions && sum > 0; ++d) {
        point[d] +=
            count / sum * compute::ProjectionWeight(options.seed, block, d);
      }
    }
    points.push_back(std::move(point));
  }
  return points;
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
  compute::ClusterOptions clustering;
  // A cluster for each interval would explain all and choose nothing.
  clustering.most = std::clamp<int64_t>(
      options.most, 1, static_cast<int64_t>(points.size() + 1) / 2);
  clustering.restarts = options.restarts;
  clustering.bic_share = options.bic_share;
  clustering.seed = options.seed;
  const compute::ClusterChoice chosen =
      compute::ChooseClusters(points, clustering);
  const compute::Clustering& clusters = chosen.clusters;

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
  const double whole = chosen.whole_squared_error;
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
