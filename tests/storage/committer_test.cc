// Transactions that share a sync, over a store that this test holds up.
#include "storage/committer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "storage/memory_store.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

using ::testing::ElementsAre;

// A memory store whose writes wait and fail on demand.
class HeldStore : public OrderedStore {
 public:
  std::unique_ptr<OrderedReader> Snapshot() const override {
    return store_->Snapshot();
  }
  absl::Status Write(const WriteBatch& batch) override {
    absl::MutexLock lock(&mutex_);
    ++writes_;
    mutex_.Await(absl::Condition(
        +[](HeldStore* self) { return !self->held_; }, this));
    if (!failure_.ok()) return failure_;
    return store_->Write(batch);
  }
  absl::Status Healthy() const override { return absl::OkStatus(); }
  absl::Status Backup(const std::string&) override { return absl::OkStatus(); }
  std::vector<std::pair<std::string, double>> Statistics() const override {
    return {};
  }

  void Hold(bool held) {
    absl::MutexLock lock(&mutex_);
    held_ = held;
  }
  void Fail(absl::Status failure) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(failure);
  }
  void AwaitWrites(int writes) {
    absl::MutexLock lock(&mutex_);
    auto reached = [this, writes] { return writes_ >= writes; };
    mutex_.Await(absl::Condition(&reached));
  }
  int writes() const {
    absl::MutexLock lock(&mutex_);
    return writes_;
  }

 private:
  const std::unique_ptr<OrderedStore> store_ = NewMemoryStore();
  mutable absl::Mutex mutex_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int writes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// Appends to "log" what it finds there and one letter more.
absl::Status Append(Transaction& transaction, char letter) {
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> log,
                           transaction.Get("log"));
  transaction.Put("log", log.value_or("") + letter);
  return absl::OkStatus();
}

class CommitterTest : public ::testing::Test {
 protected:
  // Starts `count` appends that queue behind a write that is held up, and
  // returns once all have run their body.
  void QueueBehindHeldWrite(int count) {
    store_.Hold(true);
    threads_.emplace_back([this] {
      first_ = committer_.Run([](Transaction& t) { return Append(t, 'a'); });
    });
    store_.AwaitWrites(1);
    rest_.resize(count);
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, i] {
        rest_[i] = committer_.Run([&](Transaction& t) {
          absl::Status status = Append(t, 'b');
          absl::MutexLock lock(&ran_mutex_);
          ++ran_;
          return status;
        });
      });
    }
    absl::MutexLock lock(&ran_mutex_);
    auto all = [&] { return ran_ == count; };
    ran_mutex_.Await(absl::Condition(&all));
  }
  void Finish() {
    store_.Hold(false);
    for (std::thread& thread : threads_) thread.join();
  }
  std::string Log() { return store_.Snapshot()->Get("log")->value_or(""); }

  HeldStore store_;
  Committer committer_{&store_};
  std::vector<std::thread> threads_;
  absl::Status first_;
  std::vector<absl::Status> rest_;
  absl::Mutex ran_mutex_;
  int ran_ = 0;
};

TEST_F(CommitterTest, TransactionsBehindASyncShareTheNext) {
  QueueBehindHeldWrite(8);
  EXPECT_EQ(Log(), "");  // readers see what is durable, and nothing else
  Finish();
  EXPECT_EQ(Log(), "abbbbbbbb");  // each saw what the one before wrote
  EXPECT_LE(store_.writes(), 3);
  for (const absl::Status& status : rest_) EXPECT_TRUE(status.ok());
}

TEST_F(CommitterTest, FailedWriteFailsAllThatMayHaveReadIt) {
  QueueBehindHeldWrite(8);
  store_.Fail(absl::UnavailableError("the disk is gone"));
  Finish();
  EXPECT_FALSE(first_.ok());
  for (const absl::Status& status : rest_) EXPECT_FALSE(status.ok());
  EXPECT_EQ(Log(), "");
  store_.Fail(absl::OkStatus());
  EXPECT_TRUE(
      committer_.Run([](Transaction& t) { return Append(t, 'c'); }).ok());
  EXPECT_EQ(Log(), "c");  // nothing of what was lost is seen
}

TEST_F(CommitterTest, FailedBodyWritesNothing) {
  EXPECT_EQ(committer_
                .Run([](Transaction& transaction) {
                  transaction.Put("log", "x");
                  return absl::AbortedError("no");
                })
                .code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(store_.writes(), 0);
}

// Scans of a transaction see store, pending and own writes as one; the model is
// a std::map.
TEST(Transaction, ScansMergeAllLayers) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    auto store = NewMemoryStore();
    std::map<std::string, std::string> model;
    Overlay pending;
    WriteBatch batch;
    auto key = [&] { return absl::StrCat("k", random() % 12); };
    for (int i = 0; i < 8; ++i) {
      const std::string k = key();
      batch.Put(k, model[k] = absl::StrCat("s", i));
    }
    ASSERT_TRUE(store->Write(batch).ok());
    auto snapshot = store->Snapshot();
    Transaction transaction(snapshot.get(), &pending);
    for (int i = 0; i < 12; ++i) {
      const std::string k = key();
      const bool remove = random() % 3 == 0, own = i >= 6;
      const std::string value = absl::StrCat(own ? "o" : "p", i);
      if (remove) {
        model.erase(k);
      } else {
        model[k] = value;
      }
      if (own && remove) {
        transaction.Delete(k);
      } else if (own) {
        transaction.Put(k, value);
      } else {
        pending.Set(k, 1,
                    remove ? std::nullopt : std::optional<std::string>(value));
      }
    }
    const std::string begin = key(), end = key();
    std::map<std::string, std::string> expected, found;
    for (const auto& [k, v] : model)
      if (begin <= k && k < end) expected[k] = v;
    std::string last;
    ASSERT_TRUE(transaction
                    .Scan(begin, end,
                          [&](absl::string_view k, absl::string_view v) {
                            EXPECT_LT(last, k);
                            last = std::string(k);
                            found.emplace(k, v);
                            return true;
                          })
                    .ok());
    ASSERT_EQ(found, expected);
    for (const auto& [k, v] : model) ASSERT_EQ(*transaction.Get(k), v);
  }
}

TEST(MemoryStore, SnapshotSeesItsMoment) {
  auto store = NewMemoryStore();
  auto put = [&](const char* key, const char* value) {
    WriteBatch batch;
    batch.Put(key, value);
    ASSERT_TRUE(store->Write(batch).ok());
  };
  put("a", "1");
  auto before = store->Snapshot();
  put("a", "2");
  put("b", "1");
  auto between = store->Snapshot();
  WriteBatch removal;
  removal.Delete("a");
  ASSERT_TRUE(store->Write(removal).ok());
  put("b", "2");
  auto keys = [](const OrderedReader& reader) {
    std::vector<std::string> seen;
    EXPECT_TRUE(reader
                    .Scan("a", "z",
                          [&](absl::string_view key, absl::string_view value) {
                            seen.push_back(absl::StrCat(key, value));
                            return true;
                          })
                    .ok());
    return seen;
  };
  EXPECT_THAT(keys(*before), ElementsAre("a1"));
  EXPECT_THAT(keys(*between), ElementsAre("a2", "b1"));
  EXPECT_THAT(keys(*store->Snapshot()), ElementsAre("b2"));
  EXPECT_EQ(*before->Get("a"), "1");
  EXPECT_EQ(*between->Get("a"), "2");
  EXPECT_EQ(*store->Snapshot()->Get("a"), std::nullopt);
}

}  // namespace
}  // namespace perfvec::storage
