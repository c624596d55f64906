// SHA-256 of bytes in memory and of files. Any thread; no state.
//
//   std::string digest = Sha256("abc");  // 32 raw bytes
#ifndef PERFVEC_STORAGE_SHA256_H_
#define PERFVEC_STORAGE_SHA256_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::storage {

inline constexpr size_t kSha256Bytes = 32;

// 32 raw bytes.
std::string Sha256(absl::string_view bytes);
// Of the whole file, read in pieces of 1 MiB.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_SHA256_H_
