// Loading, compaction and counts of the predictor.
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/predictor.h"
#include "storage/registry.h"

namespace perfvec::server {
namespace {

// Calls `visit` with each object of a paged listing, all versions.
template <typename List, typename Visit>
absl::Status ForEachListed(const List& list, const Visit& visit) {
  v1::PageRequest request;
  request.set_page_size(1000);
  request.set_all_versions(true);
  do {
    auto page = list(request);
    if (!page.ok()) return page.status();
    for (const auto& item : page->items) visit(item);
    request.set_page_token(page->next_page_token);
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

}  // namespace

absl::Status Predictor::Load(storage::Registry& registry,
                             const std::function<void(absl::Status)>& bad) {
  const auto check = [&](const absl::Status& status) {
    if (!status.ok()) bad(status);
  };
  absl::Status status = ForEachListed(
      [&](const v1::PageRequest& page) { return registry.ListModels(page); },
      [&](const v1::Model& listed) {
        // A listing leaves the manifest out, which has the calibration.
        auto model = registry.GetModel(listed.model_id());
        check(model.ok() ? AddModel(*model) : model.status());
      });
  if (!status.ok()) return status;
  status = ForEachListed(
      [&](const v1::PageRequest& page) { return registry.ListPrograms(page); },
      [&](const v1::Program& program) { check(AddProgram(program)); });
  if (!status.ok()) return status;
  status = registry.ForEachArchitecture(
      [&](const v1::Architecture& architecture) {
        check(AddArchitecture(architecture));
      },
      bad);
  if (!status.ok()) return status;
  status = registry.ForEachProgramVector(
      [&](const storage::v1::ProgramVectorRecord& vector) {
        check(AddProgramVector(vector));
      },
      bad);
  if (!status.ok()) return status;
  auto jobs = registry.UnfinishedJobs();
  if (!jobs.ok()) return jobs.status();
  for (const v1::Job& job : *jobs) NoteJob(job);
  return absl::OkStatus();
}

// Copies what is alive into a fresh State and frees the old one once the
// readers in it have left. Costs the size of what is alive, and is due only
// after as much has become garbage: a constant share of each write.
void Predictor::Compact() {
  const std::shared_ptr<State> old =
      std::exchange(state_, std::make_shared<State>());
  state_->epoch.store(old->epoch.load(std::memory_order_relaxed),
                      std::memory_order_relaxed);
  absl::flat_hash_map<const Model*, Model*> models;
  for (auto& [id, known] : models_) {
    Model*& fresh = models[known.model];
    fresh = &state_->all_models.emplace_back(known.model->label, id,
                                             known.model->tables[0].width(),
                                             known.calibration);
    known.model = fresh;
  }
  model_refs_.clear();
  PointModelRefs();

  for (int k = 0; k < kKinds; ++k) {
    RefIndex<Item>& refs = state_->refs[k];
    for (auto& [name, family] : families_[k]) {
      family->shown.clear();
      for (auto& [version, item] : family->versions) {
        const Item& from = *item;
        Item& to = state_->all_items.emplace_back(name, version);
        item = &to;
        to.info.store(&state_->all_infos.emplace_back(*from.info.load()));
        refs.Set(to.label, &to);
        refs.Set(name, &to);
        for (const JobNote* job = from.jobs.load(); job != nullptr;
             job = job->next) {
          bool newer = false;
          for (const JobNote* n = to.jobs.load(); n != nullptr; n = n->next) {
            newer |= n->model_id == job->model_id;
          }
          if (newer) continue;
          JobNote& note = state_->all_jobs.emplace_back(*job);
          note.next = to.jobs.load();
          to.jobs.store(&note);
        }
        for (const ItemVector* v = from.vectors.load(); v != nullptr;
             v = v->next) {
          const auto model = models.find(v->model);
          if (model == models.end() || to.FindVector(model->second)) continue;
          PutVector(static_cast<Kind>(k), *family, &to, model->second,
                    v->values, v->instructions, *v->spread);
        }
      }
      for (const auto& [alias, version] : family->aliases) {
        refs.Set(absl::StrCat(name, "@", alias), family->versions.at(version));
      }
    }
  }
  state_->garbage = 0;
  state_->epoch.store(old->epoch.load(std::memory_order_relaxed) + 1,
                      std::memory_order_relaxed);
  current_.store(state_.get(), std::memory_order_seq_cst);
  gate_.Synchronize();
  ++compactions_;
}

Predictor::Stats Predictor::stats() const {
  absl::MutexLock lock(&mutex_);
  Stats stats;
  stats.models = models_.size();
  stats.compactions = compactions_;
  stats.programs = versions_[static_cast<int>(Kind::kProgram)];
  stats.architectures = versions_[static_cast<int>(Kind::kArchitecture)];
  for (const Model& model : state_->all_models) {
    for (const VectorTable& table : model.tables) {
      stats.vectors += table.size();
      stats.bytes += 2 * table.size() * table.width() * sizeof(float);
    }
  }
  return stats;
}

}  // namespace perfvec::server
