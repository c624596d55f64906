#include "server/predictor/name_book.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/tenant.h"

namespace perfvec::server {
namespace {

constexpr size_t kMaxLength = 160;     // longer texts are no names
constexpr int64_t kWholeScan = 4096;   // up to this many, all are looked at
constexpr int64_t kNeighbours = 1024;  // else these around the sorted place

}  // namespace

int EditDistance(absl::string_view a, absl::string_view b, int limit) {
  const int n = a.size(), m = b.size();
  if (std::abs(n - m) > limit || n > kMaxLength || m > kMaxLength) {
    return limit + 1;
  }
  std::array<std::array<int, kMaxLength + 1>, 3> rows;
  for (int j = 0; j <= m; ++j) rows[0][j] = j;
  for (int i = 1; i <= n; ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& above2 = rows[(i + 1) % 3];
    const char x = absl::ascii_tolower(a[i - 1]);
    int best = row[0] = i;
    for (int j = 1; j <= m; ++j) {
      const char y = absl::ascii_tolower(b[j - 1]);
      row[j] =
          std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)});
      if (i > 1 && j > 1 && x == absl::ascii_tolower(b[j - 2]) &&
          absl::ascii_tolower(a[i - 2]) == y) {
        row[j] = std::min(row[j], above2[j - 2] + 1);
      }
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
  }
  return std::min(rows[n % 3][m], limit + 1);
}

void NameBook::Add(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  ++names_[name];
}

void NameBook::Remove(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  auto it = names_.find(name);
  if (it != names_.end() && --it->second == 0) names_.erase(it);
}

bool NameBook::Has(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  return names_.find(name) != names_.end();
}

std::vector<std::string> NameBook::Nearest(absl::string_view name,
                                           int count) const {
  if (name.empty() || name.size() > kMaxLength) return {};
  const int limit = std::max<int>(1, name.size() / 3);
  std::vector<std::pair<int, std::string>> found;
  {
    absl::MutexLock lock(&mutex_);
    auto begin = names_.begin(), end = names_.end();
    if (names_.size() > kWholeScan) {
      begin = end = names_.lower_bound(name);
      for (int i = 0; i < kNeighbours && begin != names_.begin(); ++i) --begin;
      for (int i = 0; i < kNeighbours && end != names_.end(); ++i) ++end;
    }
    for (auto it = begin; it != end; ++it) {
      if (!storage::MayHint(name, it->first)) continue;
      int distance = EditDistance(name, it->first, limit);
      if (distance > limit && name.size() >= 3 &&
          absl::StartsWithIgnoreCase(it->first, name)) {
        distance = limit;
      }
      if (distance <= limit) found.emplace_back(distance, it->first);
    }
  }
  const auto last = found.begin() + std::min<size_t>(count, found.size());
  std::partial_sort(found.begin(), last, found.end());
  std::vector<std::string> names;
  for (auto it = found.begin(); it != last; ++it) {
    names.push_back(std::move(it->second));
  }
  return names;
}

std::vector<std::string> NameBook::First(int count) const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, uses] : names_) {
    if (static_cast<int>(names.size()) == count) break;
    names.push_back(name);
  }
  return names;
}

std::string NearestHint(const NameBook& book, absl::string_view name) {
  const std::vector<std::string> nearest = book.Nearest(name, 3);
  return nearest.empty()
             ? ""
             : absl::StrCat("; nearest: ", absl::StrJoin(nearest, ", "));
}

}  // namespace perfvec::server
