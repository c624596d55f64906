// A space of two parameters whose architecture vectors follow a smooth known
// rule, for tests: three elements, of which two bend.
#ifndef PERFVEC_TESTS_WORKER_EXPLORE_SMALL_SPACE_H_
#define PERFVEC_TESTS_WORKER_EXPLORE_SMALL_SPACE_H_

#include <cmath>
#include <memory>
#include <vector>

#include "worker/explore/design_model.h"

namespace perfvec::explore {

struct SmallSpace {
  ParameterSpace space;
  std::vector<double> program = {1000, 300, 200};

  SmallSpace() {
    space.parameters = {
        {"l1", ParameterType::kInteger, {1, 2, 3, 4, 8, 16}, true, {}},
        {"l2", ParameterType::kInteger, {16, 32, 64, 128, 256}, true, {}}};
  }

  static std::vector<double> Vector(const Point& p) {
    const double a = std::log2(p[0]), b = std::log2(p[1]) - 4;
    return {10, 20 / (1 + std::exp(a - 2)), 40 / (1 + std::exp(2 * b - 4))};
  }
  double Time(const Point& p) const {
    const std::vector<double> m = Vector(p);
    return m[0] * program[0] + m[1] * program[1] + m[2] * program[2];
  }
  // Every second point.
  std::vector<DesignSample> Samples() const {
    const auto metric = std::make_shared<const std::vector<double>>(
        std::vector<double>{4, 1, 1, 1, 2, 0, 1, 0, 2});
    std::vector<DesignSample> samples;
    const auto points = Points(space);
    for (size_t i = 0; i < points->size(); i += 2) {
      samples.push_back({(*points)[i], Vector((*points)[i]), metric});
    }
    return samples;
  }
};

}  // namespace perfvec::explore

#endif  // PERFVEC_TESTS_WORKER_EXPLORE_SMALL_SPACE_H_
