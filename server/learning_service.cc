#include "server/learning_service.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/call.h"
#include "server/predictor.h"
#include "storage/registry.h"
#include "storage/status_macros.h"
#include "worker/learn/learn_from_times.h"

namespace perfvec::server {
namespace {

constexpr int kMaxRuns = compute::kMaxTotals;
constexpr int kMaxTraces = 64;
constexpr int kMaxRepetitions = 1000;
// Of a model without calibration.
constexpr double kExpectedNoise = 0.05;
constexpr double kTenthNsInNs = 10;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Standard deviation of one repetition; 0 for a single one.
double Deviation(const google::protobuf::RepeatedField<double>& values) {
  if (values.size() < 2) return 0;
  double mean = 0, square = 0;
  for (double v : values) mean += v / values.size();
  for (double v : values) square += (v - mean) * (v - mean);
  return std::sqrt(square / (values.size() - 1));
}

absl::Status NotTimes(const std::string& program, absl::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat("program ", program, ": expected 1 to ", kMaxRepetitions,
                   " positive times and a spread of 0 or more, found ", found));
}

absl::StatusOr<compute::Evidence> EvidenceOfRun(const v1::RunEvidence& run,
                                                const Snapshot& snapshot,
                                                const Model& model) {
  PERFVEC_ASSIGN_OR_RETURN(
      const ItemVector* vector,
      snapshot.FindVector(Kind::kProgram, run.program(), model));
  const std::string& label = vector->item->label;
  if (run.time_ns().empty() || run.time_ns_size() > kMaxRepetitions) {
    return NotTimes(label, absl::StrCat(run.time_ns_size(), " times"));
  }
  for (double t : run.time_ns()) {
    if (!(t > 0) || !std::isfinite(t)) return NotTimes(label, absl::StrCat(t));
  }
  const double given = run.spread_ns();
  if (!(given >= 0) || !std::isfinite(given)) {
    return NotTimes(label, absl::StrCat("a spread of ", given));
  }
  compute::Evidence out;
  out.program = label;
  out.instructions = static_cast<double>(vector->instructions);
  compute::Total total;
  const int64_t width = model.tables[0].width();
  total.sum.assign(vector->values, vector->values + width);
  const double time = Median({run.time_ns().begin(), run.time_ns().end()});
  const double spread = given > 0 ? given : Deviation(run.time_ns());
  total.time = time * kTenthNsInNs;
  total.noise = std::min(
      10.0, spread / time / std::sqrt(static_cast<double>(run.time_ns_size())));
  out.totals.push_back(std::move(total));
  return out;
}

absl::StatusOr<compute::Evidence> EvidenceOfTrace(
    const v1::TraceEvidence& trace, const Model& model) {
  const auto bad = [&](const std::string& expected, int64_t found) {
    return absl::InvalidArgumentError(
        absl::StrCat("evidence of program ", trace.program(), ": expected ",
                     expected, ", found ", found));
  };
  const int64_t h = model.tables[0].width();
  if (trace.model_id() != model.model_id) {
    return absl::InvalidArgumentError(absl::StrCat(
        "evidence of program ", trace.program(), ": expected sums of model ",
        model.model_id, ", found those of ", trace.model_id()));
  }
  if (trace.columns_size() != 1) {
    return bad("one column of latencies", trace.columns_size());
  }
  const v1::TraceEvidence::Column& column = trace.columns(0);
  const int64_t intervals = column.interval_times_size();
  if (intervals < 1 || trace.interval_sums_size() != intervals * h) {
    return bad(absl::StrCat(intervals * h, " sums of ", intervals,
                            " intervals, at least one"),
               trace.interval_sums_size());
  }
  compute::Evidence out;
  out.program = trace.program();
  out.instructions = trace.instructions();
  for (int64_t k = 0; k < intervals; ++k) {
    compute::Total total;
    const double* sum = trace.interval_sums().data() + k * h;
    total.sum.assign(sum, sum + h);
    total.time = column.interval_times(static_cast<int>(k));
    out.totals.push_back(std::move(total));
  }
  if (trace.gram().empty()) return out;
  if (trace.gram_size() != h * (h + 1) / 2 || column.cross_size() != h) {
    return bad(absl::StrCat("an upper triangle of ", h * (h + 1) / 2,
                            " numbers and ", h, " products"),
               trace.gram_size());
  }
  out.gram.resize(h * h);
  const double* from = trace.gram().data();
  for (int64_t i = 0; i < h; ++i) {
    for (int64_t j = i; j < h; ++j) {
      out.gram[i * h + j] = out.gram[j * h + i] = *from++;
    }
  }
  out.cross.assign(column.cross().begin(), column.cross().end());
  return out;
}

// The trained architectures under the model, without those of the name `but`:
// everybody's, and those of its tenant, since who sees the one learned sees
// what its report says of them.
std::vector<compute::KnownVector> Known(const Snapshot& snapshot,
                                        const Model& model,
                                        absl::string_view but) {
  const VectorTable& table = model.table(Kind::kArchitecture);
  std::vector<compute::KnownVector> out;
  for (int64_t row = 0; row < table.size(); ++row) {
    if (!snapshot.Shows(table.row(row))) continue;
    const Item& item = *table.row(row).item;
    const ItemVector* vector = item.FindVector(&model);
    if (vector == nullptr || !vector->spread->trained || item.name == but) {
      continue;
    }
    out.push_back(
        {item.label, {vector->values, vector->values + table.width()}});
  }
  return out;
}

// `from` of the latest version where the draft says nothing.
void FillFrom(const v1::Architecture& latest, v1::Architecture* draft) {
  for (const auto& [key, value] : latest.tags()) {
    draft->mutable_tags()->insert({key, value});
  }
  for (const auto& [key, value] : latest.attributes()) {
    draft->mutable_attributes()->insert({key, value});
  }
  if (!draft->has_price_per_hour() && latest.has_price_per_hour()) {
    draft->set_price_per_hour(latest.price_per_hour());
  }
  if (!draft->has_power_watts() && latest.has_power_watts()) {
    draft->set_power_watts(latest.power_watts());
  }
}

void Report(const compute::LearnedVector& learned,
            const std::vector<compute::Evidence>& evidence,
            const std::vector<compute::KnownVector>& known,
            v1::LearnReport* report) {
  for (size_t p = 0; p < evidence.size(); ++p) {
    const compute::ProgramFit& fit = learned.programs[p];
    v1::LearnReport::Program* program = report->add_programs();
    program->set_program(evidence[p].program);
    program->set_time_ns(fit.time / kTenthNsInNs);
    program->set_fitted_ns(fit.fitted / kTenthNsInNs);
    program->set_left_out_ns(fit.left_out / kTenthNsInNs);
    program->set_set_aside(fit.set_aside);
    program->set_evidence(!evidence[p].gram.empty()       ? "instructions"
                          : evidence[p].totals.size() > 1 ? "intervals"
                                                          : "run");
  }
  report->set_fit_error(learned.fit_error);
  report->set_left_out_error(learned.left_out_error);
  report->set_noise(learned.noise);
  report->set_determined_directions(learned.determined_directions);
  report->set_known_architectures(static_cast<uint32_t>(known.size()));
  report->set_scale_ns(learned.scale / kTenthNsInNs);
  report->set_distance(learned.distance);
  report->set_out_of_distribution(
      compute::StrangeArchitecture(learned.distance));
  report->set_nearest_architecture(known[learned.nearest].name);
  report->set_nearest_ratio(learned.nearest_ratio);
  for (const std::string& warning : learned.warnings) {
    report->add_warnings(warning);
  }
}

absl::StatusOr<v1::Architecture> Learn(
    const Predictor& predictor, const v1::LearnArchitectureRequest& request,
    std::function<bool()> stop) {
  if (request.runs_size() > kMaxRuns || request.traces_size() > kMaxTraces ||
      request.runs_size() + request.traces_size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected evidence: 1 to ", kMaxRuns, " runs or up to ",
                     kMaxTraces, " traces, found ", request.runs_size(),
                     " and ", request.traces_size()));
  }
  if (!request.architecture().vectors().empty()) {
    return absl::InvalidArgumentError(
        "the architecture to learn has a vector already; leave it out");
  }
  Snapshot snapshot = predictor.snapshot();
  snapshot.LimitTo(storage::TenantOf(request.architecture().name()));
  PERFVEC_ASSIGN_OR_RETURN(const Model* model,
                           snapshot.FindModel(request.model()));
  std::vector<compute::Evidence> evidence;
  for (const v1::RunEvidence& run : request.runs()) {
    PERFVEC_ASSIGN_OR_RETURN(compute::Evidence one,
                             EvidenceOfRun(run, snapshot, *model));
    evidence.push_back(std::move(one));
  }
  for (const v1::TraceEvidence& trace : request.traces()) {
    PERFVEC_ASSIGN_OR_RETURN(compute::Evidence one,
                             EvidenceOfTrace(trace, *model));
    evidence.push_back(std::move(one));
  }
  const std::vector<compute::KnownVector> known =
      Known(snapshot, *model, request.architecture().name());
  if (known.size() < 2) {
    return absl::FailedPreconditionError(absl::StrCat(
        "model ", model->label, " has ", known.size(),
        " trained architectures here, learning starts from two or more; "
        "register the model with those of its manifest: perfvec model create "
        "DIRECTORY --name NAME --architectures"));
  }
  compute::LearnSettings settings;
  settings.stop = std::move(stop);
  settings.expected_noise = kExpectedNoise;
  if (model->calibration != nullptr) {
    settings.expected_noise = model->calibration->noise;
    settings.directions = model->calibration->directions;
  }
  PERFVEC_ASSIGN_OR_RETURN(compute::LearnedVector learned,
                           compute::LearnFromTimes(evidence, known, settings));

  v1::Architecture draft = request.architecture();
  v1::ArchitectureVector* vector = draft.add_vectors();
  vector->set_model_id(model->model_id);
  vector->set_origin("learned");
  vector->mutable_values()->Add(learned.vector.begin(), learned.vector.end());
  vector->mutable_uncertainty()->mutable_factors()->Add(learned.factors.begin(),
                                                        learned.factors.end());
  Report(learned, evidence, known, vector->mutable_learned());
  return draft;
}

}  // namespace

grpc::ServerUnaryReactor* LearningService::LearnArchitecture(
    grpc::CallbackServerContext* call,
    const v1::LearnArchitectureRequest* request,
    v1::LearnArchitectureResponse* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        const absl::Time deadline = CallDeadline(*call, kMaxUnaryTime);
        PERFVEC_ASSIGN_OR_RETURN(v1::Architecture draft,
                                 Learn(*context_.predictor, *request, [&] {
                                   return !CheckAlive(*call, deadline).ok();
                                 }));
        if (request->dry_run()) {
          *response->mutable_architecture() = std::move(draft);
          return absl::OkStatus();
        }
        storage::Registry& registry = *context_.registry;
        absl::MutexLock lock(&context_.names->For(draft.name()));
        const auto latest = registry.GetArchitecture(draft.name());
        if (latest.ok()) {
          FillFrom(*latest, &draft);
        } else if (!absl::IsNotFound(latest.status())) {
          return latest.status();
        }
        PERFVEC_ASSIGN_OR_RETURN(*response->mutable_architecture(),
                                 registry.CreateArchitecture(std::move(draft)));
        return context_.predictor->AddArchitecture(response->architecture());
      });
}

}  // namespace perfvec::server
