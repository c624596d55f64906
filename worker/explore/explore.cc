#include "worker/explore/explore.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/math/distributions/normal.hpp"
#include "worker/explore/expression.h"

namespace perfvec::explore {
namespace {

constexpr double kTimeUnitNs = 0.1;  // of a vector's product
// Of a log time: a network that misses by more knows nothing.
constexpr double kMaxDeviation = 3;

constexpr size_t kAskEvery = 256;  // designs

bool Stopped(const ExploreRequest& request) {
  return request.stop && request.stop();
}
absl::Status Cancelled() {
  return absl::CancelledError("the exploration was stopped");
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// The expressions of a request, over parameters, constants and the time.
struct Expressions {
  std::vector<std::string> names;
  std::optional<Expression> objective;
  std::vector<Expression> constraints, front;
};

absl::StatusOr<Expressions> Parse(const ParameterSpace& space,
                                  const ExploreRequest& request) {
  Expressions e;
  e.names = space.VariableNames();
  e.names.push_back("time");
  auto objective = Expression::Parse(request.objective, e.names);
  if (!objective.ok()) return objective.status();
  e.objective = *std::move(objective);
  for (const auto& [texts, to] :
       {std::pair{&request.constraints, &e.constraints},
        std::pair{&request.front, &e.front}}) {
    for (const std::string& text : *texts) {
      auto one = Expression::Parse(text, e.names);
      if (!one.ok()) return one.status();
      to->push_back(*std::move(one));
    }
  }
  return e;
}

absl::Status Check(const ParameterSpace& space,
                   const std::vector<DesignSample>& samples,
                   const ExploreRequest& request, size_t width) {
  if (request.points.empty() || request.programs.empty() ||
      request.programs.size() > kMaxPrograms ||
      request.points.size() * request.programs.size() > kMaxCells) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected points and 1 to ", kMaxPrograms, " programs, at most ",
        kMaxCells, " pairs, found ", request.points.size(), " points and ",
        request.programs.size(), " programs"));
  }
  if (!(request.confidence > 0 && request.confidence < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("confidence: expected more than 0 and less than 1, found ",
                     request.confidence));
  }
  if (request.front.size() == 1) {
    return absl::InvalidArgumentError(
        "front: expected two expressions or more, or none");
  }
  for (const Point& point : request.points) {
    if (point.size() != space.parameters.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("point: expected ", space.parameters.size(),
                       " parameters, found ", point.size()));
    }
  }
  for (const ExploredProgram& p : request.programs) {
    if (p.vector.size() != width) {
      return absl::InvalidArgumentError(
          absl::StrCat("program ", p.name, ": expected a vector of ", width,
                       " elements, found ", p.vector.size()));
    }
    if (!(p.weight >= 0) || !std::isfinite(p.weight)) {
      return absl::InvalidArgumentError(
          absl::StrCat("program ", p.name,
                       ": expected a weight of 0 or more, found ", p.weight));
    }
    if (!(p.log_deviation >= 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "program ", p.name, ": expected a deviation of 0 or more, found ",
          p.log_deviation));
    }
    for (const DesignSample& s : samples) {
      if (!(Dot(p.vector, s.vector) > 0)) {
        return absl::OutOfRangeError(absl::StrCat(
            "program ", p.name, ": its predicted time on the sampled design ",
            space.Text(s.point), " is not positive: it lies outside what the ",
            "model can tell"));
      }
    }
  }
  return absl::OkStatus();
}

// Standard deviation of log time that the network brings, from samples it was
// not shown.
double NetworkDeviation(const DesignModel& model,
                        const std::vector<DesignSample>& samples,
                        const std::vector<double>& program) {
  double squares = 0;
  for (size_t a = 0; a < samples.size(); ++a) {
    const double guess = Dot(program, model.held_out()[a]);
    const double d = guess > 0
                         ? std::log(guess / Dot(program, samples[a].vector))
                         : kMaxDeviation;
    squares += std::min(d * d, kMaxDeviation * kMaxDeviation);
  }
  return std::sqrt(squares / samples.size());
}

// Objective, ranking and front from the times.
absl::Status Judge(const ParameterSpace& space, const ExploreRequest& request,
                   Expressions& e, ExploredTimes& t) {
  std::vector<size_t> allowed;
  std::vector<std::vector<double>> costs;  // of the allowed, for the front
  for (size_t i = 0; i < request.points.size(); ++i) {
    if (i % kAskEvery == 0 && Stopped(request)) return Cancelled();
    t.objective.push_back(std::nan(""));
    if (!(t.time_ns[i] > 0)) continue;
    std::vector<double> values = space.VariableValues(request.points[i]);
    values.push_back(t.time_ns[i]);
    const auto evaluate = [&](Expression& x) -> absl::StatusOr<double> {
      const double value = x.Evaluate(values);
      if (std::isfinite(value)) return value;
      return absl::InvalidArgumentError(absl::StrCat(
          "expression \"", x.text(), "\" is not a finite number at ",
          space.Text(request.points[i]), ", time ", t.time_ns[i]));
    };
    auto objective = evaluate(*e.objective);
    if (!objective.ok()) return objective.status();
    t.objective[i] = *objective;
    bool holds = true;
    for (Expression& c : e.constraints) {
      auto value = evaluate(c);
      if (!value.ok()) return value.status();
      holds = holds && *value != 0;
    }
    if (!holds) continue;
    allowed.push_back(i);
    std::vector<double> cost;
    for (Expression& f : e.front) {
      auto value = evaluate(f);
      if (!value.ok()) return value.status();
      cost.push_back(*value);
    }
    costs.push_back(std::move(cost));
  }
  t.ranking = allowed;
  std::stable_sort(t.ranking.begin(), t.ranking.end(), [&](size_t a, size_t b) {
    return t.objective[a] < t.objective[b];
  });
  if (e.front.empty()) return absl::OkStatus();
  // In the order of costs a point can only be beaten by one already kept.
  std::vector<size_t> order(allowed.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return costs[a] < costs[b]; });
  std::vector<size_t> kept;
  for (size_t i : order) {
    if (Stopped(request)) return Cancelled();
    const bool beaten = std::any_of(kept.begin(), kept.end(), [&](size_t k) {
      if (costs[k] == costs[i]) return false;
      for (size_t c = 0; c < costs[i].size(); ++c) {
        if (costs[k][c] > costs[i][c]) return false;
      }
      return true;
    });
    if (beaten) continue;
    kept.push_back(i);
    t.front.push_back(allowed[i]);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exploration> Explore(const ParameterSpace& space,
                                    const DesignModel& model,
                                    const std::vector<DesignSample>& samples,
                                    const ExploreRequest& request) {
  if (samples.empty() || samples.size() != model.held_out().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected the model's ", model.held_out().size(),
                     " samples, found ", samples.size()));
  }
  absl::Status status =
      Check(space, samples, request, samples[0].vector.size());
  if (!status.ok()) return status;
  auto expressions = Parse(space, request);
  if (!expressions.ok()) return expressions.status();
  std::vector<std::vector<double>> vectors;
  for (const Point& point : request.points) {
    if (vectors.size() % kAskEvery == 0 && Stopped(request)) {
      return Cancelled();
    }
    vectors.push_back(model.Vector(point));
  }
  const double z = boost::math::quantile(boost::math::complement(
      boost::math::normal(), (1 - request.confidence) / 2));
  const size_t n = request.points.size();
  Exploration result;
  result.all.time_ns.assign(n, 0);
  result.all.low_ns = result.all.high_ns = result.all.time_ns;
  for (const ExploredProgram& p : request.programs) {
    ExploredTimes t;
    t.name = p.name;
    const double network = NetworkDeviation(model, samples, p.vector);
    const double spread = std::exp(
        z * std::sqrt(network * network + p.log_deviation * p.log_deviation));
    for (size_t i = 0; i < n; ++i) {
      double time = kTimeUnitNs * Dot(p.vector, vectors[i]);
      if (!(time > 0) || !std::isfinite(time)) {
        time = std::nan("");
        ++result.out_of_range;
      }
      t.time_ns.push_back(time);
      t.low_ns.push_back(time / spread);
      t.high_ns.push_back(time * spread);
      // Errors of programs on one design go together: bounds add up.
      if (p.weight == 0) continue;
      result.all.time_ns[i] += p.weight * time;
      result.all.low_ns[i] += p.weight * t.low_ns[i];
      result.all.high_ns[i] += p.weight * t.high_ns[i];
    }
    status = Judge(space, request, *expressions, t);
    if (!status.ok()) return status;
    result.programs.push_back(std::move(t));
  }
  result.all.name = "weighted set";
  status = Judge(space, request, *expressions, result.all);
  if (!status.ok()) return status;
  return result;
}

}  // namespace perfvec::explore
