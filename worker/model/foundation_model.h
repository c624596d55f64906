// A foundation model: a manifest and its weights, checked against each other.
//
// On disk it is a directory with manifest.json and model.safetensors. Tensors
// are named and laid out as PyTorch's nn.LSTM has them, gates in the order
// i, f, g, o; I = inputs.width(), H = width:
//   lstm.weight_ih_l<k>  [4H, I or H]     lstm.weight_hh_l<k>  [4H, H]
//   lstm.bias_ih_l<k>    [4H]              lstm.bias_hh_l<k>    [4H]  (bias)
//   architecture_vectors [n, H]            (if architectures are listed)
// Every tensor must be there with that shape, none other, all values within
// +-kMaxWeight.
//
// The model id is the lower-case hex SHA-256 of CanonicalDefinition(manifest),
// a newline, and the bytes of the "lstm." tensors in the order of their names.
// Architecture vectors, provenance and license are not part of it.
//
// Immutable once made: any number of threads may read it.
//
//   TensorMap tensors;                       // a trainer's way out
//   tensors["lstm.weight_ih_l0"] = {{4 * 256, inputs}, values};
//   ...
//   ASSIGN model = FoundationModel::Create(manifest, std::move(tensors));
//   RETURN_IF_ERROR(model.Save("deploy/models/mine"));
//   ASSIGN again = FoundationModel::Load("deploy/models/mine");
//   again.id() == model.id();
#ifndef PERFVEC_WORKER_MODEL_FOUNDATION_MODEL_H_
#define PERFVEC_WORKER_MODEL_FOUNDATION_MODEL_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/manifest.h"
#include "worker/model/safetensors.h"

namespace perfvec::compute {

// With weights and inputs (kMaxInput) bounded so, a sum of at most 8192
// products cannot overflow float: what a kernel gives is always a number.
inline constexpr float kMaxWeight = 1e10f;
inline constexpr float kMaxInput = 1e20f;

using TensorMap = std::map<std::string, Tensor>;

class FoundationModel {
 public:
  // INVALID_ARGUMENT naming the tensor, the shape expected and the one found.
  static absl::StatusOr<FoundationModel> Create(Manifest manifest,
                                                TensorMap tensors);
  static absl::StatusOr<FoundationModel> Load(const std::string& directory);
  // From the bytes of the two files, as a worker gets them from the server.
  static absl::StatusOr<FoundationModel> Parse(absl::string_view manifest_json,
                                               absl::string_view safetensors,
                                               absl::string_view label);

  // Makes the directory if it is not there. Each file is replaced whole.
  absl::Status Save(const std::string& directory) const;

  const Manifest& manifest() const { return manifest_; }
  const std::string& id() const { return id_; }  // 64 hex digits
  const TensorMap& tensors() const { return tensors_; }

  // Row-major weights of layer `layer`; biases are null without bias.
  struct LstmLayer {
    int inputs = 0;  // of this layer: I or H
    const float* weight_ih = nullptr;
    const float* weight_hh = nullptr;
    const float* bias_ih = nullptr;
    const float* bias_hh = nullptr;
  };
  LstmLayer Layer(int layer) const;

  // Row i of the trained vectors, width floats; expects
  // 0 <= i < manifest().architectures.size().
  const float* ArchitectureVector(int i) const;

 private:
  FoundationModel(Manifest manifest, TensorMap tensors, std::string id);

  Manifest manifest_;
  TensorMap tensors_;
  std::string id_;
};

// The tensors a model of this manifest has, and their shapes.
std::map<std::string, std::vector<int64_t>> ExpectedTensors(
    const Manifest& manifest);

inline constexpr char kManifestFileName[] = "manifest.json";
inline constexpr char kWeightsFileName[] = "model.safetensors";

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_FOUNDATION_MODEL_H_
