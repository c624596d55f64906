#include "server/model_import.h"

#include <openssl/evp.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/predictor.h"
#include "storage/chunk_store.h"
#include "storage/registry.h"
#include "storage/status_macros.h"
#include "worker/model/foundation_model.h"

namespace perfvec::server {
namespace {

constexpr size_t kWeightsChunkBytes = 4 << 20;
constexpr size_t kMaxManifestBytes = 4 << 20;

struct StoredWeights {
  std::vector<std::string> digests;
  std::vector<storage::StagedChunk> staged;  // pins until the registry has them
  std::string sha256;
  uint64_t size_bytes = 0;
};

absl::StatusOr<StoredWeights> StoreWeights(storage::ChunkStore& chunks,
                                           const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(),
                                                          EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  StoredWeights result;
  std::string buffer(kWeightsChunkBytes, '\0');
  while (file) {
    file.read(buffer.data(), buffer.size());
    const size_t size = file.gcount();
    if (size == 0) break;
    const absl::string_view piece(buffer.data(), size);
    EVP_DigestUpdate(hash.get(), piece.data(), piece.size());
    PERFVEC_ASSIGN_OR_RETURN(storage::StagedChunk staged, chunks.Stage(piece));
    result.digests.push_back(staged.digest());
    result.staged.push_back(std::move(staged));
    result.size_bytes += size;
  }
  if (file.bad()) return absl::DataLossError(absl::StrCat("reading ", path));
  PERFVEC_RETURN_IF_ERROR(chunks.Commit(absl::MakeSpan(result.staged)));
  std::string digest(32, '\0');
  EVP_DigestFinal_ex(hash.get(),
                     reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  result.sha256 = absl::BytesToHexString(digest);
  return result;
}

// The parameters of a trained architecture are a JSON object; nested ones
// become "outer.inner".
void AddAttributes(const std::string& prefix, const nlohmann::json& value,
                   v1::Architecture* architecture) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      AddAttributes(prefix.empty() ? key : absl::StrCat(prefix, ".", key),
                    inner, architecture);
    }
    return;
  }
  v1::AttributeValue& attribute = (*architecture->mutable_attributes())[prefix];
  if (value.is_number()) {
    attribute.set_number(value.get<double>());
  } else if (value.is_boolean()) {
    attribute.set_number(value.get<bool>() ? 1 : 0);
  } else {
    attribute.set_text(value.is_string() ? value.get<std::string>()
                                         : value.dump());
  }
}

absl::Status CreateArchitectures(const ServiceContext& context,
                                 const compute::FoundationModel& model) {
  const compute::Manifest& manifest = model.manifest();
  for (size_t i = 0; i < manifest.architectures.size(); ++i) {
    const compute::TrainedArchitecture& trained = manifest.architectures[i];
    v1::Architecture draft;
    draft.set_name(trained.name);
    const auto parameters = nlohmann::json::parse(
        trained.parameters_json, nullptr, /*allow_exceptions=*/false);
    if (parameters.is_object()) AddAttributes("", parameters, &draft);
    v1::ArchitectureVector* vector = draft.add_vectors();
    vector->set_model_id(model.id());
    vector->set_origin("trained");
    const float* values = model.ArchitectureVector(static_cast<int>(i));
    for (int k = 0; k < manifest.width; ++k) vector->add_values(values[k]);
    absl::MutexLock lock(&context.names->For(draft.name()));
    PERFVEC_ASSIGN_OR_RETURN(
        v1::Architecture created,
        context.registry->CreateArchitecture(std::move(draft)));
    PERFVEC_RETURN_IF_ERROR(context.predictor->AddArchitecture(created));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Model> ImportModel(const ServiceContext& context,
                                      ModelImport import) {
  PERFVEC_ASSIGN_OR_RETURN(compute::FoundationModel model,
                           compute::FoundationModel::Load(import.directory));
  std::ifstream manifest_file(import.directory + "/manifest.json");
  std::stringstream manifest_text;
  manifest_text << manifest_file.rdbuf();
  if (manifest_text.str().size() > kMaxManifestBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("manifest.json: at most ", kMaxManifestBytes,
                     " bytes, found ", manifest_text.str().size()));
  }
  storage::Registry& registry = *context.registry;
  if (import.default_if_none &&
      absl::IsNotFound(registry.GetModel("").status())) {
    import.aliases.push_back("default");
  }
  const compute::Manifest& manifest = model.manifest();
  v1::Model draft;
  draft.set_name(import.name.empty() ? manifest.name : import.name);
  draft.set_model_id(model.id());
  for (const auto& [key, value] : import.tags) {
    (*draft.mutable_tags())[key] = value;
  }
  for (const std::string& alias : import.aliases) draft.add_aliases(alias);
  draft.set_manifest_json(manifest_text.str());
  draft.set_width(manifest.width);
  draft.set_segment_instructions(manifest.segment_length);
  PERFVEC_ASSIGN_OR_RETURN(
      StoredWeights weights,
      StoreWeights(*context.chunks, import.directory + "/model.safetensors"));
  draft.set_weights_sha256(weights.sha256);
  draft.set_weights_size_bytes(weights.size_bytes);

  v1::Model created;
  {
    absl::MutexLock lock(&context.names->For("models"));
    PERFVEC_ASSIGN_OR_RETURN(
        created,
        registry.CreateModel(std::move(draft), std::move(weights.digests)));
    PERFVEC_RETURN_IF_ERROR(context.predictor->AddModel(created));
  }
  if (import.create_architectures) {
    PERFVEC_RETURN_IF_ERROR(CreateArchitectures(context, model));
  }
  return created;
}

}  // namespace perfvec::server
