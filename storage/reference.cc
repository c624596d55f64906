#include "storage/reference.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/key_format.h"
#include "storage/status_macros.h"
#include "storage/tenant.h"

namespace perfvec::storage {
namespace {

constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxNearest = 3;

bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes ||
      !absl::ascii_isalnum(name[0]))
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("._+-", c);
  });
}

// "lab~zlib", both of them names.
bool IsTenantsName(absl::string_view name) {
  const size_t mark = name.find(kTenantMark);
  return mark != absl::string_view::npos && name.size() <= kMaxNameBytes &&
         IsName(name.substr(0, mark)) && IsName(name.substr(mark + 1));
}

// An input of a client, short enough for a message.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, 160)), "'");
}

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(c);
  });
}

}  // namespace

absl::Status ValidateName(absl::string_view what, absl::string_view name) {
  if (IsName(name)) return absl::OkStatus();
  if ((what == "program" || what == "architecture") && IsTenantsName(name)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " name ", Quoted(name),
      ": expected 1 to 128 of A-Z a-z 0-9 . _ + -, a letter or digit first"));
}

absl::Status ValidateAlias(absl::string_view alias) {
  PERFVEC_RETURN_IF_ERROR(ValidateName("alias", alias));
  if (AllDigits(alias) || alias == "latest") {
    return absl::InvalidArgumentError(absl::StrCat(
        "alias ", Quoted(alias), ": a number and 'latest' name versions"));
  }
  return absl::OkStatus();
}

absl::Status ValidateTag(absl::string_view key, absl::string_view value) {
  if (key.empty() || key.size() > kMaxTagKeyBytes ||
      value.size() > kMaxTagValueBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tag ", Quoted(key), ": expected a key of 1 to ", kMaxTagKeyBytes,
        " bytes and a value of at most ", kMaxTagValueBytes, ", found ",
        key.size(), " and ", value.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Reference> ParseReference(absl::string_view what,
                                         absl::string_view reference) {
  Reference result;
  const size_t at = reference.find('@');
  result.name = std::string(reference.substr(0, at));
  PERFVEC_RETURN_IF_ERROR(ValidateName(what, result.name));
  if (at == absl::string_view::npos) return result;
  const absl::string_view selector = reference.substr(at + 1);
  if (selector == "latest") return result;
  if (AllDigits(selector)) {
    if (!absl::SimpleAtoi(selector, &result.version) || result.version < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " reference ", Quoted(reference),
                       ": versions begin at 1 and fit 63 bits"));
    }
    return result;
  }
  PERFVEC_RETURN_IF_ERROR(ValidateAlias(selector));
  result.alias = std::string(selector);
  return result;
}

absl::Status UpdateTags(const perfvec::v1::MetadataUpdate& update,
                        google::protobuf::Map<std::string, std::string>* tags) {
  for (const std::string& key : update.remove_tags()) tags->erase(key);
  for (const auto& [key, value] : update.set_tags()) {
    PERFVEC_RETURN_IF_ERROR(ValidateTag(key, value));
    (*tags)[key] = value;
  }
  if (tags->size() > kMaxTags) {
    return absl::InvalidArgumentError(
        absl::StrCat("tags: at most ", kMaxTags, ", found ", tags->size()));
  }
  return absl::OkStatus();
}

int EditDistance(absl::string_view a, absl::string_view b, int limit) {
  const int rows = static_cast<int>(a.size());
  const int columns = static_cast<int>(b.size());
  if (std::abs(rows - columns) > limit) return limit + 1;
  std::vector<int> row(columns + 1);
  for (int j = 0; j <= columns; ++j) row[j] = j;
  for (int i = 1; i <= rows; ++i) {
    int diagonal = row[0];
    int best = row[0] = i;
    for (int j = 1; j <= columns; ++j) {
      const bool same =
          absl::ascii_tolower(a[i - 1]) == absl::ascii_tolower(b[j - 1]);
      const int replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
  }
  return std::min(row[columns], limit + 1);
}

NearestNames::NearestNames(absl::string_view wanted)
    : wanted_(wanted),
      limit_(std::max<int>(2, static_cast<int>(wanted.size()) / 3)) {}

void NearestNames::Consider(absl::string_view name) {
  if (!MayHint(wanted_, name)) return;
  int distance = EditDistance(wanted_, name, limit_);
  // "lbm" for "lbm_s": a beginning is near however much is missing.
  if (distance > limit_ && wanted_.size() >= 3 && name.size() >= 3 &&
      (absl::StartsWithIgnoreCase(name, wanted_) ||
       absl::StartsWithIgnoreCase(wanted_, name)))
    distance = limit_;
  if (distance > limit_) return;
  auto before = [](const Candidate& a, const Candidate& b) {
    return std::tie(a.distance, a.name) < std::tie(b.distance, b.name);
  };
  Candidate candidate{distance, std::string(name)};
  auto at = std::lower_bound(best_.begin(), best_.end(), candidate, before);
  if (at != best_.end() && at->name == name) return;  // considered before
  best_.insert(at, std::move(candidate));
  if (best_.size() > kMaxNearest) best_.pop_back();
}

std::string NearestNames::Hint() const {
  if (best_.empty()) return "";
  return absl::StrCat(
      "; nearest: ",
      absl::StrJoin(best_, ", ", [](std::string* out, const Candidate& c) {
        absl::StrAppend(out, "'", c.name, "'");
      }));
}

absl::StatusOr<std::string> NearestNamesHint(
    const OrderedReader& reader,
    absl::FunctionRef<std::string(absl::string_view name_prefix)> table,
    absl::string_view wanted) {
  NearestNames nearest(wanted);
  struct Neighbourhood {
    size_t prefix_bytes;
    int keys;
  };
  for (const Neighbourhood& neighbourhood :
       {Neighbourhood{(wanted.size() + 1) / 2, 4000}, Neighbourhood{1, 3000},
        Neighbourhood{0, 3000}}) {
    const KeyRange range =
        PrefixRange(table(wanted.substr(0, neighbourhood.prefix_bytes)));
    int left = neighbourhood.keys;
    PERFVEC_RETURN_IF_ERROR(reader.Scan(
        range.begin, range.end, [&](absl::string_view key, absl::string_view) {
          absl::StatusOr<std::string> name = ParseLatestKey(key);
          if (name.ok()) nearest.Consider(*name);
          return --left > 0;
        }));
  }
  return nearest.Hint();
}

}  // namespace perfvec::storage
