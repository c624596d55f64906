#include "server/ranking.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/predictor/vector_spread.h"
#include "server/ranking_constraint.h"

namespace perfvec::server {
namespace {

constexpr double kNsPerHour = 3600e9;
constexpr double kNsPerSecond = 1e9;

const char* KindName(Kind kind) {
  return kind == Kind::kProgram ? "program" : "architecture";
}

// Currency or watts by which a time is multiplied; nothing: it has none.
std::optional<double> Factor(v1::Objective objective, const ItemInfo& info) {
  std::optional<double> factor;
  switch (objective) {
    case v1::OBJECTIVE_COST:
      factor = info.price_per_hour;
      if (factor) *factor /= kNsPerHour;
      break;
    case v1::OBJECTIVE_ENERGY:
      factor = info.power_watts;
      if (factor) *factor /= kNsPerSecond;
      break;
    default:
      return 1;
  }
  if (factor && !(*factor >= 0 && std::isfinite(*factor))) return std::nullopt;
  return factor;
}

struct Entry {
  double value;
  double time_ns;
  const Item* item;

  bool operator<(const Entry& other) const {  // better than
    if (value != other.value) return value < other.value;
    if (item->name != other.item->name) return item->name < other.item->name;
    return item->version < other.item->version;
  }
};

// Counts and judges rows one after the other; keeps the best.
class Ranker {
 public:
  Ranker(const v1::RankRequest& request,
         const std::vector<CompiledConstraint>& constraints, size_t limit,
         std::optional<double> fixed_factor, const Model& model,
         const ItemVector& subject, const Intervals& intervals,
         v1::RankResponse* response)
      : request_(request),
        model_(model),
        subject_(subject),
        intervals_(intervals),
        constraints_(constraints),
        limit_(limit),
        fixed_factor_(fixed_factor),
        response_(*response) {}

  void Consider(const Item* item, float time_tenth_ns) {
    ++considered_;
    std::optional<double> factor = fixed_factor_;
    if (!factor || !constraints_.empty()) {
      const ItemInfo& info = *item->info.load(std::memory_order_acquire);
      for (const CompiledConstraint& constraint : constraints_) {
        if (!constraint.Holds(*item, info)) {
          ++by_constraints_;
          return;
        }
      }
      if (!factor) factor = Factor(request_.objective(), info);
      if (!factor) {
        ++without_objective_;
        return;
      }
    }
    double time_ns;
    if (!ToTimeNs(time_tenth_ns, &time_ns)) {
      ++out_of_range_;
      return;
    }
    if (request_.has_deadline_ns() && time_ns > request_.deadline_ns()) {
      ++by_deadline_;
      return;
    }
    Keep({time_ns * *factor, time_ns, item});
  }

  void Finish() {
    std::sort_heap(best_.begin(), best_.end());
    for (const Entry& entry : best_) {
      v1::RankResponse::Item* item = response_.add_items();
      item->set_name(entry.item->label);
      item->set_time_ns(entry.time_ns);
      item->set_objective_value(entry.value);
      const double best = best_.front().value;
      item->set_relative_to_best(entry.value == best ? 1 : entry.value / best);
      if (intervals_.known()) AddInterval(entry, item);
    }
    if (intervals_.known()) response_.set_confidence(intervals_.confidence());
    response_.set_considered(considered_);
    response_.set_excluded_by_constraints(by_constraints_);
    response_.set_excluded_by_deadline(by_deadline_);
    response_.set_excluded_without_objective(without_objective_);
    response_.set_excluded_out_of_range(out_of_range_);
  }

 private:
  void AddInterval(const Entry& entry, v1::RankResponse::Item* item) {
    const ItemVector* listed = entry.item->FindVector(&model_);
    const bool programs = request_.has_architecture();
    const ItemVector& program = programs ? *listed : subject_;
    const ItemVector& architecture = programs ? subject_ : *listed;
    const double factor =
        intervals_.Factor(program, architecture, 10 * entry.time_ns);
    item->set_low_ns(entry.time_ns / factor);
    item->set_high_ns(entry.time_ns * factor);
    item->set_program_out_of_distribution(
        StrangeOn(*program.spread, *architecture.spread));
    item->set_architecture_out_of_distribution(architecture.spread->strange);
  }

  // A heap with the worst of the best on top.
  void Keep(Entry entry) {
    if (best_.size() == limit_) {
      if (!(entry < best_.front())) return;
      std::pop_heap(best_.begin(), best_.end());
      best_.pop_back();
    }
    best_.push_back(entry);
    std::push_heap(best_.begin(), best_.end());
  }

  const v1::RankRequest& request_;
  const Model& model_;
  const ItemVector& subject_;
  const Intervals& intervals_;
  const std::vector<CompiledConstraint>& constraints_;
  const size_t limit_;
  const std::optional<double> fixed_factor_;
  v1::RankResponse& response_;
  std::vector<Entry> best_;
  uint64_t considered_ = 0, by_constraints_ = 0, by_deadline_ = 0,
           without_objective_ = 0, out_of_range_ = 0;
};

// All rows shown at the snapshot. Only full panels go to the kernel: into the
// last one a writer may be writing.
absl::Status ConsiderAll(const Snapshot& snapshot, const VectorTable& table,
                         const float* subject,
                         const std::function<bool()>& stop, Ranker& ranker) {
  const Kernels& kernels = BestKernels();
  const int64_t size = table.size();
  std::array<float, kBlockRows> times;
  for (int64_t first = 0; first < size; first += kBlockRows) {
    if (stop()) return absl::CancelledError("the caller has gone");
    const VectorTable::Block& block = table.block(first / kBlockRows);
    const int64_t rows = std::min(kBlockRows, size - first);
    const int64_t full = rows / kPanelRows;
    kernels.rank(subject, block.panels.get(), full, table.width(),
                 times.data());
    for (int64_t i = full * kPanelRows; i < rows; ++i) {
      times[i] = kernels.dot(subject, table.values(first + i), table.width());
    }
    for (int64_t i = 0; i < rows; ++i) {
      if (snapshot.Shows(block.rows[i])) {
        ranker.Consider(block.rows[i].item, times[i]);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ConsiderCandidates(const Snapshot& snapshot, Kind kind,
                                const Model& model, const float* subject,
                                const v1::RankRequest& request,
                                Ranker& ranker) {
  const Kernels& kernels = BestKernels();
  absl::flat_hash_set<const Item*> seen;
  for (const std::string& ref : request.candidates()) {
    const auto vector = snapshot.FindVector(kind, ref, model);
    if (!vector.ok()) return vector.status();
    if (!seen.insert((*vector)->item).second) continue;
    ranker.Consider((*vector)->item, kernels.dot(subject, (*vector)->values,
                                                 model.table(kind).width()));
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(const v1::RankRequest& request) {
  if (request.subject_case() == v1::RankRequest::SUBJECT_NOT_SET) {
    return absl::InvalidArgumentError(
        "nothing to rank for: expected program or architecture");
  }
  if (request.limit() < 0 || request.limit() > kMaxRankLimit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "limit is ", request.limit(), "; expected 0 to ", kMaxRankLimit));
  }
  if (request.candidates_size() > kMaxCandidates) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.candidates_size(),
                     " candidates; expected at most ", kMaxCandidates));
  }
  if (!v1::Objective_IsValid(request.objective())) {
    return absl::InvalidArgumentError(
        absl::StrCat("objective ", static_cast<int>(request.objective()),
                     " is unknown; expected time, cost or energy"));
  }
  if (request.has_deadline_ns() && !(request.deadline_ns() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("deadline_ns is ", request.deadline_ns(),
                     "; expected a positive number"));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t RankRows(const Snapshot& snapshot, const v1::RankRequest& request) {
  if (request.candidates_size() > 0) return request.candidates_size();
  const auto model = snapshot.FindModel(request.model());
  if (!model.ok()) return 0;
  return (*model)
      ->table(request.has_program() ? Kind::kArchitecture : Kind::kProgram)
      .size();
}

absl::Status Rank(const Snapshot& snapshot, const v1::RankRequest& request,
                  const std::function<bool()>& stop,
                  v1::RankResponse* response) {
  if (absl::Status s = CheckRequest(request); !s.ok()) return s;
  const auto model = snapshot.FindModel(request.model());
  if (!model.ok()) return model.status();
  const bool has_program = request.has_program();
  const Kind of = has_program ? Kind::kProgram : Kind::kArchitecture;
  const Kind among = has_program ? Kind::kArchitecture : Kind::kProgram;
  const auto subject = snapshot.FindVector(
      of, has_program ? request.program() : request.architecture(), **model);
  if (!subject.ok()) return subject.status();
  const NameBook& attributes =
      snapshot.books().attributes[static_cast<int>(among)];
  const auto constraints = CompileConstraints(
      among, request.constraints(), snapshot.limited() ? nullptr : &attributes);
  if (!constraints.ok()) return constraints.status();
  const auto intervals = Intervals::Make(**model, request.confidence());
  if (!intervals.ok()) return intervals.status();

  const Item& item = *(*subject)->item;
  std::optional<double> fixed_factor;  // the same for all candidates
  if (request.objective() == v1::OBJECTIVE_UNSPECIFIED ||
      request.objective() == v1::OBJECTIVE_TIME) {
    fixed_factor = 1;
  } else if (!has_program) {
    fixed_factor = Factor(request.objective(), *item.info.load());
    if (!fixed_factor) {
      return absl::FailedPreconditionError(absl::StrCat(
          "architecture ", item.label, " has no ",
          request.objective() == v1::OBJECTIVE_COST ? "price_per_hour"
                                                    : "power_watts",
          ", which this objective needs; set it or rank by time"));
    }
  }
  const VectorTable& table = (*model)->table(among);
  const size_t limit =
      request.limit() == 0 ? kDefaultRankLimit : request.limit();
  Ranker ranker(request, *constraints, limit, fixed_factor, **model, **subject,
                *intervals, response);
  const absl::Status status =
      request.candidates_size() > 0
          ? ConsiderCandidates(snapshot, among, **model, (*subject)->values,
                               request, ranker)
          : ConsiderAll(snapshot, table, (*subject)->values, stop, ranker);
  if (!status.ok()) return status;
  ranker.Finish();
  if (response->considered() == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("no ", KindName(among), " has a vector under model \"",
                     (*model)->label, "\""));
  }
  response->set_subject(item.label);
  response->set_model_id((*model)->model_id);
  return absl::OkStatus();
}

}  // namespace perfvec::server
