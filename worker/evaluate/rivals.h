// What simple methods make of the same programs, to compare the model with.
//
// All are fitted on the training programs only, from times per instruction and
// aggregate features; none uses the network.
//   mean-cpi    geometric mean time per instruction of each architecture (the
//               arithmetic mean errs more)
//   scaled      the program's time on one machine × the geometric mean of the
//               architecture's ratio to it
//   regression  ridge regression of log time per instruction on the program's
//               means of log2(1 + feature); the ridge by leaving one program
//               out
//   completion  low rank plus noise as the covariance of log times over
//               architectures; the program's times on three machines given,
//               the others are its conditional mean. Machines (the first is the
//               one of `scaled`) and rank by leaving programs out
// Times of an architecture may be known for few training programs only (one
// that is learned); each method then uses those.
//
// Immutable after Fit; any thread.
//
//   ASSIGN rivals = Rivals::Fit(training, reference);
//   rivals.Predict(kCompletion, features, log_times)[architecture];
#ifndef PERFVEC_WORKER_EVALUATE_RIVALS_H_
#define PERFVEC_WORKER_EVALUATE_RIVALS_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace perfvec::train {

enum Rival { kMeanCpi, kScaled, kRegression, kCompletion };
inline constexpr int kRivals = 4;
std::string_view RivalName(int rival);

// log_times: of time per instruction, [architectures], NaN where not known.
struct RivalProgram {
  std::vector<double> features;
  std::vector<double> log_times;
};

class Rivals {
 public:
  // `reference`: the architecture that `scaled` measures on, known for every
  // program. INVALID_ARGUMENT for fewer than three programs, or an
  // architecture no program knows.
  static absl::StatusOr<Rivals> Fit(const std::vector<RivalProgram>& training,
                                    size_t reference);

  // Predicted log times [architectures]; NaN for architectures whose times the
  // method was given. Uses program.log_times at Given(rival) only.
  std::vector<double> Predict(Rival rival, const RivalProgram& program) const;
  // The architectures a new program's times are needed on.
  std::vector<size_t> Given(Rival rival) const;

  double ridge() const { return ridge_; }
  int rank() const { return rank_; }

 private:
  void FitRegression(const std::vector<RivalProgram>& training);
  void FitCompletion(const std::vector<RivalProgram>& training);

  size_t architectures_ = 0, reference_ = 0;
  std::vector<double> mean_log_;   // of time per instruction
  std::vector<double> log_ratio_;  // to the reference

  std::vector<double> feature_mean_, feature_deviation_;
  std::vector<double> weights_;  // [architectures][features + 1]
  double ridge_ = 0;

  std::vector<size_t> given_;
  std::vector<double> log_mean_;  // [architectures]
  std::vector<double> loadings_;  // [architectures][rank]
  double noise_ = 0;
  int rank_ = 0;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_RIVALS_H_
