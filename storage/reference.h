// Names, aliases, tags and references ("name", "name@3", "name@alias") as
// proto/perfvec/v1/resources.proto defines them. Pure functions.
//
//   PERFVEC_ASSIGN_OR_RETURN(Reference ref, ParseReference("program",
//   "lbm@3"));
//   // ref.name == "lbm", ref.version == 3
#ifndef PERFVEC_STORAGE_REFERENCE_H_
#define PERFVEC_STORAGE_REFERENCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "storage/ordered_store.h"

namespace perfvec::storage {

inline constexpr int kMaxTags = 64;
inline constexpr int kMaxAliases = 32;
inline constexpr int kMaxTagKeyBytes = 128;
inline constexpr int kMaxTagValueBytes = 1024;

struct Reference {
  std::string name;
  int64_t version = 0;  // 0: not given
  std::string alias;    // empty: not given
};

// INVALID_ARGUMENT unless [A-Za-z0-9][A-Za-z0-9._+-]{0,127}. `what` is the word
// for the message: "program". Those of programs and architectures may begin
// with their tenant's and '~' (tenant.h), 128 characters in all.
absl::Status ValidateName(absl::string_view what, absl::string_view name);
// A name that cannot be taken for a version: not all digits, not "latest".
absl::Status ValidateAlias(absl::string_view alias);
absl::Status ValidateTag(absl::string_view key, absl::string_view value);
absl::StatusOr<Reference> ParseReference(absl::string_view what,
                                         absl::string_view reference);

// Sets and removes the update's tags in `tags`; INVALID_ARGUMENT past a limit.
absl::Status UpdateTags(const perfvec::v1::MetadataUpdate& update,
                        google::protobuf::Map<std::string, std::string>* tags);

// Number of one-letter edits between the two, ignoring case; `limit` + 1 for
// any number above `limit`.
int EditDistance(absl::string_view a, absl::string_view b, int limit);

// Gathers the up to three names nearest to one that was not found.
class NearestNames {
 public:
  explicit NearestNames(absl::string_view wanted);
  void Consider(absl::string_view name);
  // "; nearest: 'lbm', 'lbm2'" or "".
  std::string Hint() const;

 private:
  struct Candidate {
    int distance;
    std::string name;
  };
  const std::string wanted_;
  const int limit_;
  std::vector<Candidate> best_;
};

// Bounded work whatever the number of names: looks at most at 10,000 of the
// names that `table` (a prefix of latest-version keys) holds, first those that
// share the longest beginning with `wanted`.
absl::StatusOr<std::string> NearestNamesHint(
    const OrderedReader& reader,
    absl::FunctionRef<std::string(absl::string_view name_prefix)> table,
    absl::string_view wanted);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_REFERENCE_H_
