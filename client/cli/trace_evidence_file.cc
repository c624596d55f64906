#include "client/cli/trace_evidence_file.h"

#include <google/protobuf/util/json_util.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/local_file.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;

constexpr uint64_t kMaxFileBytes = 256 << 20;  // thousands of columns
constexpr size_t kNamesInMessages = 10;

}  // namespace

absl::StatusOr<api::TraceEvidence> ReadTraceEvidence(
    const std::string& path, const std::string& column,
    const std::string& architecture) {
  auto text = ReadWholeFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  api::TraceEvidence evidence;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(*text, &evidence);
  if (!parsed.ok() || evidence.columns().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected a file that `perfvec-worker evidence` wrote",
        parsed.ok() ? ", found no columns"
                    : absl::StrCat(
                          ": ", std::string(parsed.message()).substr(0, 300))));
  }
  api::TraceEvidence::Column* found = nullptr;
  std::vector<std::string> names;
  for (api::TraceEvidence::Column& one : *evidence.mutable_columns()) {
    const bool wanted = column.empty() ? evidence.columns_size() == 1 ||
                                             one.name() == architecture
                                       : one.name() == column;
    if (wanted && found == nullptr) found = &one;
    if (names.size() < kNamesInMessages) names.push_back(one.name());
  }
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        path, ": has no latencies on \"",
        column.empty() ? architecture : column, "\", but on ",
        absl::StrJoin(names, ", "),
        names.size() < static_cast<size_t>(evidence.columns_size()) ? ", ..."
                                                                    : "",
        "; --column names one of them"));
  }
  api::TraceEvidence::Column kept = std::move(*found);
  evidence.clear_columns();
  *evidence.add_columns() = std::move(kept);
  return evidence;
}

}  // namespace perfvec::client::cli
