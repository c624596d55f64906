// Opaque page tokens: the last key of the page before, bound to the listing it
// came from. A token stays good whatever is inserted or deleted meanwhile.
//
//   std::string token = EncodePageToken("programs?prefix=l", last_key);
//   absl::StatusOr<std::string> key = DecodePageToken("programs?...", token);
#ifndef PERFVEC_STORAGE_PAGE_TOKEN_H_
#define PERFVEC_STORAGE_PAGE_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::storage {

inline constexpr int kDefaultPageSize = 100;
inline constexpr int kMaxPageSize = 1000;
// A page ends after this many keys looked at, full or not, so that a rare tag
// does not make one call read the whole registry.
inline constexpr int kMaxScannedKeysPerPage = 20000;

// `listing` names what is listed with all its filters.
std::string EncodePageToken(absl::string_view listing,
                            absl::string_view last_key);
// The last key; "" for an empty token. INVALID_ARGUMENT for a token that was
// not made here or belongs to another listing.
absl::StatusOr<std::string> DecodePageToken(absl::string_view listing,
                                            absl::string_view token);
// 0 -> kDefaultPageSize; above kMaxPageSize -> that; negative:
// INVALID_ARGUMENT.
absl::StatusOr<int> PageSize(int requested);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_PAGE_TOKEN_H_
