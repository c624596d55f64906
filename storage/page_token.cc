#include "storage/page_token.h"

#include <xxhash.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/key_format.h"
#include "storage/status_macros.h"

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

absl::StatusOr<std::string> ScanPage(const OrderedReader& reader,
                                     const PageQuery& query,
                                     absl::FunctionRef<absl::StatusOr<size_t>(
                                         absl::string_view, absl::string_view)>
                                         add) {
  PERFVEC_ASSIGN_OR_RETURN(const int page_size, PageSize(query.page_size));
  PERFVEC_ASSIGN_OR_RETURN(std::string last_key,
                           DecodePageToken(query.listing, query.page_token));
  // A forged token leads nowhere but into its own listing.
  std::string begin = query.range.begin;
  if (last_key >= begin) begin = last_key + std::string(1, '\0');
  int items = 0, scanned = 0;
  size_t size_bytes = 0;
  bool more = false;
  absl::Status failure;
  std::string skip;
  const auto visit = [&](absl::string_view key, absl::string_view value) {
    if (query.skip_to) {
      skip = query.skip_to(key);
      if (!skip.empty()) return false;
    }
    if (items == page_size || scanned == kMaxScannedKeysPerPage ||
        size_bytes >= kMaxPageBytes) {
      more = true;  // there is a key after last_key
      return false;
    }
    ++scanned;
    last_key = std::string(key);
    absl::StatusOr<size_t> added = add(key, value);
    failure = added.status();
    if (added.ok() && *added > 0) ++items;
    size_bytes += added.value_or(0);
    return failure.ok();
  };
  do {
    if (!skip.empty()) begin = std::exchange(skip, std::string());
    PERFVEC_RETURN_IF_ERROR(reader.Scan(begin, query.range.end, visit));
  } while (!skip.empty() && skip < query.range.end);
  PERFVEC_RETURN_IF_ERROR(failure);
  return more ? EncodePageToken(query.listing, last_key) : std::string();
}

}  // namespace perfvec::storage
