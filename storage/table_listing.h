// The parts of a versioned table that need no record type: pages of a listing,
// and the words for what was not found or is stale. Pure functions over a
// reader; see versioned_table.h, their one caller.
//
//   ListedRecords page = *ListRecords(view, Kind::kProgram, request, accept);
#ifndef PERFVEC_STORAGE_TABLE_LISTING_H_
#define PERFVEC_STORAGE_TABLE_LISTING_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "storage/key_format.h"
#include "storage/ordered_store.h"
#include "storage/reference.h"
#include "storage/tenant.h"

namespace perfvec::storage {

struct ListedRecords {
  std::vector<std::pair<std::string, std::string>> records;  // key, value
  std::string next_page_token;
};
// Only what `viewer` sees. `accept` decides by tags; it is called only when the
// request has some. A page may be short, even empty, before the last one
// (kMaxScannedKeysPerPage).
absl::StatusOr<ListedRecords> ListRecords(
    const OrderedReader& reader, Kind kind,
    const perfvec::v1::PageRequest& request,
    absl::FunctionRef<absl::StatusOr<bool>(absl::string_view key,
                                           absl::string_view value,
                                           const perfvec::v1::PageRequest&)>
        accept,
    Viewer viewer);

// NOT_FOUND for `ref`: the versions or aliases there are, or near names.
absl::Status DescribeNotFound(const OrderedReader& reader, Kind kind,
                              const Reference& ref);

// ABORTED unless `expected` is 0 or `found`.
absl::Status CheckRevision(Kind kind, absl::string_view name, int64_t version,
                           int64_t expected, int64_t found);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_TABLE_LISTING_H_
