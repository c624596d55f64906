// Arrays out of a NumPy .npz file: a zip of .npy members.
//
// Only what numpy.savez writes for arrays of floating point: .npy versions 1 to
// 3, little-endian float32 or float64, C order. Arrays of objects, which would
// be pickles, are refused like any other type.
//
// Free functions; any thread.
//
//   ASSIGN stats = ReadNpz(bytes, "stats.npz", 4096);
//   stats.at("mean").size();
#ifndef PERFVEC_WORKER_CHECKPOINT_NPZ_H_
#define PERFVEC_WORKER_CHECKPOINT_NPZ_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::checkpoint {

// One .npy of one dimension and at most `max_elements`. DATA_LOSS for what is
// cut or no .npy, INVALID_ARGUMENT for another type, order or shape.
absl::StatusOr<std::vector<double>> ParseNpy(absl::string_view bytes,
                                             absl::string_view label,
                                             size_t max_elements);

// All members NAME.npy by NAME. The archive's errors as they are.
absl::StatusOr<std::map<std::string, std::vector<double>>> ReadNpz(
    absl::string_view bytes, const std::string& label, size_t max_elements);

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_NPZ_H_
