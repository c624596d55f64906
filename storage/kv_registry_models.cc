// KvRegistry: models and what hangs on a model id.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"

namespace perfvec::storage {
namespace {

constexpr absl::string_view kDefaultAlias = "default";
constexpr size_t kDigestBytes = 32;

bool HasAlias(const api::Model& model, absl::string_view alias) {
  const auto& aliases = model.aliases();
  return std::find(aliases.begin(), aliases.end(), alias) != aliases.end();
}

absl::StatusOr<std::optional<api::Model>> FindByPointer(
    const OrderedReader& reader, const std::string& key) {
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> value, reader.Get(key));
  if (!value) return std::optional<api::Model>();
  PERFVEC_ASSIGN_OR_RETURN(NameVersion at, ParseNameVersionValue(*value));
  return Models::Find(reader, at.name, at.version);
}

absl::StatusOr<api::Model> ResolveModel(const OrderedReader& reader,
                                        absl::string_view ref) {
  if (ref.empty() || ref == kDefaultAlias) {
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> model,
                             FindByPointer(reader, DefaultModelKey()));
    if (model) return *std::move(model);
    if (ref.empty()) {
      return absl::NotFoundError(
          "model '': no model has the alias 'default'; name a model, or give "
          "one of them the alias");
    }
  }
  PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> model,
                           FindModelOfId(reader, ref));
  if (model) return *std::move(model);
  return Models::Resolve(reader, ref);
}

// The alias "default" is one for all models: after `model` was written, the
// pointer follows it and the model that had it before loses it.
absl::Status MoveDefault(Transaction& transaction, absl::Time now,
                         const api::Model& model) {
  PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> holder,
                           FindByPointer(transaction, DefaultModelKey()));
  const bool held = holder && holder->model_id() == model.model_id();
  if (!HasAlias(model, kDefaultAlias)) {
    if (held) transaction.Delete(DefaultModelKey());
    return absl::OkStatus();
  }
  // Within one name the table has moved the alias already.
  if (holder && !held && holder->name() != model.name() &&
      Models::DropAlias(&*holder, kDefaultAlias)) {
    transaction.Delete(AliasKey(Kind::kModel, holder->name(), kDefaultAlias));
    Models::Store(transaction, now, &*holder);
  }
  transaction.Put(DefaultModelKey(),
                  NameVersionValue(model.name(), model.version()));
  return absl::OkStatus();
}

absl::Status CheckNoUnfinishedJob(const OrderedReader& reader,
                                  const api::Model& model) {
  return ScanPrefix(
      reader, UnfinishedJobTable(),
      [&](absl::string_view key, absl::string_view) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(uint64_t number, JobNumberOfKey(key));
        PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Job> job,
                                 GetMessage<api::Job>(reader, JobKey(number)));
        if (!job || job->model_id() != model.model_id())
          return absl::OkStatus();
        return absl::FailedPreconditionError(absl::StrCat(
            "model '", model.name(), "@", model.version(), "': ", job->job_id(),
            " uses it; wait for its end or cancel it"));
      });
}

// Program vectors under the model, and their mention in the programs.
absl::Status EraseProgramVectors(Transaction& transaction, absl::Time now,
                                 const std::string& model_id) {
  const std::string prefix = VectorPrefix(model_id);
  std::vector<std::string> keys;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      transaction, prefix, [&](absl::string_view key, absl::string_view) {
        keys.emplace_back(key);
        return absl::OkStatus();
      }));
  for (const std::string& key : keys) {
    transaction.Delete(key);
    PERFVEC_ASSIGN_OR_RETURN(
        NameVersion at,
        ParseNameVersionValue(absl::string_view(key).substr(prefix.size())));
    transaction.Delete(PartsKey(model_id, at.name, at.version));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Program> program,
                             Programs::Find(transaction, at.name, at.version));
    if (!program) continue;
    auto* vectors = program->mutable_vectors();
    vectors->erase(std::remove_if(vectors->begin(), vectors->end(),
                                  [&](const api::ProgramVectorInfo& vector) {
                                    return vector.model_id() == model_id;
                                  }),
                   vectors->end());
    Programs::Store(transaction, now, &*program);
  }
  return absl::OkStatus();
}

absl::Status EraseArchitectureVectors(Transaction& transaction, absl::Time now,
                                      const std::string& model_id) {
  std::vector<api::Architecture> changed;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      transaction, RecordTable(Kind::kArchitecture),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(api::Architecture architecture,
                                 ParseMessage<api::Architecture>(key, value));
        auto* vectors = architecture.mutable_vectors();
        auto kept = std::remove_if(vectors->begin(), vectors->end(),
                                   [&](const api::ArchitectureVector& vector) {
                                     return vector.model_id() == model_id;
                                   });
        if (kept == vectors->end()) return absl::OkStatus();
        vectors->erase(kept, vectors->end());
        changed.push_back(std::move(architecture));
        return absl::OkStatus();
      }));
  for (api::Architecture& architecture : changed)
    Architectures::Store(transaction, now, &architecture);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<api::Model>> FindModelOfId(
    const OrderedReader& reader, absl::string_view model_id) {
  return FindByPointer(reader, ModelIdKey(model_id));
}

absl::StatusOr<api::Model> ModelOfId(const OrderedReader& reader,
                                     absl::string_view model_id) {
  PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> model,
                           FindModelOfId(reader, model_id));
  if (model) return *std::move(model);
  return absl::NotFoundError(absl::StrCat("model id '", model_id,
                                          "': not found; register the model "
                                          "first"));
}

absl::StatusOr<api::Model> KvRegistry::CreateModel(
    api::Model draft, std::vector<std::string> weights_chunks) {
  PERFVEC_RETURN_IF_ERROR(ValidateName("model", draft.name()));
  if (draft.model_id().empty() || draft.width() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("model '", draft.name(),
                     "': expected a model_id and a width above 0, found '",
                     draft.model_id(), "' and ", draft.width()));
  }
  std::string digests;
  for (const std::string& digest : weights_chunks) {
    if (digest.size() != kDigestBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("model '", draft.name(), "': a chunk digest has ",
                       kDigestBytes, " bytes, found ", digest.size()));
    }
    digests += digest;
  }
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        const absl::Time now = now_();
        PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> there,
                                 FindModelOfId(transaction, draft.model_id()));
        if (there && there->name() != draft.name()) {
          return absl::AlreadyExistsError(absl::StrCat(
              "model '", draft.name(), "': the same model is here as '",
              there->name(), "@", there->version(), "'; use that name"));
        }
        if (there) {
          // What of a manifest may differ under one id (calibration,
          // provenance, license) is as the latest has it.
          const api::MetadataUpdate update = Models::MetadataOf(draft);
          const bool same = there->manifest_json() == draft.manifest_json();
          there->set_manifest_json(draft.manifest_json());
          draft = *std::move(there);
          if (same && Models::IsApplied(update, draft)) return absl::OkStatus();
          PERFVEC_RETURN_IF_ERROR(
              Models::Update(transaction, update, now, &draft));
          return MoveDefault(transaction, now, draft);
        }
        PERFVEC_ASSIGN_OR_RETURN(bool only_version,
                                 Models::Insert(transaction, now, &draft));
        transaction.Put(ModelIdKey(draft.model_id()),
                        NameVersionValue(draft.name(), draft.version()));
        transaction.Put(ModelWeightsKey(draft.model_id()), digests);
        PERFVEC_RETURN_IF_ERROR(MoveDefault(transaction, now, draft));
        CountsChange change;
        change.models = only_version ? 1 : 0;
        return ChangeCounts(transaction, change);
      }));
  return draft;
}

absl::StatusOr<api::Model> KvRegistry::GetModel(absl::string_view ref) {
  return ResolveModel(*View(), ref);
}

absl::StatusOr<std::vector<std::string>> KvRegistry::GetModelWeightsChunks(
    absl::string_view model_id) {
  const std::string key = ModelWeightsKey(model_id);
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> digests,
                           View()->Get(key));
  if (!digests) {
    return absl::NotFoundError(
        absl::StrCat("model id '", model_id, "': not found"));
  }
  if (digests->size() % kDigestBytes != 0) {
    return CorruptRecord(key, absl::StrCat("expected a multiple of 32 bytes, ",
                                           "found ", digests->size()));
  }
  std::vector<std::string> chunks;
  for (size_t at = 0; at < digests->size(); at += kDigestBytes)
    chunks.push_back(digests->substr(at, kDigestBytes));
  return chunks;
}

absl::StatusOr<Page<api::Model>> KvRegistry::ListModels(
    const api::PageRequest& request) {
  PERFVEC_ASSIGN_OR_RETURN(Page<api::Model> page,
                           Models::List(*View(), request));
  for (api::Model& model : page.items) model.clear_manifest_json();
  return page;
}

absl::StatusOr<api::Model> KvRegistry::UpdateModel(
    absl::string_view ref, const api::MetadataUpdate& update) {
  api::Model model;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        const absl::Time now = now_();
        PERFVEC_ASSIGN_OR_RETURN(model, ResolveModel(transaction, ref));
        PERFVEC_RETURN_IF_ERROR(
            Models::Update(transaction, update, now, &model));
        return MoveDefault(transaction, now, model);
      }));
  return model;
}

absl::StatusOr<api::Model> KvRegistry::DeleteModel(absl::string_view ref) {
  api::Model model;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        const absl::Time now = now_();
        PERFVEC_ASSIGN_OR_RETURN(model, ResolveModel(transaction, ref));
        PERFVEC_RETURN_IF_ERROR(CheckNoUnfinishedJob(transaction, model));
        PERFVEC_RETURN_IF_ERROR(
            EraseProgramVectors(transaction, now, model.model_id()));
        PERFVEC_RETURN_IF_ERROR(
            EraseArchitectureVectors(transaction, now, model.model_id()));
        transaction.Delete(ModelIdKey(model.model_id()));
        transaction.Delete(ModelWeightsKey(model.model_id()));
        if (HasAlias(model, kDefaultAlias))
          transaction.Delete(DefaultModelKey());
        PERFVEC_ASSIGN_OR_RETURN(bool none_left,
                                 Models::Erase(transaction, {model}));
        CountsChange change;
        change.models = none_left ? -1 : 0;
        return ChangeCounts(transaction, change);
      }));
  return model;
}

}  // namespace perfvec::storage
