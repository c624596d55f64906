// The designs an exploration looks at: every combination of the parameters'
// values that the constraints allow.
//
//   ParameterSpace space;
//   space.parameters = {{"l1_kb", ParameterType::kInteger, {4, 8, 16}, true},
//                       {"l2_kb", ParameterType::kInteger, {256, 512}, true}};
//   space.constraints = {"l2_kb >= 32*l1_kb"};
//   ASSIGN points = Points(space);       // [n][parameters]
//   space.Encode(points[0]);             // what the network sees
//
// Plain data, pure functions; any thread. INVALID_ARGUMENT names the parameter
// or constraint, what was expected and what was found.
#ifndef PERFVEC_WORKER_EXPLORE_PARAMETER_SPACE_H_
#define PERFVEC_WORKER_EXPLORE_PARAMETER_SPACE_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::explore {

enum class ParameterType {
  kReal,
  kInteger,
  kCategory,  // without order; a point holds the label's number, from 0
};

struct Parameter {
  std::string name;  // usable in expressions; not "time"
  ParameterType type = ParameterType::kReal;
  std::vector<double> values;       // ascending, distinct; of a category empty
  bool log_scale = false;           // sizes that double; values > 0
  std::vector<std::string> labels;  // of a category

  size_t count() const {
    return type == ParameterType::kCategory ? labels.size() : values.size();
  }
  double at(size_t i) const {
    return type == ParameterType::kCategory ? static_cast<double>(i)
                                            : values[i];
  }
  // A value of it, as people write it.
  std::string Text(double value) const;
};

using Point = std::vector<double>;  // [parameters]

inline constexpr size_t kMaxParameters = 64;
inline constexpr size_t kMaxValues = 1024;
inline constexpr size_t kMaxPoints = 100000;  // before constraints

struct ParameterSpace {
  std::vector<Parameter> parameters;
  std::map<std::string, double> constants;  // for expressions
  std::vector<std::string> constraints;     // 0: not a design

  // "l1_kb=4 l2_kb=256"
  std::string Text(const Point& point) const;
  // Numbers mapped to [-1, 1] over the values' range (of their logarithms on a
  // log scale), categories to one input a label.
  std::vector<double> Encode(const Point& point) const;
  // Parameters, then constants: the variables of expressions, and their values.
  std::vector<std::string> VariableNames() const;
  std::vector<double> VariableValues(const Point& point) const;
};

absl::Status CheckSpace(const ParameterSpace& space);

// The first parameter changes slowest. An error too if there is no point.
absl::StatusOr<std::vector<Point>> Points(const ParameterSpace& space);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_PARAMETER_SPACE_H_
