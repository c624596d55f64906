// KvRegistry: architectures.
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"

namespace perfvec::storage {
namespace {

using ::google::protobuf::util::MessageDifferencer;

constexpr int kMaxAttributes = 1024;
constexpr int kMaxVectors = 64;

const api::ArchitectureVector* FindVector(const api::Architecture& architecture,
                                          absl::string_view model_id) {
  for (const api::ArchitectureVector& vector : architecture.vectors())
    if (vector.model_id() == model_id) return &vector;
  return nullptr;
}

// Whether `draft` says nothing that `there` contradicts. Vectors of models that
// `there` has none for are no contradiction: they are added to it.
bool Agrees(const api::Architecture& draft, const api::Architecture& there) {
  if (draft.has_price_per_hour() &&
      (!there.has_price_per_hour() ||
       draft.price_per_hour() != there.price_per_hour()))
    return false;
  if (draft.has_power_watts() &&
      (!there.has_power_watts() || draft.power_watts() != there.power_watts()))
    return false;
  for (const auto& [key, value] : draft.attributes()) {
    auto found = there.attributes().find(key);
    if (found == there.attributes().end() ||
        !MessageDifferencer::Equals(found->second, value))
      return false;
  }
  for (const api::ArchitectureVector& vector : draft.vectors()) {
    const api::ArchitectureVector* old = FindVector(there, vector.model_id());
    if (old != nullptr &&
        !std::equal(old->values().begin(), old->values().end(),
                    vector.values().begin(), vector.values().end()))
      return false;
  }
  return true;
}

// Width and finite values of every vector, each model at most once.
absl::Status CheckVectors(const OrderedReader& reader,
                          const api::Architecture& architecture) {
  std::set<std::string> models;
  if (architecture.vectors_size() > kMaxVectors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "architecture '", architecture.name(), "': at most ", kMaxVectors,
        " vectors, found ", architecture.vectors_size()));
  }
  for (const api::ArchitectureVector& vector : architecture.vectors()) {
    if (!models.insert(vector.model_id()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("architecture '", architecture.name(),
                       "': two vectors of model '", vector.model_id(), "'"));
    }
    PERFVEC_ASSIGN_OR_RETURN(api::Model model,
                             ModelOfId(reader, vector.model_id()));
    absl::Status status =
        CheckVector(absl::StrCat("architecture '", architecture.name(), "'"),
                    vector.model_id(), model.width(), vector.values());
    if (!status.ok()) return absl::InvalidArgumentError(status.message());
  }
  return absl::OkStatus();
}

absl::Status CheckAttributes(const api::Architecture& architecture) {
  for (double amount :
       {architecture.price_per_hour(), architecture.power_watts()}) {
    if (!(amount >= 0) || std::isinf(amount)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "architecture '", architecture.name(),
          "': price_per_hour and power_watts must be finite and at least 0, "
          "found ",
          amount));
    }
  }
  if (architecture.attributes().size() > kMaxAttributes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "architecture '", architecture.name(), "': at most ", kMaxAttributes,
        " attributes, found ", architecture.attributes().size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<api::Architecture> KvRegistry::CreateArchitecture(
    api::Architecture draft) {
  PERFVEC_RETURN_IF_ERROR(ValidateName("architecture", draft.name()));
  PERFVEC_RETURN_IF_ERROR(CheckAttributes(draft));
  api::Architecture result;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        PERFVEC_RETURN_IF_ERROR(CheckVectors(transaction, draft));
        const absl::Time now = now_();
        for (api::ArchitectureVector& vector : *draft.mutable_vectors())
          if (!vector.has_create_time())
            *vector.mutable_create_time() = ToTimestamp(now);
        PERFVEC_ASSIGN_OR_RETURN(
            std::optional<int64_t> latest,
            Architectures::LatestVersion(transaction, draft.name()));
        std::optional<api::Architecture> there;
        if (latest) {
          PERFVEC_ASSIGN_OR_RETURN(
              there, Architectures::Find(transaction, draft.name(), *latest));
        }
        if (there && Agrees(draft, *there)) {
          result = *std::move(there);
          const api::MetadataUpdate update = Architectures::MetadataOf(draft);
          bool changed = !Architectures::IsApplied(update, result);
          for (api::ArchitectureVector& vector : *draft.mutable_vectors()) {
            if (FindVector(result, vector.model_id()) != nullptr) continue;
            *result.add_vectors() = std::move(vector);
            changed = true;
          }
          if (!changed) return absl::OkStatus();
          return Architectures::Update(transaction, update, now, &result);
        }
        result = std::move(draft);
        PERFVEC_ASSIGN_OR_RETURN(
            bool only_version,
            Architectures::Insert(transaction, now, &result));
        CountsChange change;
        change.architectures = only_version ? 1 : 0;
        PERFVEC_RETURN_IF_ERROR(ChangeCounts(transaction, change));
        return CheckTenant(transaction, TenantOf(result.name()),
                           Account::kArchitectures, quota_);
      }));
  return result;
}

absl::StatusOr<api::Architecture> KvRegistry::GetArchitecture(
    absl::string_view ref) {
  return Architectures::Resolve(*View(), ref);
}

absl::StatusOr<Page<api::Architecture>> KvRegistry::ListArchitectures(
    const api::PageRequest& request, Viewer viewer) {
  PERFVEC_ASSIGN_OR_RETURN(Page<api::Architecture> page,
                           Architectures::List(*View(), request, viewer));
  for (api::Architecture& architecture : page.items)
    architecture.clear_vectors();
  return page;
}

absl::StatusOr<api::Architecture> KvRegistry::UpdateArchitecture(
    absl::string_view ref, const api::UpdateArchitectureRequest& update) {
  api::Architecture result;
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(result, Architectures::Resolve(transaction, ref));
    for (const std::string& key : update.remove_attributes())
      result.mutable_attributes()->erase(key);
    for (const auto& [key, value] : update.set_attributes())
      (*result.mutable_attributes())[key] = value;
    PERFVEC_RETURN_IF_ERROR(CheckAttributes(result));
    if (update.has_price_per_hour())
      result.set_price_per_hour(update.price_per_hour());
    if (update.has_power_watts()) result.set_power_watts(update.power_watts());
    return Architectures::Update(transaction, update.update(), now_(), &result);
  }));
  return result;
}

absl::StatusOr<std::vector<api::Architecture>> KvRegistry::DeleteArchitecture(
    absl::string_view ref, bool all_versions) {
  std::vector<api::Architecture> deleted;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(api::Architecture named,
                                 Architectures::Resolve(transaction, ref));
        if (all_versions) {
          PERFVEC_ASSIGN_OR_RETURN(
              deleted, Architectures::AllVersions(transaction, named.name()));
        } else {
          deleted = {std::move(named)};
        }
        PERFVEC_ASSIGN_OR_RETURN(bool none_left,
                                 Architectures::Erase(transaction, deleted));
        CountsChange change;
        change.architectures = none_left ? -1 : 0;
        return ChangeCounts(transaction, change);
      }));
  return deleted;
}

}  // namespace perfvec::storage
