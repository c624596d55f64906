#include "storage/rocksdb_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "storage/rocksdb_status.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

rocksdb::Slice ToSlice(absl::string_view text) {
  return {text.data(), text.size()};
}
absl::string_view ToView(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

// A store that is only read gets no LOG file either.
class SilentLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// After a full disk RocksDB would poll and resume by itself, at a moment of its
// own; ReadyToWrite() does it, when a write asks for it.
class NoAutomaticRecovery : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* automatic) override {
    *automatic = false;
  }
};

rocksdb::Options EngineOptions(const RocksDbOptions& options) {
  rocksdb::Options engine;
  engine.create_if_missing = options.create_if_missing;
  if (options.env != nullptr) engine.env = options.env;
  if (options.read_only) engine.info_log = std::make_shared<SilentLogger>();
  engine.paranoid_checks = true;
  engine.listeners.push_back(std::make_shared<NoAutomaticRecovery>());
  // An incomplete last record is a write that nobody was told of. A checksum
  // that fails before it is a lost write: better not to open than to go on
  // from an earlier state.
  engine.wal_recovery_mode =
      rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  engine.track_and_verify_wals_in_manifest = true;
  engine.compression = rocksdb::kLZ4Compression;
  engine.bottommost_compression = rocksdb::kZSTD;
  engine.write_buffer_size = options.write_buffer_bytes;
  engine.max_open_files = 512;
  engine.keep_log_file_num = 4;
  engine.max_log_file_size = 16 << 20;
  engine.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  engine.statistics = rocksdb::CreateDBStatistics();
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  engine.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return engine;
}

class View : public OrderedReader {
 public:
  View(rocksdb::DB* db, const std::string& path)
      : db_(db), path_(path), snapshot_(db->GetSnapshot()) {
    read_.snapshot = snapshot_;
  }
  ~View() override { db_->ReleaseSnapshot(snapshot_); }

  absl::StatusOr<std::optional<std::string>> Get(
      absl::string_view key) const override {
    std::string value;
    rocksdb::Status status = db_->Get(read_, ToSlice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return FromRocksDb(status, path_);
    return std::optional<std::string>(std::move(value));
  }

  absl::Status Scan(absl::string_view begin, absl::string_view end,
                    Visitor visit) const override {
    const rocksdb::Slice upper_bound = ToSlice(end);
    rocksdb::ReadOptions read = read_;
    read.iterate_upper_bound = &upper_bound;
    std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(read));
    for (iterator->Seek(ToSlice(begin)); iterator->Valid(); iterator->Next())
      if (!visit(ToView(iterator->key()), ToView(iterator->value()))) break;
    return FromRocksDb(iterator->status(), path_);
  }

 private:
  rocksdb::DB* const db_;
  const std::string& path_;
  const rocksdb::Snapshot* const snapshot_;
  rocksdb::ReadOptions read_;
};

class RocksDbStore : public OrderedStore {
 public:
  RocksDbStore(const RocksDbOptions& options, std::unique_ptr<rocksdb::DB> db,
               std::shared_ptr<rocksdb::Statistics> statistics)
      : path_(options.path),
        sync_writes_(options.sync_writes),
        db_(std::move(db)),
        statistics_(std::move(statistics)) {}

  ~RocksDbStore() override {
    // After a failed write the background error comes back here: known already.
    db_->Close().PermitUncheckedError();
  }

  std::unique_ptr<OrderedReader> Snapshot() const override {
    return std::make_unique<View>(db_.get(), path_);
  }

  absl::Status Write(const WriteBatch& batch) override {
    absl::MutexLock lock(&write_mutex_);
    PERFVEC_RETURN_IF_ERROR(ReadyToWrite());
    rocksdb::WriteBatch engine_batch;
    for (const WriteBatch::Operation& operation : batch.operations()) {
      const rocksdb::Slice key = ToSlice(operation.key);
      rocksdb::Status status =
          operation.value ? engine_batch.Put(key, ToSlice(*operation.value))
                          : engine_batch.Delete(key);
      if (!status.ok()) return FromRocksDb(status, path_);
    }
    rocksdb::WriteOptions write;
    write.sync = sync_writes_;
    absl::Status status = FromRocksDb(db_->Write(write, &engine_batch), path_);
    if (!status.ok()) SetFailure(status);
    return status;
  }

  absl::Status Healthy() const override {
    absl::MutexLock lock(&failure_mutex_);
    return failure_;
  }

  absl::Status Backup(const std::string& directory) override {
    rocksdb::Checkpoint* raw = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &raw);
    std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
    if (status.ok()) status = checkpoint->CreateCheckpoint(directory);
    if (!status.ok()) {
      return FromRocksDb(status,
                         absl::StrCat(path_, "' -> backup '", directory));
    }
    return VerifyRocksDbStore(directory);
  }

  std::vector<std::pair<std::string, double>> Statistics() const override {
    std::vector<std::pair<std::string, double>> result;
    for (const char* property :
         {"rocksdb.estimate-num-keys", "rocksdb.total-sst-files-size",
          "rocksdb.cur-size-all-mem-tables", "rocksdb.block-cache-usage",
          "rocksdb.num-running-compactions", "rocksdb.num-running-flushes",
          "rocksdb.background-errors", "rocksdb.is-write-stopped",
          "rocksdb.estimate-pending-compaction-bytes"}) {
      uint64_t value = 0;
      if (db_->GetIntProperty(property, &value))
        result.emplace_back(property, value);
    }
    for (auto [ticker, name] :
         {std::pair(rocksdb::BLOCK_CACHE_HIT, "rocksdb.block-cache-hits"),
          std::pair(rocksdb::BLOCK_CACHE_MISS, "rocksdb.block-cache-misses"),
          std::pair(rocksdb::WAL_FILE_SYNCED, "rocksdb.wal-syncs"),
          std::pair(rocksdb::WAL_FILE_BYTES, "rocksdb.wal-bytes")})
      result.emplace_back(name, statistics_->getTickerCount(ticker));
    return result;
  }

 private:
  absl::Status ReadyToWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) {
    const absl::Status failure = Healthy();
    if (failure.ok()) return absl::OkStatus();
    if (failure.code() != absl::StatusCode::kResourceExhausted) {
      return absl::UnavailableError(absl::StrCat(
          "registry: writes are refused after a failed one; restart the "
          "server: ",
          failure.message()));
    }
    // A full disk may have been relieved. Resume() flushes what was
    // acknowledged and begins a new log, so the failed record stays behind.
    absl::Status resumed = FromRocksDb(db_->Resume(), path_);
    if (resumed.ok()) SetFailure(absl::OkStatus());
    return resumed.ok() ? resumed : failure;
  }

  void SetFailure(absl::Status failure) {
    absl::MutexLock lock(&failure_mutex_);
    failure_ = std::move(failure);
  }

  const std::string path_;
  const bool sync_writes_;
  const std::unique_ptr<rocksdb::DB> db_;
  const std::shared_ptr<rocksdb::Statistics> statistics_;
  absl::Mutex write_mutex_;
  mutable absl::Mutex failure_mutex_;  // its own: Healthy() waits for no sync
  absl::Status failure_ ABSL_GUARDED_BY(failure_mutex_);
};

absl::StatusOr<std::unique_ptr<rocksdb::DB>> OpenDatabase(
    const RocksDbOptions& options, const rocksdb::Options& engine) {
  rocksdb::DB* raw = nullptr;
  PERFVEC_RETURN_IF_ERROR(
      FromRocksDb(options.read_only
                      ? rocksdb::DB::OpenForReadOnly(engine, options.path, &raw)
                      : rocksdb::DB::Open(engine, options.path, &raw),
                  options.path));
  return std::unique_ptr<rocksdb::DB>(raw);
}

}  // namespace

absl::StatusOr<std::unique_ptr<OrderedStore>> OpenRocksDbStore(
    const RocksDbOptions& options) {
  const rocksdb::Options engine = EngineOptions(options);
  PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<rocksdb::DB> db,
                           OpenDatabase(options, engine));
  return std::make_unique<RocksDbStore>(options, std::move(db),
                                        engine.statistics);
}

absl::Status VerifyRocksDbStore(const std::string& path) {
  RocksDbOptions options;
  options.path = path;
  options.read_only = true;
  PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<rocksdb::DB> db,
                           OpenDatabase(options, EngineOptions(options)));
  return FromRocksDb(db->VerifyChecksum(rocksdb::ReadOptions()), path);
}

}  // namespace perfvec::storage
