#include "tests/storage/fault_file_system.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace perfvec::storage {
namespace {

namespace fs = std::filesystem;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus NoPower() { return IOStatus::IOError("the power is off"); }

std::string DirectoryOf(const std::string& path) {
  return fs::path(path).parent_path().string();
}

}  // namespace

class FaultFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultFile(FaultFileSystem* owner,
            std::shared_ptr<FaultFileSystem::FileState> state,
            std::unique_ptr<rocksdb::FSWritableFile> target)
      : FSWritableFileOwnerWrapper(std::move(target)),
        owner_(owner),
        state_(std::move(state)) {}

  IOStatus Append(const Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    return owner_->Append(state_.get(), target(), data, options, debug);
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return owner_->Append(state_.get(), target(), data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return owner_->Sync(state_.get(), target(), options, debug);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return owner_->Sync(state_.get(), target(), options, debug);
  }
  // Hints promise nothing; a preallocated end would only hide the size.
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&,
                     IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Allocate(uint64_t, uint64_t, const IOOptions&,
                    IODebugContext*) override {
    return IOStatus::OK();
  }
  void PrepareWrite(size_t, size_t, const IOOptions&,
                    IODebugContext*) override {}

 private:
  FaultFileSystem* const owner_;
  const std::shared_ptr<FaultFileSystem::FileState> state_;
};

class FaultDirectory : public rocksdb::FSDirectory {
 public:
  FaultDirectory(FaultFileSystem* owner, std::string path,
                 std::unique_ptr<rocksdb::FSDirectory> target)
      : owner_(owner), path_(std::move(path)), target_(std::move(target)) {}
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    if (!owner_->Alive()) return NoPower();
    IOStatus status = target_->Fsync(options, debug);
    if (status.ok()) owner_->DirectorySynced(path_);
    return status;
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions&) override {
    return Fsync(options, debug);
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return target_->Close(options, debug);
  }

 private:
  FaultFileSystem* const owner_;
  const std::string path_;
  const std::unique_ptr<rocksdb::FSDirectory> target_;
};

FaultFileSystem::FaultFileSystem(std::string graveyard, uint64_t seed)
    : FileSystemWrapper(rocksdb::FileSystem::Default()),
      graveyard_(std::move(graveyard)),
      random_(seed) {
  fs::create_directories(graveyard_);
}

void FaultFileSystem::PowerOff() {
  absl::MutexLock lock(&mutex_);
  off_ = true;
}
void FaultFileSystem::PowerOffAfter(int operations) {
  absl::MutexLock lock(&mutex_);
  operations_left_ = operations;
}
bool FaultFileSystem::IsOff() const {
  absl::MutexLock lock(&mutex_);
  return off_;
}
void FaultFileSystem::FailSyncs(bool fail) {
  absl::MutexLock lock(&mutex_);
  fail_syncs_ = fail;
}
void FaultFileSystem::SetFreeBytes(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  free_bytes_ = bytes;
}

bool FaultFileSystem::Alive() {
  absl::MutexLock lock(&mutex_);
  if (operations_left_ > 0 && --operations_left_ == 0) off_ = true;
  return !off_;
}

uint64_t FaultFileSystem::Random(uint64_t below) {
  return std::uniform_int_distribution<uint64_t>(0, below - 1)(random_);
}

void FaultFileSystem::LosePower() {
  absl::MutexLock lock(&mutex_);
  for (auto& [directory, changes] : changes_) {
    // A journal keeps the order of changes: some first ones are durable.
    const size_t kept = Random(changes.size() + 1);
    while (changes.size() > kept) {
      Undo(changes.back());
      changes.pop_back();
    }
  }
  changes_.clear();
  for (auto& [path, file] : files_) {
    if (file->size == file->synced) continue;
    const uint64_t kept = Random(file->size - file->synced + 1);
    const bool zeros = Random(4) == 0;  // the length was written, not the data
    fs::resize_file(path, zeros ? file->synced : file->synced + kept);
    if (zeros) fs::resize_file(path, file->synced + kept);
    file->size = file->synced = file->synced + kept;
  }
  off_ = false;
  operations_left_ = -1;
}

void FaultFileSystem::Undo(const Change& change) {
  switch (change.kind) {
    case Change::kCreate:
      fs::remove(change.path);
      files_.erase(change.path);
      break;
    case Change::kRename:
      fs::rename(change.path, change.from);
      files_[change.from] = files_[change.path];
      files_.erase(change.path);
      break;
    case Change::kDelete:
      break;
  }
  if (change.saved.empty()) return;
  fs::rename(change.saved, change.path);
  if (change.saved_state != nullptr) files_[change.path] = change.saved_state;
}

std::string FaultFileSystem::Save(const std::string& path) {
  if (!fs::exists(path)) return "";
  std::string saved = absl::StrCat(graveyard_, "/", next_saved_++);
  fs::create_hard_link(path, saved);
  return saved;
}

void FaultFileSystem::DirectorySynced(const std::string& directory) {
  absl::MutexLock lock(&mutex_);
  for (const Change& change : changes_[directory])
    if (!change.saved.empty()) fs::remove(change.saved);
  changes_.erase(directory);
}

IOStatus FaultFileSystem::Append(FileState* file,
                                 rocksdb::FSWritableFile* target,
                                 const Slice& data, const IOOptions& options,
                                 IODebugContext* debug) {
  if (!Alive()) return NoPower();
  absl::MutexLock lock(&mutex_);
  Slice fits = data;
  if (static_cast<int64_t>(data.size()) > free_bytes_)
    fits = Slice(data.data(), static_cast<size_t>(free_bytes_));
  IOStatus status = target->Append(fits, options, debug);
  if (!status.ok()) return status;
  file->size += fits.size();
  if (free_bytes_ != INT64_MAX) free_bytes_ -= fits.size();
  return fits.size() == data.size() ? status
                                    : IOStatus::NoSpace("No space left");
}

IOStatus FaultFileSystem::Sync(FileState* file, rocksdb::FSWritableFile* target,
                               const IOOptions& options,
                               IODebugContext* debug) {
  if (!Alive()) return NoPower();
  absl::MutexLock lock(&mutex_);
  if (fail_syncs_) return IOStatus::IOError("the sync failed");
  // The data need not reach the disk: this process reads them back itself.
  IOStatus status = target->Flush(options, debug);
  if (status.ok()) file->synced = file->size;
  return status;
}

IOStatus FaultFileSystem::NewWritableFile(
    const std::string& path, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (!Alive()) return NoPower();
  std::unique_ptr<rocksdb::FSWritableFile> file;
  absl::MutexLock lock(&mutex_);
  Change change{Change::kCreate, path, "", Save(path), files_[path]};
  if (!change.saved.empty()) fs::remove(path);
  IOStatus status = target_->NewWritableFile(path, options, &file, debug);
  if (!status.ok()) return status;
  changes_[DirectoryOf(path)].push_back(std::move(change));
  auto state = std::make_shared<FileState>();
  files_[path] = state;
  *result = std::make_unique<FaultFile>(this, state, std::move(file));
  return status;
}

IOStatus FaultFileSystem::ReopenWritableFile(
    const std::string& path, const rocksdb::FileOptions& options,
    std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) {
  if (!Alive()) return NoPower();
  std::unique_ptr<rocksdb::FSWritableFile> file;
  absl::MutexLock lock(&mutex_);
  IOStatus status = target_->ReopenWritableFile(path, options, &file, debug);
  if (!status.ok()) return status;
  std::shared_ptr<FileState>& state = files_[path];
  if (state == nullptr) {
    state = std::make_shared<FileState>();
    state->size = state->synced = fs::file_size(path);
  }
  *result = std::make_unique<FaultFile>(this, state, std::move(file));
  return status;
}

IOStatus FaultFileSystem::NewDirectory(
    const std::string& path, const IOOptions& options,
    std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSDirectory> directory;
  IOStatus status = target_->NewDirectory(path, options, &directory, debug);
  if (!status.ok()) return status;
  std::string name = path;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  *result = std::make_unique<FaultDirectory>(this, name, std::move(directory));
  return status;
}

IOStatus FaultFileSystem::RenameFile(const std::string& from,
                                     const std::string& to,
                                     const IOOptions& options,
                                     IODebugContext* debug) {
  if (!Alive()) return NoPower();
  absl::MutexLock lock(&mutex_);
  Change change{Change::kRename, to, from, Save(to), files_[to]};
  IOStatus status = target_->RenameFile(from, to, options, debug);
  if (!status.ok()) return status;
  std::shared_ptr<FileState>& state = files_[from];
  if (state == nullptr) {
    state = std::make_shared<FileState>();
    state->size = state->synced = fs::file_size(to);
  }
  files_[to] = state;
  files_.erase(from);
  changes_[DirectoryOf(to)].push_back(std::move(change));
  return status;
}

IOStatus FaultFileSystem::DeleteFile(const std::string& path,
                                     const IOOptions& options,
                                     IODebugContext* debug) {
  if (!Alive()) return NoPower();
  absl::MutexLock lock(&mutex_);
  Change change{Change::kDelete, path, "", Save(path), files_[path]};
  IOStatus status = target_->DeleteFile(path, options, debug);
  if (!status.ok()) return status;
  files_.erase(path);
  changes_[DirectoryOf(path)].push_back(std::move(change));
  return status;
}

}  // namespace perfvec::storage
