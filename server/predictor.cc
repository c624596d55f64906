#include "server/predictor.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "server/predictor/vector_spread.h"

namespace perfvec::server {
namespace {

// A fresh State is made once garbage outweighs what is alive, and this many.
constexpr int64_t kMinGarbage = 4096;

std::string Label(absl::string_view name, int64_t version) {
  return absl::StrCat(name, "@", version);
}

// `values` in float32; INVALID_ARGUMENT for a wrong width or a value that is
// not finite there.
absl::StatusOr<std::vector<float>> ToFloats(
    absl::string_view what, const google::protobuf::RepeatedField<double>& from,
    int64_t width) {
  if (from.size() != width) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has a vector of ", from.size(),
                     " elements; its model expects ", width));
  }
  std::vector<float> to(width);
  for (int64_t k = 0; k < width; ++k) {
    to[k] = static_cast<float>(from[k]);
    if (!std::isfinite(to[k])) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " has ", from[k], " at element ", k,
                       " of its vector; expected a finite float32"));
    }
  }
  return to;
}

ItemInfo::Value ToValue(const v1::AttributeValue& value) {
  if (value.value_case() == v1::AttributeValue::kNumber) return value.number();
  return value.text();
}

// The manifest's calibration as JSON; empty: it has none.
std::string CalibrationJson(const v1::Model& model) {
  const auto manifest = nlohmann::json::parse(model.manifest_json(), nullptr,
                                              /*allow_exceptions=*/false);
  if (!manifest.is_object()) return "";
  const auto it = manifest.find("calibration");
  return it == manifest.end() ? "" : it->dump();
}

template <typename Aliases>
std::vector<std::string> ToVector(const Aliases& aliases) {
  return {aliases.begin(), aliases.end()};
}

}  // namespace

Item::Item(std::string item_name, int64_t item_version)
    : name(std::move(item_name)),
      version(item_version),
      label(Label(name, version)) {}

Predictor::Predictor() : state_(std::make_shared<State>()) {
  current_.store(state_.get());
}

Predictor::~Predictor() = default;

Snapshot Predictor::snapshot() const {
  ReaderGate::Scope scope(gate_);
  const State* state = current_.load(std::memory_order_seq_cst);
  return Snapshot(state->shared_from_this(), &books_);
}

absl::Status Predictor::AddModel(const v1::Model& model) {
  if (model.width() < 1 || model.width() > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("model \"", model.name(), "\" has width ", model.width(),
                     "; expected 1 to 65536"));
  }
  const std::string json = CalibrationJson(model);
  Model::Calibration calibration;
  if (!json.empty()) {
    auto parsed = compute::ParseCalibration(json, model.width());
    if (!parsed.ok()) return parsed.status();
    calibration =
        std::make_shared<const compute::Calibration>(*std::move(parsed));
  }
  absl::MutexLock lock(&mutex_);
  auto [it, is_new] = models_.try_emplace(model.model_id());
  const bool recalibrated = !is_new && it->second.calibration_json != json &&
                            !model.manifest_json().empty();
  if (is_new || recalibrated) {
    it->second.calibration_json = json;
    it->second.calibration = calibration;
  }
  if (is_new) {
    it->second.model = &state_->all_models.emplace_back(
        Label(model.name(), model.version()), model.model_id(), model.width(),
        calibration);
    it->second.name = model.name();
    it->second.version = model.version();
    books_.models.Add(model.name());
  }
  it->second.aliases = ToVector(model.aliases());
  // An alias is one for all versions of a name, "default" one for all models:
  // it has moved here from wherever it was.
  for (auto& [id, other] : models_) {
    if (id == model.model_id()) continue;
    auto& aliases = other.aliases;
    aliases.erase(std::remove_if(aliases.begin(), aliases.end(),
                                 [&](const std::string& alias) {
                                   return (alias == "default" ||
                                           other.name == model.name()) &&
                                          absl::c_linear_search(model.aliases(),
                                                                alias);
                                 }),
                  aliases.end());
  }
  PointModelRefs();
  Publish();
  if (recalibrated) Compact();
  return absl::OkStatus();
}

void Predictor::PointModelRefs() {
  std::map<std::string, Model*> refs;
  std::map<std::string, int64_t> latest;
  for (const auto& [id, known] : models_) {
    refs[id] = refs[known.model->label] = known.model;
    if (known.version >= latest[known.name]) {
      latest[known.name] = known.version;
      refs[known.name] = known.model;
    }
    for (const std::string& alias : known.aliases) {
      refs[absl::StrCat(known.name, "@", alias)] = known.model;
      if (alias == "default") refs[""] = known.model;
    }
  }
  for (const auto& [ref, model] : refs) state_->models.Set(ref, model);
  for (const auto& [ref, model] : model_refs_) {
    if (refs.find(ref) == refs.end()) state_->models.Set(ref, nullptr);
  }
  model_refs_ = std::move(refs);
}

void Predictor::RemoveModel(absl::string_view model_id) {
  absl::MutexLock lock(&mutex_);
  auto it = models_.find(std::string(model_id));
  if (it == models_.end()) return;
  Model* model = it->second.model;
  model->removed.store(true, std::memory_order_relaxed);
  books_.models.Remove(it->second.name);
  models_.erase(it);
  PointModelRefs();
  for (auto& families : families_) {
    for (auto& [name, family] : families) {
      auto& shown = family->shown;
      shown.erase(
          std::remove_if(shown.begin(), shown.end(),
                         [&](const Shown& s) { return s.model == model; }),
          shown.end());
    }
  }
  for (const VectorTable& table : model->tables) {
    state_->garbage += table.size();
  }
  Publish();
}

void Predictor::CountAttributes(Kind kind, const ItemInfo* info, bool add) {
  if (info == nullptr) return;
  NameBook& book = books_.attributes[static_cast<int>(kind)];
  for (const auto& [key, value] : info->attributes) {
    add ? book.Add(key) : book.Remove(key);
  }
}

Item* Predictor::PutItem(Kind kind, const std::string& name, int64_t version,
                         ItemInfo info) {
  const int k = static_cast<int>(kind);
  std::unique_ptr<Family>& family = families_[k][name];
  if (family == nullptr) {
    family = std::make_unique<Family>();
    books_.items[k].Add(name);
  }
  Item*& item = family->versions[version];
  if (item == nullptr) {
    item = &state_->all_items.emplace_back(name, version);
    ++versions_[k];
  }

  const ItemInfo* old = item->info.load(std::memory_order_relaxed);
  const ItemInfo* fresh = &state_->all_infos.emplace_back(std::move(info));
  item->info.store(fresh, std::memory_order_release);
  CountAttributes(kind, fresh, true);
  CountAttributes(kind, old, false);
  state_->garbage += old != nullptr;
  return item;
}

// After the vectors: who finds the item by name finds them too.
void Predictor::PointItemRefs(Kind kind, Item* item,
                              const std::vector<std::string>& aliases) {
  RefIndex<Item>& refs = state_->refs[static_cast<int>(kind)];
  Family* family = families_[static_cast<int>(kind)][item->name].get();
  const std::string& name = item->name;
  const std::set<std::string> wanted(aliases.begin(), aliases.end());
  for (auto it = family->aliases.begin(); it != family->aliases.end();) {
    if (it->second == item->version && wanted.count(it->first) == 0) {
      refs.Set(absl::StrCat(name, "@", it->first), nullptr);
      it = family->aliases.erase(it);
    } else {
      ++it;
    }
  }
  for (const std::string& alias : wanted) {
    family->aliases[alias] = item->version;
    refs.Set(absl::StrCat(name, "@", alias), item);
  }
  refs.Set(item->label, item);
  refs.Set(name, family->versions.rbegin()->second);
}

void Predictor::PutVector(Kind kind, Family& family, Item* item, Model* model,
                          const float* values, uint64_t instructions,
                          VectorSpread spread) {
  Calibrate(*model, kind, item->name, values, instructions, &spread);
  VectorTable& table = model->tables[static_cast<int>(kind)];
  const uint64_t next = state_->epoch.load(std::memory_order_relaxed) + 1;
  auto shown = std::find_if(family.shown.begin(), family.shown.end(),
                            [&](const Shown& s) { return s.model == model; });
  const bool newest =
      shown == family.shown.end() || shown->version <= item->version;
  const int64_t row =
      table.Append(values, item, instructions, next, newest ? kNoEnd : next);
  if (newest && shown != family.shown.end()) {
    table.End(shown->row, next);
    *shown = {model, item->version, row};
  } else if (newest) {
    family.shown.push_back({model, item->version, row});
  }
  const ItemVector* first = item->vectors.load(std::memory_order_relaxed);
  state_->garbage += item->FindVector(model) != nullptr;
  item->vectors.store(
      &state_->all_vectors.emplace_back(ItemVector{
          item, model, row, instructions, table.values(row),
          &state_->all_spreads.emplace_back(std::move(spread)), first}),
      std::memory_order_release);
}

absl::Status Predictor::AddProgram(const v1::Program& program) {
  ItemInfo info;
  for (const auto& [key, value] : program.tags()) {
    info.attributes[absl::StrCat("tag.", key)] = value;
  }
  info.attributes["instructions"] = static_cast<double>(program.instructions());
  info.attributes["isa"] = program.isa();
  absl::MutexLock lock(&mutex_);
  Item* item = PutItem(Kind::kProgram, program.name(), program.version(),
                       std::move(info));
  PointItemRefs(Kind::kProgram, item, ToVector(program.aliases()));
  Publish();
  return absl::OkStatus();
}

absl::Status Predictor::AddProgramVector(
    const storage::v1::ProgramVectorRecord& vector) {
  const std::string what = absl::StrCat(
      "program ", Label(vector.program_name(), vector.program_version()));
  absl::MutexLock lock(&mutex_);
  auto model = models_.find(vector.model_id());
  if (model == models_.end()) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, " has a vector of model ", vector.model_id(), ", unknown here"));
  }
  auto& families = families_[static_cast<int>(Kind::kProgram)];
  auto family = families.find(vector.program_name());
  if (family == families.end() ||
      family->second->versions.count(vector.program_version()) == 0) {
    return absl::NotFoundError(
        absl::StrCat(what, " is unknown; it may have been deleted"));
  }
  const int64_t width = model->second.model->tables[0].width();
  auto values = ToFloats(what, vector.values(), width);
  if (!values.ok()) return values.status();
  PutVector(Kind::kProgram, *family->second,
            family->second->versions[vector.program_version()],
            model->second.model, values->data(), vector.instructions(),
            SpreadOfProgram(vector, width));
  Publish();
  return absl::OkStatus();
}

absl::Status Predictor::AddArchitecture(const v1::Architecture& architecture) {
  const std::string what = absl::StrCat(
      "architecture ", Label(architecture.name(), architecture.version()));
  ItemInfo info;
  for (const auto& [key, value] : architecture.attributes()) {
    info.attributes[key] = ToValue(value);
  }
  for (const auto& [key, value] : architecture.tags()) {
    info.attributes[absl::StrCat("tag.", key)] = value;
  }
  if (architecture.has_price_per_hour()) {
    info.price_per_hour = architecture.price_per_hour();
  }
  if (architecture.has_power_watts()) {
    info.power_watts = architecture.power_watts();
  }

  absl::MutexLock lock(&mutex_);
  struct Parsed {
    Model* model;
    std::vector<float> values;
    const v1::ArchitectureVector* from;
  };
  std::vector<Parsed> vectors;
  for (const v1::ArchitectureVector& vector : architecture.vectors()) {
    auto model = models_.find(vector.model_id());
    if (model == models_.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, " has a vector of model ", vector.model_id(),
                       ", unknown here"));
    }
    auto values =
        ToFloats(what, vector.values(), model->second.model->tables[0].width());
    if (!values.ok()) return values.status();
    vectors.push_back({model->second.model, *std::move(values), &vector});
  }
  Item* item = PutItem(Kind::kArchitecture, architecture.name(),
                       architecture.version(), std::move(info));
  Family& family =
      *families_[static_cast<int>(Kind::kArchitecture)][architecture.name()];
  for (const auto& [model, values, from] : vectors) {
    const ItemVector* known = item->FindVector(model);
    bool same = known != nullptr;
    for (int64_t k = 0; same && k < static_cast<int64_t>(values.size()); ++k) {
      same = known->values[k] == values[k];
    }
    if (!same) {
      PutVector(Kind::kArchitecture, family, item, model, values.data(), 0,
                SpreadOfArchitecture(*from, values.size()));
    }
  }
  PointItemRefs(Kind::kArchitecture, item, ToVector(architecture.aliases()));
  Publish();
  return absl::OkStatus();
}

void Predictor::RemoveProgram(absl::string_view name, int64_t version) {
  RemoveItem(Kind::kProgram, name, version);
}

void Predictor::RemoveArchitecture(absl::string_view name, int64_t version) {
  RemoveItem(Kind::kArchitecture, name, version);
}

void Predictor::RemoveItem(Kind kind, absl::string_view name, int64_t version) {
  const int k = static_cast<int>(kind);
  absl::MutexLock lock(&mutex_);
  auto found = families_[k].find(name);
  if (found == families_[k].end()) return;
  Family& family = *found->second;
  auto it = family.versions.find(version);
  if (it == family.versions.end()) return;
  const Item* item = it->second;
  family.versions.erase(it);
  --versions_[k];

  RefIndex<Item>& refs = state_->refs[k];
  refs.Set(name, family.versions.empty() ? nullptr
                                         : family.versions.rbegin()->second);
  refs.Set(item->label, nullptr);
  for (auto alias = family.aliases.begin(); alias != family.aliases.end();) {
    if (alias->second == version) {
      refs.Set(absl::StrCat(name, "@", alias->first), nullptr);
      alias = family.aliases.erase(alias);
    } else {
      ++alias;
    }
  }

  const std::vector<Shown> shown = std::move(family.shown);
  family.shown.clear();
  const uint64_t next = state_->epoch.load(std::memory_order_relaxed) + 1;
  for (const Shown& s : shown) {
    if (s.version != version) {
      family.shown.push_back(s);
      continue;
    }
    s.model->tables[k].End(s.row, next);
    // The newest of the rest is shown instead, as a new row.
    for (auto older = family.versions.rbegin(); older != family.versions.rend();
         ++older) {
      const ItemVector* v = older->second->FindVector(s.model);
      if (v == nullptr) continue;
      PutVector(kind, family, older->second, s.model, v->values,
                v->instructions, *v->spread);
      break;
    }
  }
  for (const ItemVector* v = item->vectors.load(std::memory_order_relaxed);
       v != nullptr; v = v->next) {
    ++state_->garbage;
  }
  state_->garbage += 2;  // the item and its info
  CountAttributes(kind, item->info.load(std::memory_order_relaxed), false);
  if (family.versions.empty()) {
    books_.items[k].Remove(name);
    families_[k].erase(found);
  }
  Publish();
}

void Predictor::NoteJob(const v1::Job& job) {
  absl::MutexLock lock(&mutex_);
  auto& families = families_[static_cast<int>(Kind::kProgram)];
  auto family = families.find(job.program_name());
  if (family == families.end()) return;
  auto it = family->second->versions.find(job.program_version());
  if (it == family->second->versions.end()) return;
  Item* item = it->second;
  const JobNote* first = item->jobs.load(std::memory_order_relaxed);
  for (const JobNote* note = first; note != nullptr; note = note->next) {
    if (note->model_id != job.model_id()) continue;
    if (note->job_id == job.job_id() && note->state == job.state()) return;
    ++state_->garbage;
    break;
  }
  item->jobs.store(
      &state_->all_jobs.emplace_back(JobNote{job.model_id(), job.job_id(),
                                             job.state(), job.error(), first}),
      std::memory_order_release);
  Publish();
}

void Predictor::Publish() {
  state_->epoch.store(state_->epoch.load(std::memory_order_relaxed) + 1,
                      std::memory_order_release);
  if (state_->garbage > std::max(kMinGarbage, state_->live())) Compact();
}

}  // namespace perfvec::server
