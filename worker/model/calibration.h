// How far predictions under a model may be off, measured on families of
// programs that it was not trained on, and which programs are too unlike the
// training set to tell. A part of the manifest, made by `perfvec-worker
// calibrate`; docs/prediction.md, Intervals, has the formulas.
//
// Distance of a program: y = log(R/n + floor), R its vector and n its
// instructions; projected on the whitened principal components of the training
// programs' y; the root mean square of the distances to the nearest of them.
//
// Plain data; const methods from any thread.
//
//   ASSIGN c = ParseCalibration(manifest.calibration_json, manifest.width);
//   double d = c.Distance(vector.data(), instructions);
//   double half_width = c.Quantile(0.9) * c.Spread(d);   // of log time
//   bool strange = c.Strange(d, c.ErrorFactor("cortex_a15_like"));
#ifndef PERFVEC_WORKER_MODEL_CALIBRATION_H_
#define PERFVEC_WORKER_MODEL_CALIBRATION_H_

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::compute {

struct Calibration {
  // Levels ascending, above 0 and below 1, and the quantiles there of
  // |log(time / predicted)| / Spread.
  std::vector<std::pair<double, double>> quantiles;
  double growth = 0;  // of the spread with the distance
  double noise = 0;   // a typical |log(time / predicted)|, as a deviation

  double floor = 1e-4;
  size_t neighbours = 3;
  double limit = 1;  // distance × error factor beyond which a time is strange
  std::vector<double> mean;        // [H]
  std::vector<double> components;  // [r][H], each over its deviation
  std::vector<double> references;  // [n][r] training programs, projected

  // By name, how much more than usual a trained architecture's times are off.
  std::map<std::string, double> error_factors;

  // [k][H] orthonormal: where program vectors vary. The covariance of learned
  // vectors is kept in these directions.
  std::vector<double> directions;
  std::string record_json = "{}";  // what it was made from, free form

  std::vector<double> Project(const double* vector, double instructions) const;
  double Distance(const double* vector, double instructions) const;
  // 1 for an architecture that is not in error_factors.
  double ErrorFactor(const std::string& architecture) const;
  // Of a distance that is no number, true.
  bool Strange(double distance, double error_factor) const {
    return !(distance * error_factor <= limit);
  }
  double Spread(double distance) const { return 1 + growth * distance / limit; }
  // Of a level from 0 to the last; beyond that the last.
  double Quantile(double level) const;
  double MaxLevel() const { return quantiles.back().first; }
};

// INVALID_ARGUMENT naming the key, what was expected and what was found.
absl::StatusOr<Calibration> ParseCalibration(absl::string_view json, int width);
std::string SerializeCalibration(const Calibration& calibration, int width);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_CALIBRATION_H_
