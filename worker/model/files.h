// Whole small files: read with a bound on the size, written so that a reader
// sees the old file or the new one and never a part.
//
// Free functions; any thread.
//
//   RETURN_IF_ERROR(WriteFileAtomically(dir + "/manifest.json", text));
#ifndef PERFVEC_WORKER_MODEL_FILES_H_
#define PERFVEC_WORKER_MODEL_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::compute {

// NOT_FOUND, PERMISSION_DENIED and so on from errno; INVALID_ARGUMENT past
// `max_size_bytes` or for what is not a regular file.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t max_size_bytes);

// Writes a temporary neighbour, syncs it, renames it, syncs the directory.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view bytes);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_MODEL_FILES_H_
