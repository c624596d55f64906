// Pages of a listing and their opaque tokens: the last key of the page before,
// bound to the listing it came from. A token stays good whatever is inserted or
// deleted meanwhile. Pure functions over a reader.
//
//   PERFVEC_ASSIGN_OR_RETURN(
//       std::string next_page_token,
//       ScanPage(view, {"programs?prefix=l", range, 100, token}, add));
#ifndef PERFVEC_STORAGE_PAGE_TOKEN_H_
#define PERFVEC_STORAGE_PAGE_TOKEN_H_

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/key_format.h"
#include "storage/ordered_store.h"

namespace perfvec::storage {

inline constexpr int kDefaultPageSize = 100;
inline constexpr int kMaxPageSize = 1000;
// A page ends after this many keys looked at, full or not, so that a rare tag
// does not make one call read the whole registry.
inline constexpr int kMaxScannedKeysPerPage = 20000;
// Or after this many bytes of records: an answer must fit a gRPC message.
inline constexpr size_t kMaxPageBytes = 2 << 20;

struct PageQuery {
  std::string listing;  // what is listed, with all its filters
  KeyRange range;
  int page_size = 0;  // as asked for
  std::string page_token;
  // Where to go on if a key is not to be seen at all: it is then neither
  // counted nor named by the page token. Empty: look at the key; no function:
  // at every key.
  std::function<std::string(absl::string_view key)> skip_to;
};
// Calls `add` with the keys of the page's part of the range; it returns how
// many bytes it added to the page, 0 for what the filters leave out. Returns
// the next page's token, "" after the last page.
absl::StatusOr<std::string> ScanPage(
    const OrderedReader& reader, const PageQuery& query,
    absl::FunctionRef<absl::StatusOr<size_t>(absl::string_view key,
                                             absl::string_view value)>
        add);

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
