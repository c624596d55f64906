#include "storage/page_token.h"

#include <xxhash.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/key_format.h"

namespace perfvec::storage {
namespace {

// Binds a key to its listing; a check against mistakes, not against malice: a
// forged token can only start a listing at another key.
std::string Seal(absl::string_view listing, absl::string_view last_key) {
  const XXH64_hash_t seed = XXH3_64bits(listing.data(), listing.size());
  return BigEndian(
      XXH3_64bits_withSeed(last_key.data(), last_key.size(), seed));
}

}  // namespace

std::string EncodePageToken(absl::string_view listing,
                            absl::string_view last_key) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(Seal(listing, last_key), last_key));
}

absl::StatusOr<std::string> DecodePageToken(absl::string_view listing,
                                            absl::string_view token) {
  if (token.empty()) return std::string();
  std::string bytes;
  if (token.size() <= 2048 && absl::WebSafeBase64Unescape(token, &bytes) &&
      bytes.size() > 8) {
    std::string last_key = bytes.substr(8);
    if (absl::StartsWith(bytes, Seal(listing, last_key))) return last_key;
  }
  return absl::InvalidArgumentError(
      "page_token: not a token of this listing; take it from the answer before "
      "and keep the filters, or leave it empty for the first page");
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "page_size: expected 0 to ", kMaxPageSize, ", found ", requested));
  }
  if (requested == 0) return kDefaultPageSize;
  return requested < kMaxPageSize ? requested : kMaxPageSize;
}

}  // namespace perfvec::storage
