#include "server/exploration_service.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/call.h"
#include "server/predictor.h"
#include "storage/status_macros.h"
#include "worker/explore/explore.h"

namespace perfvec::server {
namespace {

constexpr int kThreads = 2;  // of a call
constexpr int kDefaultLimit = 20, kMaxLimit = 100000;
constexpr size_t kMaxExpressions = 64;
// Programs and samples: numbers of the samples' metrics, 80 MB.
constexpr size_t kMaxMetricNumbers = 10'000'000;
constexpr size_t kMaxCells = 1'000'000;        // designs × programs
constexpr size_t kMaxReportedCells = 100'000;  // 3.2 MB
constexpr double kTimeUnitNs = 0.1;

absl::Status TooMuch(absl::string_view what, size_t expected, size_t found) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": expected at most ", expected, ", found ", found));
}

absl::StatusOr<explore::ParameterSpace> ToSpace(
    const v1::ExploreDesignSpaceRequest& request) {
  explore::ParameterSpace space;
  for (const v1::DesignParameter& from : request.parameters()) {
    explore::Parameter p;
    p.name = from.name();
    p.values.assign(from.values().begin(), from.values().end());
    p.labels.assign(from.labels().begin(), from.labels().end());
    p.log_scale = from.log_scale();
    switch (from.type()) {
      case v1::DesignParameter::CATEGORY:
        p.type = explore::ParameterType::kCategory;
        break;
      case v1::DesignParameter::INTEGER:
        p.type = explore::ParameterType::kInteger;
        break;
      case v1::DesignParameter::REAL:
        break;
      case v1::DesignParameter::TYPE_UNSPECIFIED:
        if (!p.labels.empty()) p.type = explore::ParameterType::kCategory;
        break;
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("parameter ", p.name, ": type ",
                         static_cast<int>(from.type()), " is unknown"));
    }
    space.parameters.push_back(std::move(p));
  }
  space.constants.insert(request.constants().begin(),
                         request.constants().end());
  space.constraints.assign(request.constraints().begin(),
                           request.constraints().end());
  PERFVEC_RETURN_IF_ERROR(explore::CheckSpace(space));
  return space;
}

absl::Status CheckSizes(const v1::ExploreDesignSpaceRequest& request) {
  if (request.programs().empty()) {
    return absl::InvalidArgumentError("programs: expected one at least");
  }
  const size_t width = request.programs_size();
  const size_t samples = request.samples_size();
  if (samples < explore::kMinSamples || samples > explore::kMaxSamples) {
    return absl::InvalidArgumentError(
        absl::StrCat("samples: expected ", explore::kMinSamples, " to ",
                     explore::kMaxSamples, ", found ", samples));
  }
  if (width > kMaxMetricNumbers ||
      width * width > kMaxMetricNumbers / samples) {
    return absl::InvalidArgumentError(absl::StrCat(
        "programs² × samples: expected at most ", kMaxMetricNumbers, ", found ",
        width, " programs and ", samples, " samples; ask for fewer programs"));
  }
  if (request.limit() < 0 || request.limit() > kMaxLimit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "limit is ", request.limit(), "; expected 0 to ", kMaxLimit));
  }
  const size_t expressions =
      request.constraints_size() + request.limits_size() + request.front_size();
  if (expressions > kMaxExpressions) {
    return TooMuch("constraints, limits and front", kMaxExpressions,
                   expressions);
  }
  return absl::OkStatus();
}

// That categories of the sample's point are labels; the rest is for Fit.
absl::Status CheckLabels(const explore::ParameterSpace& space,
                         const std::string& architecture,
                         const explore::DesignSample& sample) {
  if (sample.point.size() != space.parameters.size()) return absl::OkStatus();
  for (size_t i = 0; i < space.parameters.size(); ++i) {
    const explore::Parameter& p = space.parameters[i];
    const double v = sample.point[i];
    if (p.type != explore::ParameterType::kCategory ||
        (v >= 0 && v < static_cast<double>(p.count()) && v == std::floor(v))) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "sample ", architecture, ": ", p.name,
        ": expected the number of a label, below ", p.count(), ", found ", v));
  }
  return absl::OkStatus();
}

// A program is one element of the samples' "vectors": its times. With these
// programs as all the evidence, the loss of the network over architecture
// vectors depends on nothing else.
absl::StatusOr<std::vector<explore::DesignSample>> ToSamples(
    const v1::ExploreDesignSpaceRequest& request,
    const explore::ParameterSpace& space, const Snapshot& snapshot,
    const Model& model, const std::vector<const ItemVector*>& programs) {
  const size_t width = programs.size();
  std::vector<explore::DesignSample> samples;
  for (const v1::DesignSample& from : request.samples()) {
    PERFVEC_ASSIGN_OR_RETURN(
        const ItemVector* vector,
        snapshot.FindVector(Kind::kArchitecture, from.architecture(), model));
    explore::DesignSample sample;
    sample.point.assign(from.point().begin(), from.point().end());
    PERFVEC_RETURN_IF_ERROR(CheckLabels(space, from.architecture(), sample));
    auto metric = std::make_shared<std::vector<double>>(width * width);
    for (size_t p = 0; p < width; ++p) {
      double time_ns;
      if (!ToTimeNs(BestKernels().dot(programs[p]->values, vector->values,
                                      model.tables[0].width()),
                    &time_ns)) {
        return TimeOutOfRange(programs[p]->item->label, vector->item->label,
                              model.label, time_ns);
      }
      const double t = time_ns / kTimeUnitNs;
      sample.vector.push_back(t);
      (*metric)[p * width + p] = 1 / (t * t);
    }
    sample.metric = std::move(metric);
    samples.push_back(std::move(sample));
  }
  return samples;
}

double LeftOutError(const explore::DesignModel& model,
                    const std::vector<explore::DesignSample>& samples) {
  double squares = 0, n = 0;
  for (size_t a = 0; a < samples.size(); ++a) {
    for (size_t p = 0; p < samples[a].vector.size(); ++p) {
      const double ratio = model.held_out()[a][p] / samples[a].vector[p];
      const double off = std::log(std::max(ratio, 1e-3));
      squares += off * off;
      n += 1;
    }
  }
  return std::sqrt(squares / n);
}

// Designs that the answer carries, ascending.
std::vector<size_t> Reported(const explore::Exploration& e, size_t points,
                             size_t limit, bool surface) {
  std::vector<bool> wanted(points, surface);
  const auto add = [&](const explore::ExploredTimes& t) {
    for (size_t r = 0; r < std::min(limit, t.ranking.size()); ++r) {
      wanted[t.ranking[r]] = true;
    }
    for (size_t i : t.front) wanted[i] = true;
  };
  for (const explore::ExploredTimes& t : e.programs) add(t);
  if (e.programs.size() > 1) add(e.all);
  std::vector<size_t> out;
  for (size_t i = 0; i < points; ++i) {
    if (wanted[i]) out.push_back(i);
  }
  return out;
}

void FillTimes(const explore::ExploredTimes& t,
               const std::vector<size_t>& reported, size_t limit,
               v1::ExploreDesignSpaceResponse::Times* out) {
  out->set_allowed(t.ranking.size());
  for (size_t i : reported) {
    out->add_time_ns(t.time_ns[i]);
    out->add_low_ns(t.low_ns[i]);
    out->add_high_ns(t.high_ns[i]);
    out->add_objective(t.objective[i]);
  }
  const auto number = [&](size_t point) {
    return static_cast<uint32_t>(
        std::lower_bound(reported.begin(), reported.end(), point) -
        reported.begin());
  };
  for (size_t r = 0; r < std::min(limit, t.ranking.size()); ++r) {
    out->add_ranking(number(t.ranking[r]));
  }
  for (size_t i : t.front) out->add_front(number(i));
}

absl::Status Explore(const Snapshot& snapshot,
                     const v1::ExploreDesignSpaceRequest& request,
                     const std::function<bool()>& stop,
                     v1::ExploreDesignSpaceResponse* response) {
  PERFVEC_RETURN_IF_ERROR(CheckSizes(request));
  PERFVEC_ASSIGN_OR_RETURN(const explore::ParameterSpace space,
                           ToSpace(request));
  PERFVEC_ASSIGN_OR_RETURN(const Model* model,
                           snapshot.FindModel(request.model()));
  PERFVEC_ASSIGN_OR_RETURN(const Intervals intervals,
                           Intervals::Make(*model, request.confidence()));
  explore::ExploreRequest sweep;
  sweep.confidence = intervals.confidence();
  sweep.stop = stop;
  if (!request.objective().empty()) sweep.objective = request.objective();
  sweep.constraints.assign(request.limits().begin(), request.limits().end());
  sweep.front.assign(request.front().begin(), request.front().end());
  std::vector<const ItemVector*> programs;
  for (const v1::DesignProgram& one : request.programs()) {
    PERFVEC_ASSIGN_OR_RETURN(
        const ItemVector* vector,
        snapshot.FindVector(Kind::kProgram, one.program(), *model));
    explore::ExploredProgram program;
    program.name = vector->item->label;
    program.vector.assign(request.programs_size(), 0);
    program.vector[programs.size()] = 1;
    program.weight = one.has_weight() ? one.weight() : 1;
    if (intervals.known()) {
      program.log_deviation =
          std::log(intervals.TrainedFactor(*vector)) / intervals.z();
    }
    sweep.programs.push_back(std::move(program));
    programs.push_back(vector);
  }
  PERFVEC_ASSIGN_OR_RETURN(
      const std::vector<explore::DesignSample> samples,
      ToSamples(request, space, snapshot, *model, programs));
  PERFVEC_ASSIGN_OR_RETURN(sweep.points, explore::Points(space));
  const size_t cells = sweep.points.size() * programs.size();
  if (cells > kMaxCells) {
    return TooMuch("designs × programs (give fewer values or programs)",
                   kMaxCells, cells);
  }
  if (request.surface() && cells > kMaxReportedCells) {
    return TooMuch("designs × programs of an answer with surface",
                   kMaxReportedCells, cells);
  }
  explore::DesignModelOptions options;
  options.threads = kThreads;
  options.stop = stop;
  PERFVEC_ASSIGN_OR_RETURN(const explore::DesignModel network,
                           explore::DesignModel::Fit(space, samples, options));
  PERFVEC_ASSIGN_OR_RETURN(const explore::Exploration result,
                           explore::Explore(space, network, samples, sweep));

  const size_t limit = request.limit() == 0 ? kDefaultLimit : request.limit();
  const std::vector<size_t> reported =
      Reported(result, sweep.points.size(), limit, request.surface());
  if (reported.size() * programs.size() > kMaxReportedCells) {
    return TooMuch(
        "designs of rankings and fronts × programs (ask for a lower "
        "limit or fewer programs)",
        kMaxReportedCells, reported.size() * programs.size());
  }
  for (size_t i : reported) {
    for (double v : sweep.points[i]) response->add_points(v);
  }
  for (size_t p = 0; p < programs.size(); ++p) {
    auto* times = response->add_programs();
    times->set_program(programs[p]->item->label);
    times->set_out_of_distribution(programs[p]->spread->strange);
    FillTimes(result.programs[p], reported, limit, times);
  }
  if (programs.size() > 1) {
    FillTimes(result.all, reported, limit, response->mutable_all());
  }
  response->set_model_id(model->model_id);
  response->set_designs(sweep.points.size());
  response->set_out_of_range(result.out_of_range);
  response->set_hidden_units(network.chosen().size.hidden);
  response->set_left_out_error(LeftOutError(network, samples));
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* ExplorationService::ExploreDesignSpace(
    grpc::CallbackServerContext* call,
    const v1::ExploreDesignSpaceRequest* request,
    v1::ExploreDesignSpaceResponse* response) {
  return RunOnPool(
      *context_.bulk, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        const auto leave = absl::MakeCleanup([this] { --running_; });
        if (running_++ >= kMaxExplorations) {
          return absl::ResourceExhaustedError(
              absl::StrCat(kMaxExplorations,
                           " explorations are running, as many as this server "
                           "does at a time; try again in a few seconds"));
        }
        const absl::Time deadline = CallDeadline(*call, kMaxUnaryTime);
        return Explore(
            context_.predictor->snapshot(), *request,
            [&] { return call->IsCancelled() || absl::Now() > deadline; },
            response);
      });
}

}  // namespace perfvec::server
