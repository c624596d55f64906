// The known names of one kind, for messages: "no program "lbn"; nearest: lbm".
//
// Any thread. One short lock for a write and for a search; a search looks at
// no more than a few thousand names however many there are, so that wrong
// names cost a bounded time. Answers that find what they look for never come
// here.
//
//   NameBook names;
//   names.Add("lbm");
//   names.Nearest("lbn", 3);  // {"lbm"}
#ifndef PERFVEC_SERVER_PREDICTOR_NAME_BOOK_H_
#define PERFVEC_SERVER_PREDICTOR_NAME_BOOK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::server {

// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`,
// case ignored; `limit` + 1 if there are more than `limit`.
int EditDistance(absl::string_view a, absl::string_view b, int limit);

class NameBook {
 public:
  // A name added n times must be removed n times.
  void Add(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Has(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // None of another tenant than that of `name` (storage/tenant.h). At most
  // `count` names within a third of the length in edits, or that
  // begin with `name`; the nearest first, then by name.
  std::vector<std::string> Nearest(absl::string_view name, int count) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The first `count` names in order.
  std::vector<std::string> First(int count) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  absl::btree_map<std::string, int64_t> names_ ABSL_GUARDED_BY(mutex_);
};

// "; nearest: a, b" or "" if there is none.
std::string NearestHint(const NameBook& book, absl::string_view name);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_NAME_BOOK_H_
