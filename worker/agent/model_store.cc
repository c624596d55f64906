#include "worker/agent/model_store.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "worker/model/safetensors.h"

namespace perfvec::worker {
namespace {

namespace fs = std::filesystem;
using compute::FoundationModel;

constexpr absl::Duration kFetchLimit = absl::Minutes(5);

// A model id becomes a directory name: nothing else may.
bool IsModelId(const std::string& id) {
  return id.size() == 64 && std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::Status Expect(const FoundationModel& model, const std::string& model_id,
                    const std::string& from) {
  if (model.id() == model_id) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("model from ", from, ": expected id ",
                                          model_id, ", its content has id ",
                                          model.id()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelStore>> ModelStore::Open(
    ModelStoreOptions options) {
  auto store = std::unique_ptr<ModelStore>(new ModelStore(std::move(options)));
  for (const std::string& directory : store->options_.directories) {
    auto model = FoundationModel::Load(directory);
    if (!model.ok()) {
      return absl::Status(
          model.status().code(),
          absl::StrCat("'", directory, "' is not a foundation model: ",
                       model.status().message()));
    }
    spdlog::info("model {} from {}", model->id().substr(0, 12), directory);
    store->given_.push_back(
        std::make_shared<const FoundationModel>(*std::move(model)));
  }
  return store;
}

absl::StatusOr<ModelStore::ModelPtr> ModelStore::Get(
    const std::string& model_id, ServerConnection* server,
    Interrupt* interrupt) {
  if (!IsModelId(model_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", model_id, "' is not a model id"));
  }
  for (const ModelPtr& model : given_) {
    if (model->id() == model_id) return model;
  }
  for (auto it = held_.begin(); it != held_.end(); ++it) {
    if ((*it)->id() != model_id) continue;
    held_.splice(held_.begin(), held_, it);
    return held_.front();
  }
  absl::StatusOr<ModelPtr> model = LoadCached(model_id);
  if (!model.ok()) model = Fetch(model_id, server, interrupt);
  if (!model.ok()) return model.status();
  held_.push_front(*model);
  if (held_.size() > options_.held_models) held_.pop_back();
  return model;
}

absl::StatusOr<ModelStore::ModelPtr> ModelStore::LoadCached(
    const std::string& model_id) {
  if (options_.cache_directory.empty()) return absl::NotFoundError("no cache");
  const fs::path path = fs::path(options_.cache_directory) / model_id;
  std::error_code error;
  if (!fs::exists(path, error)) return absl::NotFoundError("not cached");
  auto model = FoundationModel::Load(path.string());
  absl::Status status =
      model.ok() ? Expect(*model, model_id, path.string()) : model.status();
  if (!status.ok()) {
    spdlog::warn("the cached model is damaged and fetched anew: {}",
                 std::string(status.message()));
    fs::remove_all(path, error);
    return status;
  }
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  return std::make_shared<const FoundationModel>(*std::move(model));
}

absl::StatusOr<ModelStore::ModelPtr> ModelStore::Fetch(
    const std::string& model_id, ServerConnection* server,
    Interrupt* interrupt) {
  api::Model record;
  std::string weights;
  absl::Status status = server->Retry(interrupt, kFetchLimit, [&] {
    auto got = server->GetModel(model_id, interrupt);
    if (!got.ok()) return got.status();
    record = *std::move(got);
    if (record.weights_size_bytes() > compute::kMaxSafetensorsFileBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model ", model_id, ": expected at most ",
          compute::kMaxSafetensorsFileBytes,
          " bytes of weights, the server has ", record.weights_size_bytes()));
    }
    auto bytes = server->ReadModelWeights(model_id, record.weights_size_bytes(),
                                          interrupt);
    if (!bytes.ok()) return bytes.status();
    weights = *std::move(bytes);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  auto model = FoundationModel::Parse(
      record.manifest_json(), weights,
      absl::StrCat("model ", model_id.substr(0, 12), " of the server"));
  if (!model.ok()) return model.status();
  status = Expect(*model, model_id, "the server");
  if (!status.ok()) return status;
  spdlog::info("model {} ({}@{}) fetched, {} bytes", model_id.substr(0, 12),
               record.name(), record.version(), weights.size());
  auto result = std::make_shared<const FoundationModel>(*std::move(model));
  SaveCached(*result);
  return result;
}

// The cache is a convenience: what goes wrong with it is said and passed over.
void ModelStore::SaveCached(const FoundationModel& model) {
  if (options_.cache_directory.empty()) return;
  const fs::path root(options_.cache_directory);
  const fs::path partial =
      root / absl::StrCat(".", model.id(), ".", getpid(), ".partial");
  std::error_code error, ignored;
  fs::create_directories(root, error);
  const absl::Status saved = model.Save(partial.string());
  // If another worker was faster its directory stays, which is as good.
  if (saved.ok()) fs::rename(partial, root / model.id(), error);
  if (!saved.ok() || error) {
    spdlog::warn("model {} not cached in {}: {}", model.id().substr(0, 12),
                 root.string(),
                 saved.ok() ? error.message() : std::string(saved.message()));
    fs::remove_all(partial, ignored);
  }
  std::vector<std::pair<fs::file_time_type, fs::path>> cached;
  for (fs::directory_iterator entry(root, ignored), end; entry != end;
       entry.increment(ignored)) {
    if (IsModelId(entry->path().filename().string())) {
      cached.emplace_back(entry->last_write_time(ignored), entry->path());
    }
  }
  std::sort(cached.begin(), cached.end());
  for (size_t i = 0; i + options_.cached_models < cached.size(); ++i) {
    fs::remove_all(cached[i].second, ignored);
  }
}

}  // namespace perfvec::worker
