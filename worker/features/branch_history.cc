#include "worker/features/branch_history.h"

#include <cmath>

namespace perfvec::compute {

const std::array<float, 17>& BranchEntropies() {
  static const std::array<float, 17> kEntropies = [] {
    std::array<float, 17> entropies{};  // 0 where p is 0 or 1
    for (int halves = 1; halves < 16; ++halves) {
      const double p = halves / 16.0;
      entropies[halves] =
          static_cast<float>(-p * std::log(p) - (1 - p) * std::log(1 - p));
    }
    return entropies;
  }();
  return kEntropies;
}

}  // namespace perfvec::compute
