// Reading and writing safetensors files: named float32 tensors behind a JSON
// header, nothing in them ever executed.
//
// The reader is strict, because a model may come from a stranger: the header's
// length is bounded, every tensor's dtype, shape and byte range are checked
// against each other, and the ranges must cover the data without overlap or
// gap. Only F32 is taken; another dtype is an error that names the tensor.
//
// Free functions and plain data; any thread.
//
//   ASSIGN file = ReadSafetensors("model.safetensors");
//   const Tensor& w = file->tensors.at("lstm.weight_ih_l0");
//   w.shape;   // {1024, 51}
//   w.values;  // row-major, 52224 floats
#ifndef PERFVEC_WORKER_MODEL_SAFETENSORS_H_
#define PERFVEC_WORKER_MODEL_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::compute {

// Row-major. values.size() is the product of shape (1 for a scalar).
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// "[1024, 51]", for messages.
std::string ShapeString(const std::vector<int64_t>& shape);

struct SafetensorsFile {
  std::map<std::string, std::string> metadata;  // "__metadata__"
  std::map<std::string, Tensor> tensors;
};

// Above this a header is refused unread; the format's own limit.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
// Above this a file is refused unread. LSTM-2-256 has 3.4 MB.
inline constexpr uint64_t kMaxSafetensorsFileBytes = uint64_t{1} << 32;

// DATA_LOSS for anything malformed, with `name` (of the file) in the message;
// UNIMPLEMENTED for a well-formed tensor of a dtype other than F32.
absl::StatusOr<SafetensorsFile> ParseSafetensors(absl::string_view bytes,
                                                 absl::string_view name);
absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path);

// Tensors are laid out in the order of their names, the header padded with
// spaces to 8 bytes: equal content gives equal bytes. INVALID_ARGUMENT if a
// tensor's shape and number of values disagree.
absl::StatusOr<std::string> SerializeSafetensors(const SafetensorsFile& file);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_SAFETENSORS_H_
