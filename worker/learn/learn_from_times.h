// An architecture's vector from whatever is known of its speed, with its
// uncertainty and what is wrong with the evidence.
//
//   min_M  Σ_p w_p (MᵀG_pM − 2Mᵀb_p) + Σ_k (S_k·M − T_k)²/(σ_k T_k)²
//          + (M/s − μ)ᵀ Σ⁻¹ (M/s − μ)
//
// p programs with per-instruction evidence, k totals of runs or intervals with
// S_k the sum of their representations. σ_k² is the measurement's variance plus
// σ², the model's own error of a total, common to all and chosen between those
// of kNoises by the marginal likelihood. s is the scale, μ and Σ are fitted to
// the known architectures: belief.h. docs/learning.md says it for users.
//
// Pure functions on plain data; any thread. Times in any unit, the same
// throughout. INVALID_ARGUMENT names the program whose evidence makes no sense;
// what is thin or contradictory is learned from and told in `warnings`.
//
//   Evidence run{"lbm@1", 1e9, {{sum, time}}};
//   ASSIGN learned = LearnFromTimes({run, ...}, known, {});
//   learned.vector;   // [H]
#ifndef PERFVEC_WORKER_LEARN_LEARN_FROM_TIMES_H_
#define PERFVEC_WORKER_LEARN_LEARN_FROM_TIMES_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace perfvec::compute {

struct Total {
  std::vector<double> sum;  // [H] S
  double time = 0;
  double noise = 0;  // relative standard deviation of the measurement
};

// What is known of one program on the new architecture.
struct Evidence {
  std::string program;  // for messages; may repeat: then runs are compared
  double instructions = 0;
  // One: the whole run. More: intervals that together are the whole.
  std::vector<Total> totals;
  // Per instruction: Σ R Rᵀ [H][H] and Σ R t [H]; empty: none.
  std::vector<double> gram, cross;
};

struct KnownVector {
  std::string name;
  std::vector<double> vector;  // [H]
};

struct LearnSettings {
  // σ that is expected of this model; the evidence decides between values
  // around it.
  double expected_noise = 0.05;
  // [k][H] orthonormal directions that the covariance is wanted of.
  std::vector<double> directions;
  // Asked before each of the solutions that the time goes to; true:
  // LearnFromTimes ends with CANCELLED.
  std::function<bool()> stop;
};

struct ProgramFit {
  double time = 0, fitted = 0, left_out = 0;
  bool set_aside = false;
};

struct LearnedVector {
  std::vector<double> vector;   // [H] M
  std::vector<double> factors;  // [k][H]: variance of S·M = Σ (factor·S)²
  std::vector<ProgramFit> programs;          // as the evidence
  double fit_error = 0, left_out_error = 0;  // means of |T̂ − T| / T
  double noise = 0;                          // σ
  double determined_directions = 0;
  double scale = 0;  // time of an instruction, mean over the evidence
  // How surprising the times are where only the known architectures are
  // expected, in standard deviations of one time: about 1 for one like them.
  double distance = 0;
  size_t nearest = 0;  // of the known; its times, times the ratio, fit best
  double nearest_ratio = 1;
  std::vector<std::string> warnings;
};

// Of all evidence together: solving takes time with the cube of their number
// (about a second at the most).
inline constexpr size_t kMaxTotals = 500;

// Whether a distance is beyond that of one known architecture in a hundred,
// each taken for new.
bool StrangeArchitecture(double distance);

absl::StatusOr<LearnedVector> LearnFromTimes(
    const std::vector<Evidence>& evidence,
    const std::vector<KnownVector>& known, const LearnSettings& settings);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_LEARN_FROM_TIMES_H_
