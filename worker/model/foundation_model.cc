#include "worker/model/foundation_model.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/model/files.h"

namespace perfvec::compute {
namespace {

constexpr char kArchitectureVectors[] = "architecture_vectors";
// A manifest lists architectures and their parameters: tens of kilobytes.
constexpr uint64_t kMaxManifestBytes = 64 << 20;

std::string LayerTensor(const char* what, int layer) {
  return absl::StrCat("lstm.", what, "_l", layer);
}

absl::StatusOr<std::string> ModelId(const Manifest& manifest,
                                    const TensorMap& tensors) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool ok = context != nullptr &&
            EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  const std::string definition = CanonicalDefinition(manifest) + "\n";
  ok = ok && EVP_DigestUpdate(context.get(), definition.data(),
                              definition.size()) == 1;
  for (const auto& [name, tensor] : tensors) {
    if (!absl::StartsWith(name, "lstm.")) continue;
    ok = ok && EVP_DigestUpdate(context.get(), tensor.values.data(),
                                tensor.values.size() * sizeof(float)) == 1;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ok = ok && EVP_DigestFinal_ex(context.get(), digest, &size) == 1;
  if (!ok) return absl::InternalError("OpenSSL gave no SHA-256");
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

absl::Status CheckTensors(const Manifest& manifest, const TensorMap& tensors) {
  const auto expected = ExpectedTensors(manifest);
  for (const auto& [name, shape] : expected) {
    auto it = tensors.find(name);
    if (it == tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\" of shape ", ShapeString(shape),
                       " is missing"));
    }
    if (it->second.shape != shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", name, "\": expected shape ", ShapeString(shape),
          ", found ", ShapeString(it->second.shape)));
    }
    uint64_t size = 1;
    for (int64_t d : shape) size *= static_cast<uint64_t>(d);
    if (it->second.values.size() != size) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\": expected ", size,
                       " values, found ", it->second.values.size()));
    }
    for (size_t i = 0; i < size; ++i) {
      if (!(std::fabs(it->second.values[i]) <= kMaxWeight)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "tensor \"", name, "\": expected values within +-", kMaxWeight,
            ", found ", it->second.values[i], " at element ", i));
      }
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (expected.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", name, "\" is not one the manifest describes"));
    }
  }
  return absl::OkStatus();
}

absl::Status Labelled(absl::string_view label, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(label, ": ", status.message()));
}

}  // namespace

std::map<std::string, std::vector<int64_t>> ExpectedTensors(
    const Manifest& manifest) {
  std::map<std::string, std::vector<int64_t>> expected;
  const int64_t h = manifest.width;
  const int64_t inputs = static_cast<int64_t>(manifest.inputs.width());
  for (int k = 0; k < manifest.layers; ++k) {
    expected[LayerTensor("weight_ih", k)] = {4 * h, k == 0 ? inputs : h};
    expected[LayerTensor("weight_hh", k)] = {4 * h, h};
    if (!manifest.bias) continue;
    expected[LayerTensor("bias_ih", k)] = {4 * h};
    expected[LayerTensor("bias_hh", k)] = {4 * h};
  }
  if (!manifest.architectures.empty()) {
    expected[kArchitectureVectors] = {
        static_cast<int64_t>(manifest.architectures.size()), h};
  }
  return expected;
}

FoundationModel::FoundationModel(Manifest manifest, TensorMap tensors,
                                 std::string id)
    : manifest_(std::move(manifest)),
      tensors_(std::move(tensors)),
      id_(std::move(id)) {}

absl::StatusOr<FoundationModel> FoundationModel::Create(Manifest manifest,
                                                        TensorMap tensors) {
  if (absl::Status s = ValidateManifest(manifest); !s.ok()) return s;
  if (absl::Status s = CheckTensors(manifest, tensors); !s.ok()) return s;
  absl::StatusOr<std::string> id = ModelId(manifest, tensors);
  if (!id.ok()) return id.status();
  return FoundationModel(std::move(manifest), std::move(tensors),
                         *std::move(id));
}

absl::StatusOr<FoundationModel> FoundationModel::Parse(
    absl::string_view manifest_json, absl::string_view safetensors,
    absl::string_view label) {
  absl::StatusOr<Manifest> manifest =
      ParseManifest(manifest_json, absl::StrCat(label, "/", kManifestFileName));
  if (!manifest.ok()) return manifest.status();
  const std::string weights = absl::StrCat(label, "/", kWeightsFileName);
  absl::StatusOr<SafetensorsFile> file = ParseSafetensors(safetensors, weights);
  if (!file.ok()) return file.status();
  absl::StatusOr<FoundationModel> model =
      Create(*std::move(manifest), std::move(file->tensors));
  if (!model.ok()) return Labelled(weights, model.status());
  return model;
}

absl::StatusOr<FoundationModel> FoundationModel::Load(
    const std::string& directory) {
  absl::StatusOr<std::string> manifest = ReadWholeFile(
      absl::StrCat(directory, "/", kManifestFileName), kMaxManifestBytes);
  if (!manifest.ok()) return manifest.status();
  absl::StatusOr<std::string> weights = ReadWholeFile(
      absl::StrCat(directory, "/", kWeightsFileName), kMaxSafetensorsFileBytes);
  if (!weights.ok()) return weights.status();
  return Parse(*manifest, *weights, directory);
}

absl::Status FoundationModel::Save(const std::string& directory) const {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat(directory, ": mkdir"));
  }
  absl::StatusOr<std::string> manifest = SerializeManifest(manifest_);
  if (!manifest.ok()) return manifest.status();
  SafetensorsFile file;
  file.metadata["model_id"] = id_;
  file.tensors = tensors_;
  absl::StatusOr<std::string> weights = SerializeSafetensors(file);
  if (!weights.ok()) return weights.status();
  absl::Status s = WriteFileAtomically(
      absl::StrCat(directory, "/", kWeightsFileName), *weights);
  if (!s.ok()) return s;
  return WriteFileAtomically(absl::StrCat(directory, "/", kManifestFileName),
                             *manifest);
}

FoundationModel::LstmLayer FoundationModel::Layer(int layer) const {
  auto data = [&](const char* what) {
    return tensors_.at(LayerTensor(what, layer)).values.data();
  };
  LstmLayer out;
  out.inputs =
      layer == 0 ? static_cast<int>(manifest_.inputs.width()) : manifest_.width;
  out.weight_ih = data("weight_ih");
  out.weight_hh = data("weight_hh");
  if (manifest_.bias) {
    out.bias_ih = data("bias_ih");
    out.bias_hh = data("bias_hh");
  }
  return out;
}

const float* FoundationModel::ArchitectureVector(int i) const {
  return tensors_.at(kArchitectureVectors).values.data() +
         static_cast<size_t>(i) * static_cast<size_t>(manifest_.width);
}

}  // namespace perfvec::compute
