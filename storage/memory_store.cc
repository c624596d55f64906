#include "storage/memory_store.h"

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::storage {
namespace {

// A scan takes the lock for this many keys at a time, so that a visitor may
// call the store.
constexpr int kScanStepKeys = 256;

class MemoryStore : public OrderedStore {
 public:
  std::unique_ptr<OrderedReader> Snapshot() const override {
    absl::MutexLock lock(&mutex_);
    return std::make_unique<View>(this, *snapshots_.insert(sequence_));
  }

  absl::Status Write(const WriteBatch& batch) override {
    absl::MutexLock lock(&mutex_);
    ++sequence_;
    const uint64_t oldest =
        snapshots_.empty() ? sequence_ : *snapshots_.begin();
    for (const WriteBatch::Operation& operation : batch.operations()) {
      Versions& versions = entries_[operation.key];
      versions[sequence_] = operation.value;
      // What no snapshot can see goes: all older than the one `oldest` sees.
      auto seen = versions.lower_bound(oldest);
      if (seen != versions.end()) versions.erase(++seen, versions.end());
      if (versions.size() == 1 && !versions.begin()->second.has_value())
        entries_.erase(operation.key);
    }
    return absl::OkStatus();
  }

  absl::Status Healthy() const override { return absl::OkStatus(); }
  absl::Status Backup(const std::string&) override {
    return absl::FailedPreconditionError(
        "the in-memory registry has no backup: open the server with a data "
        "directory");
  }
  std::vector<std::pair<std::string, double>> Statistics() const override {
    absl::MutexLock lock(&mutex_);
    return {{"memory_keys", static_cast<double>(entries_.size())}};
  }

 private:
  // By write sequence, newest first, so that lower_bound(s) is what a snapshot
  // at s sees.
  using Versions =
      std::map<uint64_t, std::optional<std::string>, std::greater<uint64_t>>;

  class View : public OrderedReader {
   public:
    View(const MemoryStore* store, uint64_t sequence)
        : store_(store), sequence_(sequence) {}
    ~View() override {
      absl::MutexLock lock(&store_->mutex_);
      store_->snapshots_.erase(store_->snapshots_.find(sequence_));
    }

    absl::StatusOr<std::optional<std::string>> Get(
        absl::string_view key) const override {
      absl::MutexLock lock(&store_->mutex_);
      auto entry = store_->entries_.find(key);
      if (entry == store_->entries_.end()) return std::nullopt;
      auto version = entry->second.lower_bound(sequence_);
      if (version == entry->second.end()) return std::nullopt;
      return version->second;
    }

    absl::Status Scan(absl::string_view begin, absl::string_view end,
                      Visitor visit) const override {
      std::string from(begin);
      while (true) {
        std::vector<std::pair<std::string, std::string>> step;
        bool more = Collect(from, end, &step);
        for (const auto& [key, value] : step)
          if (!visit(key, value)) return absl::OkStatus();
        if (!more) return absl::OkStatus();
        from = step.back().first + std::string(1, '\0');
      }
    }

   private:
    bool Collect(const std::string& from, absl::string_view end,
                 std::vector<std::pair<std::string, std::string>>* step) const {
      absl::MutexLock lock(&store_->mutex_);
      for (auto entry = store_->entries_.lower_bound(from);
           entry != store_->entries_.end() && entry->first < end; ++entry) {
        auto version = entry->second.lower_bound(sequence_);
        if (version == entry->second.end() || !version->second) continue;
        step->emplace_back(entry->first, *version->second);
        if (step->size() == kScanStepKeys) return true;
      }
      return false;
    }

    const MemoryStore* store_;
    const uint64_t sequence_;
  };

  mutable absl::Mutex mutex_;
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable std::multiset<uint64_t> snapshots_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Versions, std::less<>> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<OrderedStore> NewMemoryStore() {
  return std::make_unique<MemoryStore>();
}

}  // namespace perfvec::storage
