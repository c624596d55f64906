// The interval around a predicted time, from the calibration of its model and
// what is known of the two vectors: docs/prediction.md, Intervals.
//
// Immutable; any thread. Borrows the model.
//
//   ASSIGN intervals = Intervals::Make(model, /*confidence=*/0);
//   if (intervals.known()) {
//     double f = intervals.Factor(*program, *architecture, time_tenth_ns);
//     Use(time / f, time * f);
//   }
#ifndef PERFVEC_SERVER_PREDICTOR_INTERVALS_H_
#define PERFVEC_SERVER_PREDICTOR_INTERVALS_H_

#include "absl/status/statusor.h"
#include "server/predictor/state.h"

namespace perfvec::server {

// Of intervals where the request names none.
inline constexpr double kDefaultConfidence = 0.9;
// What the programs left out of a training can tell.
inline constexpr double kMaxConfidence = 0.99;

class Intervals {
 public:
  // `confidence`: above 0 and up to kMaxConfidence, 0: kDefaultConfidence; else
  // INVALID_ARGUMENT.
  static absl::StatusOr<Intervals> Make(const Model& model, double confidence);

  // Whether the model is calibrated: if not, there are none.
  bool known() const { return model_->calibration != nullptr; }
  double confidence() const { return confidence_; }
  // That many standard deviations of a normal distribution hold it. Needs
  // known().
  double z() const { return z_; }

  // What the time is divided by and multiplied with. Needs known().
  double Factor(const ItemVector& program, const ItemVector& architecture,
                double time_tenth_ns) const;
  // If it does not depend on the program's time: of trained architectures, and
  // but for programs of weighted slices.
  double TrainedFactor(const ItemVector& program) const;
  // Of a program of weighted slices: the standard deviation of log time that
  // comes from having seen the slices only. Of others 0.
  double SamplingError(const ItemVector& program,
                       const ItemVector& architecture,
                       double time_tenth_ns) const;

 private:
  Intervals(const Model* model, double confidence)
      : model_(model), confidence_(confidence) {}

  const Model* model_;
  double confidence_;
  double quantile_ = 0;  // of the calibration
  double z_ = 0;         // of the normal distribution
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_INTERVALS_H_
