#include "worker/represent/representer.h"

#include <algorithm>
#include <cstddef>

namespace perfvec::compute {

absl::Status Representer::Run(const LaneBatch& batch, double* sums) {
  if (absl::Status s = RunNetwork(batch, sums); !s.ok()) return s;
  const Manifest& m = model()->manifest();
  const size_t passed = m.inputs.passed;
  if (passed == 0) return absl::OkStatus();
  const size_t width = m.width, columns = m.inputs.width();
  float* output = batch.outputs;
  for (const Lane& lane : batch.lanes) {
    std::fill_n(sums, passed, 0.0);
    const int64_t end = lane.first_row + lane.steps;
    for (int64_t row = end - lane.kept; row < end; ++row) {
      if (row >= 0) {
        const float* from = batch.inputs + (row + 1) * columns - passed;
        for (size_t k = 0; k < passed; ++k) sums[k] += from[k];
        if (output != nullptr) std::copy_n(from, passed, output);
      } else if (output != nullptr) {
        std::fill_n(output, passed, 0.0f);
      }
      if (output != nullptr) output += width;
    }
    sums += width;
  }
  return absl::OkStatus();
}

}  // namespace perfvec::compute
