// The vector of an execution of which only weighted slices were recorded.
//
// With V_k the sum over slice k's n_k instructions, w_k the share of the whole
// execution's N instructions that it stands for, the whole's vector is
// sum w_k (N / n_k) V_k, and so is its time on any architecture: a stratified
// estimate with one slice a stratum.
//
// What that may be off cannot be told from one slice a stratum alone. Slices
// that resemble each other most are taken as drawn from one stratum, which
// tells too much rather than too little (collapsed strata: K. Wolter,
// "Introduction to Variance Estimation", 2nd ed., section 2.5; W. Cochran,
// "Sampling Techniques", 3rd ed., section 5A.12): for groups g of m slices,
//
//   Var(T) = (1 - n/N) sum_g m/(m-1) sum_{k in g} (N w_k (c_k - c_g))^2,
//
// c_k the time of an instruction in slice k, c_g the group's weighted mean. It
// is a quadratic form of the architecture's vector, kept as its factors.
//
//   auto whole = WeighSlices({{0.7, 10000, sum_a}, {0.3, 10000, sum_b}}, 1e9);
//
// Pure function; any thread.
#ifndef PERFVEC_WORKER_REPRESENT_SLICE_WEIGHTS_H_
#define PERFVEC_WORKER_REPRESENT_SLICE_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace perfvec::compute {

// Slices that stand for something; so the factors are at most half as many.
inline constexpr size_t kMaxWeightedSlices = 120;

struct SliceSum {
  double weight = 0;          // 0: it only warms up what follows
  uint64_t instructions = 0;  // recorded
  std::vector<double> sum;    // [width]
};

struct SlicedVector {
  std::vector<double> vector;  // [width]
  std::vector<double> scales;  // of each slice's sum in it
  // [rows][width]: the variance of the time on an architecture M is
  // sum (row . M)^2. Empty: the slices are the whole, or there is only one.
  std::vector<double> sampling_factors;
};

// w_k (N / n_k) of each slice. INVALID_ARGUMENT: weights that do not add up to
// 1 within 2 %, a slice without instructions, more instructions in the slices
// than in the whole, too many slices. Weights are divided by their sum.
absl::StatusOr<std::vector<double>> SliceScales(
    const std::vector<double>& weights,
    const std::vector<uint64_t>& instructions, uint64_t whole_instructions);

absl::StatusOr<SlicedVector> WeighSlices(const std::vector<SliceSum>& slices,
                                         uint64_t whole_instructions);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_SLICE_WEIGHTS_H_
