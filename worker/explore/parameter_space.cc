#include "worker/explore/parameter_space.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/explore/expression.h"

namespace perfvec::explore {
namespace {

absl::Status CheckParameter(const Parameter& p) {
  const auto error = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat("parameter ", p.name, ": ", what));
  };
  absl::Status status = CheckVariableName(p.name);
  if (!status.ok()) return error(std::string(status.message()));
  if (p.name == "time") {
    return error("is what expressions call the predicted time; rename it");
  }
  const bool category = p.type == ParameterType::kCategory;
  if (p.count() == 0 || p.count() > kMaxValues ||
      (category ? !p.values.empty() : !p.labels.empty())) {
    return error(absl::StrCat("expected 1 to ", kMaxValues,
                              category ? " labels" : " values", ", found ",
                              p.count()));
  }
  if (category) {
    const std::set<std::string> labels(p.labels.begin(), p.labels.end());
    if (labels.size() != p.labels.size()) return error("has a label twice");
    if (p.log_scale) return error("a category has no logarithmic scale");
  }
  for (size_t i = 0; i < p.values.size(); ++i) {
    const double v = p.values[i];
    if (!std::isfinite(v)) return error("has a value that is not a number");
    if (i > 0 && v <= p.values[i - 1]) {
      return error(absl::StrCat("expected ascending values, found ", v,
                                " after ", p.values[i - 1]));
    }
    if (p.log_scale && v <= 0) {
      return error(absl::StrCat(
          "expected positive values on a logarithmic scale, found ", v));
    }
    if (p.type == ParameterType::kInteger && v != std::round(v)) {
      return error(absl::StrCat("expected integers, found ", v));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string Parameter::Text(double value) const {
  if (type == ParameterType::kCategory) {
    const size_t i = static_cast<size_t>(value);
    return i < labels.size() ? labels[i] : absl::StrCat("?", value);
  }
  return absl::StrFormat("%.10g", value);
}

std::string ParameterSpace::Text(const Point& point) const {
  std::vector<std::string> parts;
  for (size_t i = 0; i < parameters.size(); ++i) {
    parts.push_back(
        absl::StrCat(parameters[i].name, "=", parameters[i].Text(point[i])));
  }
  return absl::StrJoin(parts, " ");
}

std::vector<double> ParameterSpace::Encode(const Point& point) const {
  std::vector<double> inputs;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (p.type == ParameterType::kCategory) {
      for (size_t label = 0; label < p.labels.size(); ++label) {
        inputs.push_back(point[i] == static_cast<double>(label));
      }
      continue;
    }
    const auto scale = [&](double v) { return p.log_scale ? std::log(v) : v; };
    const double low = scale(p.values.front()), high = scale(p.values.back());
    inputs.push_back(high > low ? (scale(point[i]) - low) / (high - low) * 2 - 1
                                : 0);
  }
  return inputs;
}

std::vector<std::string> ParameterSpace::VariableNames() const {
  std::vector<std::string> names;
  for (const Parameter& p : parameters) names.push_back(p.name);
  for (const auto& [name, value] : constants) names.push_back(name);
  return names;
}

std::vector<double> ParameterSpace::VariableValues(const Point& point) const {
  std::vector<double> values = point;
  for (const auto& [name, value] : constants) values.push_back(value);
  return values;
}

absl::Status CheckSpace(const ParameterSpace& space) {
  if (space.parameters.empty() || space.parameters.size() > kMaxParameters) {
    return absl::InvalidArgumentError(
        absl::StrCat("space: expected 1 to ", kMaxParameters,
                     " parameters, found ", space.parameters.size()));
  }
  std::set<std::string> names = {"time"};
  double points = 1;
  for (const Parameter& p : space.parameters) {
    absl::Status status = CheckParameter(p);
    if (!status.ok()) return status;
    if (!names.insert(p.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter ", p.name, " is listed twice"));
    }
    points *= static_cast<double>(p.count());
  }
  if (points > kMaxPoints) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "space: %g combinations, expected at most %d: give fewer values",
        points, kMaxPoints));
  }
  if (space.constants.size() > kMaxParameters) {
    return absl::InvalidArgumentError(
        absl::StrCat("space: expected at most ", kMaxParameters,
                     " constants, found ", space.constants.size()));
  }
  for (const auto& [name, value] : space.constants) {
    absl::Status status = CheckVariableName(name);
    if (!status.ok()) return status;
    if (!names.insert(name).second || !std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "constant ", name,
          ": expected a number under a name of its own, found ", value));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Point>> Points(const ParameterSpace& space) {
  absl::Status status = CheckSpace(space);
  if (!status.ok()) return status;
  std::vector<Expression> constraints;
  for (const std::string& text : space.constraints) {
    auto one = Expression::Parse(text, space.VariableNames());
    if (!one.ok()) return one.status();
    constraints.push_back(*std::move(one));
  }
  std::vector<Point> points;
  std::vector<size_t> at(space.parameters.size());
  for (;;) {
    Point point;
    for (size_t i = 0; i < at.size(); ++i) {
      point.push_back(space.parameters[i].at(at[i]));
    }
    bool allowed = true;
    for (Expression& c : constraints) {
      const double holds = c.Evaluate(space.VariableValues(point));
      if (std::isnan(holds)) {
        return absl::InvalidArgumentError(
            absl::StrCat("constraint \"", c.text(), "\" has no value at ",
                         space.Text(point)));
      }
      allowed = allowed && holds != 0;
    }
    if (allowed) points.push_back(std::move(point));
    size_t i = at.size();
    while (i > 0 && ++at[i - 1] == space.parameters[i - 1].count()) {
      at[--i] = 0;
    }
    if (i == 0) break;
  }
  if (points.empty()) {
    return absl::InvalidArgumentError("space: the constraints leave no design");
  }
  return points;
}

}  // namespace perfvec::explore
