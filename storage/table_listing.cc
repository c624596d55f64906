#include "storage/table_listing.h"

#include <map>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/page_token.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

// How many versions and aliases a message lists.
constexpr size_t kMaxListedInMessage = 8;

// Names a listing with its filters, for its page tokens.
std::string ListingName(Kind kind, const perfvec::v1::PageRequest& request) {
  std::string name =
      absl::StrCat(KindName(kind), "?prefix=", request.name_prefix(),
                   "&all=", request.all_versions());
  std::map<std::string, std::string> tags(request.tags().begin(),
                                          request.tags().end());
  for (const auto& [key, value] : tags)
    absl::StrAppend(&name, "&", key.size(), ":", key, value.size(), ":", value);
  return name;
}

}  // namespace

absl::StatusOr<ListedRecords> ListRecords(
    const OrderedReader& reader, Kind kind,
    const perfvec::v1::PageRequest& request,
    absl::FunctionRef<absl::StatusOr<bool>(absl::string_view, absl::string_view,
                                           const perfvec::v1::PageRequest&)>
        accept,
    Viewer viewer) {
  PageQuery query;
  query.listing = ListingName(kind, request);
  query.range = PrefixRange(request.all_versions()
                                ? RecordTable(kind, request.name_prefix())
                                : LatestTable(kind, request.name_prefix()));
  query.page_size = request.page_size();
  query.page_token = request.page_token();
  if (viewer) {
    const std::string table =
        request.all_versions() ? RecordTable(kind) : LatestTable(kind);
    query.skip_to = [table, viewer](absl::string_view key) -> std::string {
      const absl::string_view name = key.substr(table.size());
      const absl::string_view tenant =
          TenantOf(name.substr(0, name.find('\0')));
      if (tenant.empty() || tenant == *viewer) return "";
      return PrefixRange(
                 absl::StrCat(table, tenant, std::string(1, kTenantMark)))
          .end;
    };
  }
  ListedRecords page;
  auto add = [&](absl::string_view key,
                 absl::string_view value) -> absl::StatusOr<size_t> {
    std::string record_key(key);
    std::string record(value);
    if (!request.all_versions()) {
      PERFVEC_ASSIGN_OR_RETURN(std::string name, ParseLatestKey(key));
      PERFVEC_ASSIGN_OR_RETURN(uint64_t version, ParseBigEndian(value));
      record_key = RecordKey(kind, name, version);
      PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> found,
                               reader.Get(record_key));
      if (!found) {
        return absl::DataLossError(absl::StrCat(
            "registry: ", KindName(kind), " '", name, "': version ", version,
            " is the latest, but has no record; restore from a backup"));
      }
      record = *std::move(found);
    }
    bool accepted = true;
    if (!request.tags().empty()) {
      PERFVEC_ASSIGN_OR_RETURN(accepted, accept(record_key, record, request));
    }
    if (!accepted) return 0;
    const size_t size_bytes = record_key.size() + record.size();
    page.records.emplace_back(std::move(record_key), std::move(record));
    return size_bytes;
  };
  PERFVEC_ASSIGN_OR_RETURN(page.next_page_token, ScanPage(reader, query, add));
  return page;
}

absl::Status DescribeNotFound(const OrderedReader& reader, Kind kind,
                              const Reference& ref) {
  const absl::string_view what = KindName(kind);
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> latest,
                           reader.Get(LatestKey(kind, ref.name)));
  if (!latest) {
    PERFVEC_ASSIGN_OR_RETURN(std::string hint,
                             NearestNamesHint(
                                 reader,
                                 [kind](absl::string_view prefix) {
                                   return LatestTable(kind, prefix);
                                 },
                                 ref.name));
    return absl::NotFoundError(
        absl::StrCat(what, " '", ref.name, "': not found", hint));
  }
  const bool by_alias = !ref.alias.empty();
  std::vector<std::string> there;
  const KeyRange range = PrefixRange(by_alias ? AliasPrefix(kind, ref.name)
                                              : RecordPrefix(kind, ref.name));
  PERFVEC_RETURN_IF_ERROR(reader.Scan(
      range.begin, range.end, [&](absl::string_view key, absl::string_view) {
        absl::string_view field = key.substr(range.begin.size());
        if (by_alias) {
          there.emplace_back(field.substr(0, field.size() - 1));
        } else if (absl::StatusOr<uint64_t> version = ParseBigEndian(field);
                   version.ok()) {
          there.push_back(absl::StrCat(*version));
        }
        return there.size() < kMaxListedInMessage;
      }));
  return absl::NotFoundError(absl::StrCat(
      what, " '", ref.name, "': no ",
      by_alias ? absl::StrCat("alias '", ref.alias, "'; aliases: ")
               : absl::StrCat("version ", ref.version, "; versions: "),
      there.empty() ? "none" : absl::StrJoin(there, ", ")));
}

absl::Status CheckRevision(Kind kind, absl::string_view name, int64_t version,
                           int64_t expected, int64_t found) {
  if (expected == 0 || expected == found) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(
      KindName(kind), " '", name, "@", version, "': expected revision ",
      expected, ", found ", found, "; read it again and repeat"));
}

}  // namespace perfvec::storage
