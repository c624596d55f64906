#include "server/predictor/vector_spread.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "server/predictor/kernels.h"

namespace perfvec::server {
namespace {

constexpr int64_t kMaxFactors = kMaxFactorPanels * kPanelRows;

// Factors of a covariance, [rows][width], into the panels of `spread`.
void PackFactors(const google::protobuf::RepeatedField<double>& factors,
                 int64_t width, VectorSpread* spread) {
  const int64_t rows = std::min(factors.size() / width, kMaxFactors);
  spread->panel_count = (rows + kPanelRows - 1) / kPanelRows;
  if (rows == 0) return;
  AlignedFloats panels =
      NewAlignedFloats(spread->panel_count * kPanelRows * width);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < width; ++k) {
      const float f = static_cast<float>(factors[r * width + k]);
      panels[(r / kPanelRows * width + k) * kPanelRows + r % kPanelRows] =
          std::isfinite(f) ? f : 0;
    }
  }
  spread->panels = std::move(panels);
}

}  // namespace

VectorSpread SpreadOfProgram(const storage::v1::ProgramVectorRecord& vector,
                             int64_t width) {
  VectorSpread out;
  PackFactors(vector.sampling_factors(), width, &out);
  return out;
}

VectorSpread SpreadOfArchitecture(const v1::ArchitectureVector& vector,
                                  int64_t width) {
  VectorSpread out;
  out.trained = vector.origin() == "trained";
  out.strange = vector.learned().out_of_distribution();
  out.noise = vector.learned().noise();
  PackFactors(vector.uncertainty().factors(), width, &out);
  return out;
}

void Calibrate(const Model& model, Kind kind, const std::string& name,
               const float* values, uint64_t instructions,
               VectorSpread* spread) {
  if (kind == Kind::kArchitecture) {
    spread->more_variance = 0;
    spread->error_factor = 1;
    if (model.calibration == nullptr) return;
    if (spread->trained) {
      spread->error_factor = model.calibration->ErrorFactor(name);
    }
    const double expected = model.calibration->noise;
    spread->more_variance =
        std::max(0.0, spread->noise * spread->noise - expected * expected);
    return;
  }
  spread->spread = 1;
  spread->distance = 0;
  spread->strange = false;
  if (model.calibration == nullptr || instructions == 0) return;
  const compute::Calibration& c = *model.calibration;
  const std::vector<double> vector(values, values + model.tables[0].width());
  const double distance =
      c.Distance(vector.data(), static_cast<double>(instructions));
  spread->spread = c.Spread(distance);
  spread->distance = distance / c.limit;
  spread->strange = c.Strange(distance, 1);
}

}  // namespace perfvec::server
