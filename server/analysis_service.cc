#include "server/analysis_service.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/call.h"
#include "server/predictor.h"
#include "storage/registry.h"
#include "storage/status_macros.h"
#include "worker/learn/cluster.h"

namespace perfvec::server {
namespace {

using storage::v1::ProgramPartsRecord;
using Parts = google::protobuf::RepeatedPtrField<ProgramPartsRecord::Part>;

constexpr double kTenthNsInNs = 0.1;
constexpr int kProjectedDimensions = 15;  // as SimPoint's
constexpr uint64_t kSeed = 493575226;

bool IsOfCode(v1::PartKind kind) {
  return kind == v1::PART_KIND_FUNCTION || kind == v1::PART_KIND_ADDRESS;
}

// The program that a request is about, under the model that it names.
template <typename Request>
absl::StatusOr<const ItemVector*> FindProgram(const Snapshot& snapshot,
                                              const Request& request) {
  if (!v1::PartKind_IsValid(request.kind())) {
    return absl::InvalidArgumentError(
        absl::StrCat("part kind ", request.kind(), " is unknown"));
  }
  PERFVEC_ASSIGN_OR_RETURN(const Model* model,
                           snapshot.FindModel(request.model()));
  return snapshot.FindVector(Kind::kProgram, request.program(), *model);
}

// Its parts of the kind asked for, FAILED_PRECONDITION if it was represented
// without; and what both answers say of them.
template <typename Response>
absl::Status FindParts(const ServiceContext& context, const ItemVector& program,
                       v1::PartKind kind, ProgramPartsRecord* parts,
                       Response* response) {
  const Model* model = program.model;
  const Item& item = *program.item;
  const bool code = IsOfCode(kind);
  absl::StatusOr<ProgramPartsRecord> record = context.registry->GetProgramParts(
      item.name, item.version, model->model_id);
  if (!record.ok() && !absl::IsNotFound(record.status())) {
    return record.status();
  }
  if (!record.ok() ||
      (code ? record->code_size() : record->intervals_size()) == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "program ", item.label, " was represented under model ", model->label,
        code ? " without parts of code" : " without intervals",
        "; keep them: perfvec program represent ", item.label, " --model ",
        model->label, code ? " --by-address" : " --interval N"));
  }
  *parts = *std::move(record);
  response->set_program(item.label);
  response->set_model_id(model->model_id);
  response->set_interval_instructions(parts->interval_instructions());
  response->set_weighted(parts->weighted());
  return absl::OkStatus();
}

// The phase of each interval: clusters of their representations of an average
// instruction, numbered in the order of appearance.
std::vector<uint32_t> FindPhases(const Parts& intervals, int phases) {
  std::vector<double> weights;  // [width][kProjectedDimensions]
  std::vector<compute::Point> points;
  for (const ProgramPartsRecord::Part& part : intervals) {
    for (int i = weights.size() / kProjectedDimensions; i < part.values_size();
         ++i) {
      for (int d = 0; d < kProjectedDimensions; ++d) {
        weights.push_back(compute::ProjectionWeight(kSeed, i, d));
      }
    }
    compute::Point point(kProjectedDimensions);
    for (int i = 0; i < part.values_size() && part.instructions() > 0; ++i) {
      const double value =
          part.values(i) / static_cast<double>(part.instructions());
      for (int d = 0; d < kProjectedDimensions; ++d) {
        point[d] += value * weights[i * kProjectedDimensions + d];
      }
    }
    points.push_back(std::move(point));
  }
  compute::ClusterOptions options;
  const int half = (static_cast<int>(points.size()) + 1) / 2;
  options.most = std::clamp(half, 1, kMostChosenPhases);
  if (phases > 0) {
    options.most = std::min<int>(phases, points.size());
    options.least = options.most;
  }
  const compute::ClusterChoice choice =
      compute::ChooseClusters(points, options);
  std::map<int, uint32_t> numbers;
  std::vector<uint32_t> found;
  for (const int cluster : choice.clusters.cluster) {
    found.push_back(numbers.emplace(cluster, numbers.size()).first->second);
  }
  return found;
}

void AddTimes(const ProgramPartsRecord::Part& from,
              const std::vector<const ItemVector*>& architectures,
              v1::ProgramPart* to) {
  to->mutable_time_ns()->Resize(static_cast<int>(architectures.size()), 0);
  for (size_t a = 0; a < architectures.size(); ++a) {
    double sum = 0;
    for (int i = 0; i < from.values_size(); ++i) {
      sum += from.values(i) * static_cast<double>(architectures[a]->values[i]);
    }
    to->set_time_ns(static_cast<int>(a), to->time_ns(static_cast<int>(a)) +
                                             from.scale() * sum * kTenthNsInNs);
  }
}

void AddIntervals(const Parts& intervals, int phases,
                  const std::vector<const ItemVector*>& architectures,
                  v1::AnalyzeProgramResponse* response) {
  const std::vector<uint32_t> phase_of = FindPhases(intervals, phases);
  uint32_t most = 0;
  for (int i = 0; i < intervals.size(); ++i) {
    v1::ProgramPart* part = response->add_parts();
    part->set_begin_instruction(intervals[i].begin_instruction());
    part->set_instructions(intervals[i].instructions());
    part->set_scale(intervals[i].scale());
    part->set_phase(phase_of[i]);
    most = std::max(most, phase_of[i]);
    AddTimes(intervals[i], architectures, part);
  }
  response->set_phases(most + 1);
}

// Parts of one function (or address) together, the slowest first, what has none
// last.
void AddCode(const Parts& code, bool by_address,
             const std::vector<const ItemVector*>& architectures,
             v1::AnalyzeProgramResponse* response) {
  std::map<std::pair<std::string, uint64_t>, v1::ProgramPart> sums;
  for (const ProgramPartsRecord::Part& from : code) {
    std::pair<std::string, uint64_t> key(from.function(), 0);
    if (by_address) {
      key.second = from.address();
      if (from.address() == 0) key.first.clear();
    }
    v1::ProgramPart& to = sums[key];
    to.set_function(key.first);
    to.set_address(key.second);
    to.set_instructions(to.instructions() + from.instructions());
    to.set_scale(1);
    AddTimes(from, architectures, &to);
  }
  std::vector<v1::ProgramPart> ordered;
  for (auto& [key, part] : sums) ordered.push_back(std::move(part));
  const auto rank = [](const v1::ProgramPart& part) {
    const bool rest = part.function().empty() && part.address() == 0;
    return std::make_pair(rest, -part.time_ns(0));
  };
  std::stable_sort(
      ordered.begin(), ordered.end(),
      [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  for (v1::ProgramPart& part : ordered) {
    *response->add_parts() = std::move(part);
  }
}

absl::Status Analyze(const ServiceContext& context,
                     const v1::AnalyzeProgramRequest& request,
                     v1::AnalyzeProgramResponse* response) {
  if (request.architectures_size() < 1 ||
      request.architectures_size() > kMaxAnalyzedArchitectures) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected 1 to ", kMaxAnalyzedArchitectures,
                     " architectures, found ", request.architectures_size()));
  }
  if (request.phases() < 0 || request.phases() > kMaxPhases) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected 1 to ", kMaxPhases,
        " phases, or 0 to have them chosen, found ", request.phases()));
  }
  const Snapshot snapshot = context.predictor->snapshot();
  PERFVEC_ASSIGN_OR_RETURN(const ItemVector* program,
                           FindProgram(snapshot, request));
  const Model* model = program->model;
  response->set_instructions(program->instructions);
  std::vector<const ItemVector*> architectures;
  for (const std::string& name : request.architectures()) {
    PERFVEC_ASSIGN_OR_RETURN(
        const ItemVector* vector,
        snapshot.FindVector(Kind::kArchitecture, name, *model));
    architectures.push_back(vector);
    v1::PredictResponse whole;
    PERFVEC_RETURN_IF_ERROR(
        snapshot.Predict(program->item->label, vector->item->label,
                         model->model_id, /*confidence=*/0, &whole));
    response->add_architectures(vector->item->label);
    response->add_time_ns(whole.time_ns());
  }
  ProgramPartsRecord record;
  PERFVEC_RETURN_IF_ERROR(
      FindParts(context, *program, request.kind(), &record, response));
  if (IsOfCode(request.kind())) {
    AddCode(record.code(), request.kind() == v1::PART_KIND_ADDRESS,
            architectures, response);
  } else {
    AddIntervals(record.intervals(), request.phases(), architectures, response);
  }
  return absl::OkStatus();
}

absl::Status GetParts(const ServiceContext& context,
                      const v1::GetProgramPartsRequest& request,
                      v1::ProgramParts* response) {
  const Snapshot snapshot = context.predictor->snapshot();
  PERFVEC_ASSIGN_OR_RETURN(const ItemVector* program,
                           FindProgram(snapshot, request));
  ProgramPartsRecord record;
  PERFVEC_RETURN_IF_ERROR(
      FindParts(context, *program, request.kind(), &record, response));
  const bool code = IsOfCode(request.kind());
  for (ProgramPartsRecord::Part& from :
       *(code ? record.mutable_code() : record.mutable_intervals())) {
    v1::ProgramPart* part = response->add_parts();
    part->set_begin_instruction(from.begin_instruction());
    part->set_instructions(from.instructions());
    part->set_scale(from.scale());
    part->set_function(std::move(*from.mutable_function()));
    part->set_address(from.address());
    part->mutable_values()->Swap(from.mutable_values());
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* AnalysisService::AnalyzeProgram(
    grpc::CallbackServerContext* call, const v1::AnalyzeProgramRequest* request,
    v1::AnalyzeProgramResponse* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) { return Analyze(context_, *request, response); });
}

grpc::ServerUnaryReactor* AnalysisService::GetProgramParts(
    grpc::CallbackServerContext* call,
    const v1::GetProgramPartsRequest* request, v1::ProgramParts* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) { return GetParts(context_, *request, response); });
}

}  // namespace perfvec::server
