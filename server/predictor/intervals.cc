#include "server/predictor/intervals.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "boost/math/distributions/normal.hpp"
#include "server/predictor/kernels.h"

namespace perfvec::server {
namespace {

constexpr double kDefaultZ = 1.6448536269514722;  // of kDefaultConfidence

// The variance of log time that the uncertainty of one vector brings, given the
// other.
double VectorVariance(const VectorSpread& spread, const float* other,
                      int64_t width, double time_tenth_ns) {
  if (spread.panel_count == 0) return spread.more_variance;
  float dots[kMaxFactorPanels * kPanelRows];
  BestKernels().rank(other, spread.panels.get(), spread.panel_count, width,
                     dots);
  double variance = 0;
  for (int64_t r = 0; r < spread.panel_count * kPanelRows; ++r) {
    const double deviation = dots[r] / time_tenth_ns;
    variance += deviation * deviation;
  }
  return variance + spread.more_variance;
}

}  // namespace

absl::StatusOr<Intervals> Intervals::Make(const Model& model,
                                          double confidence) {
  if (confidence == 0) {
    confidence = kDefaultConfidence;
  } else if (!(confidence > 0) || !(confidence <= kMaxConfidence)) {
    return absl::InvalidArgumentError(
        absl::StrCat("confidence: expected a number above 0 and up to ",
                     kMaxConfidence, ", found ", confidence));
  }
  Intervals out(&model, confidence);
  if (!out.known()) return out;
  out.quantile_ = model.calibration->Quantile(confidence);
  out.z_ = confidence == kDefaultConfidence
               ? kDefaultZ
               : boost::math::quantile(boost::math::complement(
                     boost::math::normal(), (1 - confidence) / 2));
  return out;
}

double Intervals::TrainedFactor(const ItemVector& program) const {
  return std::exp(quantile_ * program.spread->spread);
}

double Intervals::SamplingError(const ItemVector& program,
                                const ItemVector& architecture,
                                double time_tenth_ns) const {
  return std::sqrt(VectorVariance(*program.spread, architecture.values,
                                  model_->tables[0].width(), time_tenth_ns));
}

double Intervals::Factor(const ItemVector& program,
                         const ItemVector& architecture,
                         double time_tenth_ns) const {
  const int64_t width = model_->tables[0].width();
  double variance = VectorVariance(*program.spread, architecture.values, width,
                                   time_tenth_ns);
  if (!architecture.spread->trained) {
    variance += VectorVariance(*architecture.spread, program.values, width,
                               time_tenth_ns);
  }
  if (variance == 0) return TrainedFactor(program);
  const double half = quantile_ * program.spread->spread;
  return std::exp(std::sqrt(half * half + z_ * z_ * variance));
}

}  // namespace perfvec::server
