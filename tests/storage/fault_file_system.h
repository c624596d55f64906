// A file system under RocksDB that loses power, refuses syncs, and fills up.
//
// It writes to real files and remembers what was synced: of every file the
// length at its last sync, of every directory what was created, renamed and
// deleted since its last sync. PowerOff() makes every later operation fail, as
// for a machine that is gone. After the database is closed, LosePower() undoes
// what was not synced: of each file a random part of the unsynced end, at times
// as zeros; of each directory a random number of its latest changes. What was
// synced stays. Then the database may be opened again.
//
// Any thread; LosePower() only while no database is open on it.
//
//   auto faults = std::make_shared<FaultFileSystem>(graveyard_directory, seed);
//   std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(faults);
//   faults->PowerOffAfter(17);  // file operations that change something
#ifndef PERFVEC_TESTS_STORAGE_FAULT_FILE_SYSTEM_H_
#define PERFVEC_TESTS_STORAGE_FAULT_FILE_SYSTEM_H_

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::storage {

class FaultFileSystem : public rocksdb::FileSystemWrapper {
 public:
  // Keeps what is deleted but not synced as links in `graveyard`.
  FaultFileSystem(std::string graveyard, uint64_t seed);

  const char* Name() const override { return "FaultFileSystem"; }
  void PowerOff();
  void PowerOffAfter(int operations);
  bool IsOff() const;
  void LosePower();
  // Syncs of files fail from now on, or do not.
  void FailSyncs(bool fail);
  // Appends fail as on a full disk once this many more bytes are written.
  void SetFreeBytes(int64_t bytes);

  rocksdb::IOStatus NewWritableFile(
      const std::string& path, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(
      const std::string& path, const rocksdb::FileOptions& options,
      std::unique_ptr<rocksdb::FSWritableFile>* result,
      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path,
                                 const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

 private:
  friend class FaultFile;
  friend class FaultDirectory;
  struct FileState {
    uint64_t size = 0;
    uint64_t synced = 0;
  };
  using States = std::map<std::string, std::shared_ptr<FileState>>;
  // One change of a directory that is not durable yet.
  struct Change {
    enum Kind { kCreate, kRename, kDelete } kind;
    std::string path;   // created, deleted, or the new name
    std::string from;   // rename: the old name
    std::string saved;  // link to what the change removed; empty: nothing
    std::shared_ptr<FileState> saved_state;
  };

  // Counts one operation. False: the power is off.
  bool Alive();
  rocksdb::IOStatus Append(FileState* file, rocksdb::FSWritableFile* target,
                           const rocksdb::Slice& data,
                           const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug);
  rocksdb::IOStatus Sync(FileState* file, rocksdb::FSWritableFile* target,
                         const rocksdb::IOOptions& options,
                         rocksdb::IODebugContext* debug);
  void DirectorySynced(const std::string& directory);
  std::string Save(const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Undo(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Random(uint64_t below) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string graveyard_;
  mutable absl::Mutex mutex_;
  std::mt19937_64 random_ ABSL_GUARDED_BY(mutex_);
  States files_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<Change>> changes_ ABSL_GUARDED_BY(mutex_);
  bool off_ ABSL_GUARDED_BY(mutex_) = false;
  int operations_left_ ABSL_GUARDED_BY(mutex_) = -1;  // -1: no limit
  bool fail_syncs_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t free_bytes_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  uint64_t next_saved_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace perfvec::storage

#endif  // PERFVEC_TESTS_STORAGE_FAULT_FILE_SYSTEM_H_
