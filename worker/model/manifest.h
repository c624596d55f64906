// The manifest of a foundation model: what its weights mean.
//
// Everything that changes a program vector (mode, segments, feature schema,
// inputs, cell, layers, width) stands here and goes, with the weights,
// into the model id. The rest (trained architectures, provenance, license) does
// not. The file is JSON, see docs/foundation_model.md; parsing is strict: an
// unknown or missing key is an error that names it.
//
// Plain data and free functions; any thread.
//
//   ASSIGN manifest = ParseManifest(text, "model/manifest.json");
//   manifest->width;           // 256
//   manifest->inputs.width();  // inputs of the first layer
#ifndef PERFVEC_WORKER_MODEL_MANIFEST_H_
#define PERFVEC_WORKER_MODEL_MANIFEST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/features/feature_schema.h"
#include "worker/model/input_encoding.h"

namespace perfvec::compute {

enum class CellType { kLstm };

// How instructions become representations: docs/foundation_model.md, Modes.
//  kStream: segment k runs from zero state at instruction
//    max(0, k * segment_length - warm_up); outputs before k * segment_length
//    are dropped.
//  kWindow: every instruction is the last of its own run of warm_up + 1 steps
//    from zero state; steps before the trace's start are zeros after
//    encoding. segment_length only groups the summation.
enum class Mode { kStream, kWindow };

// One architecture the model was trained with. Row i of the tensor
// "architecture_vectors" is the vector of architectures[i].
struct TrainedArchitecture {
  std::string name;
  std::string parameters_json = "{}";  // an object, canonical JSON
};

struct Manifest {
  std::string name;
  std::string feature_schema{kFeatureSchemaId};
  // One column per input of the network; feature_count is the schema's.
  InputEncoding inputs;
  CellType cell = CellType::kLstm;
  int layers = 2;
  int width = 256;
  bool bias = true;  // lstm.bias_ih_l* and lstm.bias_hh_l* are there
  Mode mode = Mode::kStream;
  int segment_length = 1024;  // instructions
  int warm_up = 255;          // steps whose outputs are dropped
  std::vector<TrainedArchitecture> architectures;
  std::string provenance_json = "{}";  // an object, free form
  std::string license;                 // SPDX expression
  // How far predictions may be off: calibration.h. Empty: not calibrated.
  std::string calibration_json;

  // Of feature_schema; expects a valid manifest.
  const FeatureSchema& schema() const {
    return *FindFeatureSchema(feature_schema);
  }
};

inline constexpr int kMaxInputs = 4096;
inline constexpr int kMaxLayers = 16;
inline constexpr int kMaxWidth = 4096;
inline constexpr int kMaxSegmentLength = 1 << 20;
inline constexpr int kMaxWarmUp = 1 << 16;

// INVALID_ARGUMENT naming the key, what was expected and what was found.
absl::Status ValidateManifest(const Manifest& manifest);
absl::StatusOr<Manifest> ParseManifest(absl::string_view text,
                                       absl::string_view label);
// Two-space indented, keys sorted. Expects a valid manifest; INVALID_ARGUMENT
// otherwise.
absl::StatusOr<std::string> SerializeManifest(const Manifest& manifest);

// What of the manifest decides a program vector, as canonical JSON (sorted
// keys, no spaces): the first half of what the model id hashes.
std::string CanonicalDefinition(const Manifest& manifest);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_MANIFEST_H_
