// Read-modify-write transactions over an OrderedStore, one after the other,
// whose synced writes share one fsync.
//
// Run() gives `body` a view of everything written so far, including what other
// threads have written but is not durable yet, and returns when the writes of
// this transaction and of all that it may have read are durable. Bodies run one
// at a time; while one group is being synced the next one gathers. When a write
// fails every transaction that waits fails with it, so nothing rests on what
// was lost. Any thread; a body must not call Run().
//
//   absl::Status status = committer.Run([&](Transaction& txn) {
//     PERFVEC_ASSIGN_OR_RETURN(auto old, txn.Get("k"));
//     txn.Put("k", old.value_or("") + "x");
//     return absl::OkStatus();
//   });
#ifndef PERFVEC_STORAGE_COMMITTER_H_
#define PERFVEC_STORAGE_COMMITTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "storage/ordered_store.h"

namespace perfvec::storage {

// Writes that are not in the store yet, by key; the newest wins.
class Overlay {
 public:
  struct Entry {
    uint64_t ticket = 0;
    std::optional<std::string> value;  // absent: deleted
  };
  void Set(std::string key, uint64_t ticket, std::optional<std::string> value) {
    entries_[std::move(key)] = {ticket, std::move(value)};
  }
  void Merge(const Overlay& newer, uint64_t ticket);
  // Forgets what the store now holds.
  void DropUpTo(uint64_t ticket);
  void Clear() { entries_.clear(); }
  const std::map<std::string, Entry, std::less<>>& entries() const {
    return entries_;
  }

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

class Transaction : public OrderedReader {
 public:
  Transaction(const OrderedReader* base, const Overlay* pending)
      : base_(base), pending_(pending) {}

  absl::StatusOr<std::optional<std::string>> Get(
      absl::string_view key) const override;
  // The visitor must not write to this transaction.
  absl::Status Scan(absl::string_view begin, absl::string_view end,
                    Visitor visit) const override;
  void Put(std::string key, std::string value) {
    own_.Set(std::move(key), 0, std::move(value));
  }
  void Delete(std::string key) { own_.Set(std::move(key), 0, std::nullopt); }
  const Overlay& writes() const { return own_; }

 private:
  const OrderedReader* base_;
  const Overlay* pending_;
  Overlay own_;
};

class Committer {
 public:
  using Body = absl::FunctionRef<absl::Status(Transaction&)>;

  // `store` must outlive this.
  explicit Committer(OrderedStore* store) : store_(store) {}
  absl::Status Run(Body body);

 private:
  struct Request {
    WriteBatch batch;
    bool done = false;
    absl::Status status;
  };
  absl::Status Wait(Request* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CommitGroup() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  OrderedStore* const store_;
  absl::Mutex mutex_;
  absl::CondVar committed_;
  Overlay pending_ ABSL_GUARDED_BY(mutex_);
  // Bounded by the number of threads that write: each waits for its own.
  std::vector<Request*> queue_ ABSL_GUARDED_BY(mutex_);
  bool committing_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_COMMITTER_H_
