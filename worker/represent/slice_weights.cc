#include "worker/represent/slice_weights.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::compute {
namespace {

double SquaredDistance(const std::vector<double>& a,
                       const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// Pairs, the closest first; the one left over joins its nearest.
std::vector<std::vector<size_t>> GroupNearest(
    const std::vector<std::vector<double>>& points) {
  std::vector<std::vector<size_t>> groups;
  std::vector<bool> taken(points.size());
  for (size_t left = points.size(); left > 1; left -= 2) {
    double least = std::numeric_limits<double>::infinity();
    size_t a = 0, b = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      for (size_t j = i + 1; j < points.size(); ++j) {
        if (taken[i] || taken[j]) continue;
        const double distance = SquaredDistance(points[i], points[j]);
        if (distance < least) least = distance, a = i, b = j;
      }
    }
    taken[a] = taken[b] = true;
    groups.push_back({a, b});
  }
  for (size_t i = 0; i < points.size() && !groups.empty(); ++i) {
    if (taken[i]) continue;
    double least = std::numeric_limits<double>::infinity();
    size_t nearest = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const size_t j : groups[g]) {
        const double distance = SquaredDistance(points[i], points[j]);
        if (distance < least) least = distance, nearest = g;
      }
    }
    groups[nearest].push_back(i);
  }
  return groups;
}

}  // namespace

absl::StatusOr<std::vector<double>> SliceScales(
    const std::vector<double>& weights,
    const std::vector<uint64_t>& instructions, uint64_t whole_instructions) {
  double sum = 0, recorded = 0;
  size_t weighted = 0;
  for (size_t k = 0; k < weights.size(); ++k) {
    if (!(weights[k] >= 0 && weights[k] <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "slice ", k, ": expected a weight from 0 to 1, found ", weights[k]));
    }
    if (weights[k] == 0) continue;
    if (instructions[k] == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("slice ", k, " stands for ", 100 * weights[k],
                       " % of the execution, but has no instructions"));
    }
    ++weighted;
    sum += weights[k];
    recorded += static_cast<double>(instructions[k]);
  }
  if (weighted == 0 || std::fabs(sum - 1) > 0.02) {
    return absl::InvalidArgumentError(
        absl::StrCat("the weights of the ", weighted, " slices add up to ", sum,
                     ", expected 1: slices are missing or were cut"));
  }
  if (weighted > kMaxWeightedSlices) {
    return absl::InvalidArgumentError(absl::StrCat(
        weighted, " weighted slices; expected at most ", kMaxWeightedSlices));
  }
  const double whole = static_cast<double>(whole_instructions);
  if (whole < recorded * 0.99) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the slices have ", recorded, " instructions, but the whole execution ",
        whole_instructions));
  }
  std::vector<double> scales(weights.size());
  for (size_t k = 0; k < weights.size(); ++k) {
    if (weights[k] == 0) continue;
    scales[k] = weights[k] / sum * whole / static_cast<double>(instructions[k]);
  }
  return scales;
}

absl::StatusOr<SlicedVector> WeighSlices(const std::vector<SliceSum>& slices,
                                         uint64_t whole_instructions) {
  std::vector<double> weights;
  std::vector<uint64_t> instructions;
  for (const SliceSum& slice : slices) {
    weights.push_back(slice.weight);
    instructions.push_back(slice.instructions);
  }
  absl::StatusOr<std::vector<double>> scales =
      SliceScales(weights, instructions, whole_instructions);
  if (!scales.ok()) return scales.status();
  SlicedVector out;
  out.scales = *std::move(scales);
  const size_t width = slices[0].sum.size();
  out.vector.resize(width);
  // N w_k, and the representation of an average instruction.
  std::vector<double> sizes;
  std::vector<std::vector<double>> means;
  double recorded = 0;
  for (size_t k = 0; k < slices.size(); ++k) {
    if (slices[k].weight == 0) continue;
    if (slices[k].sum.size() != width) {
      return absl::InvalidArgumentError(
          absl::StrCat("slice ", k, ": expected a vector of ", width,
                       " elements, found ", slices[k].sum.size()));
    }
    const double n = static_cast<double>(slices[k].instructions);
    recorded += n;
    sizes.push_back(out.scales[k] * n);
    means.push_back(slices[k].sum);
    for (size_t i = 0; i < width; ++i) {
      out.vector[i] += out.scales[k] * slices[k].sum[i];
      means.back()[i] /= n;
    }
  }
  const double not_seen =
      1 - recorded / static_cast<double>(whole_instructions);
  if (not_seen <= 0) return out;
  for (const std::vector<size_t>& group : GroupNearest(means)) {
    const double m = static_cast<double>(group.size());
    double size = 0;
    std::vector<double> mean(width);
    for (const size_t k : group) {
      size += sizes[k];
      for (size_t i = 0; i < width; ++i) mean[i] += sizes[k] * means[k][i];
    }
    for (double& value : mean) value /= size;
    // Two deviations of a pair lie on one line: one row has both.
    const bool pair = group.size() == 2;
    for (size_t j = 0; j < (pair ? 1 : group.size()); ++j) {
      const size_t k = group[j];
      const double times = std::sqrt((pair ? 2 : 1) * not_seen * m / (m - 1));
      for (size_t i = 0; i < width; ++i) {
        out.sampling_factors.push_back(times * sizes[k] *
                                       (means[k][i] - mean[i]));
      }
    }
  }
  return out;
}

}  // namespace perfvec::compute
