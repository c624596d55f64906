#include "storage/chunk_store.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

constexpr absl::string_view kTemporaryFolder = "tmp";

absl::Status CheckDigest(absl::string_view digest) {
  if (digest.size() == kSha256Bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("chunk digest: expected ",
                                                 kSha256Bytes, " bytes, found ",
                                                 digest.size()));
}

// What one directory holds, by name; one that is gone holds nothing.
absl::StatusOr<std::vector<std::string>> Names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    return ErrnoStatus(error.value(), "list", folder);
  return names;
}

}  // namespace

ChunkPin::ChunkPin(ChunkPin&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)),
      digests_(std::move(other.digests_)) {}
ChunkPin& ChunkPin::operator=(ChunkPin&& other) noexcept {
  std::swap(store_, other.store_);
  std::swap(digests_, other.digests_);
  return *this;
}
ChunkPin::~ChunkPin() {
  if (store_ != nullptr) store_->Unpin(digests_);
}

StagedChunk::StagedChunk(StagedChunk&& other) noexcept
    : files_(other.files_),
      digest_(other.digest_),
      pin_(std::move(other.pin_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      file_(std::move(other.file_)) {}
StagedChunk::~StagedChunk() {
  file_.reset();
  // What cannot be removed now is removed at the next open.
  if (!temporary_path_.empty()) files_->Remove(temporary_path_).IgnoreError();
}

absl::StatusOr<std::unique_ptr<ChunkStore>> ChunkStore::Open(Options options) {
  if (options.files == nullptr) options.files = FileSystem::Real();
  std::unique_ptr<ChunkStore> store(
      new ChunkStore(std::move(options.directory), options.files));
  PERFVEC_RETURN_IF_ERROR(store->Prepare());
  return store;
}

absl::Status ChunkStore::Prepare() {
  const std::string temporary = absl::StrCat(directory_, "/", kTemporaryFolder);
  PERFVEC_RETURN_IF_ERROR(files_->CreateDirectory(directory_));
  PERFVEC_RETURN_IF_ERROR(files_->CreateDirectory(temporary));
  PERFVEC_ASSIGN_OR_RETURN(std::vector<std::string> left, Names(temporary));
  for (const std::string& name : left)
    PERFVEC_RETURN_IF_ERROR(files_->Remove(absl::StrCat(temporary, "/", name)));
  // A process that was killed may have renamed without syncing: from here on a
  // file under its final name is durable.
  PERFVEC_ASSIGN_OR_RETURN(std::vector<std::string> folders, Folders());
  for (const std::string& folder : folders)
    PERFVEC_RETURN_IF_ERROR(files_->SyncDirectory(folder));
  return files_->SyncDirectory(directory_);
}

absl::StatusOr<std::vector<std::string>> ChunkStore::Folders() const {
  PERFVEC_ASSIGN_OR_RETURN(std::vector<std::string> names, Names(directory_));
  std::vector<std::string> folders;
  for (const std::string& name : names)
    if (name.size() == 2)
      folders.push_back(absl::StrCat(directory_, "/", name));
  return folders;
}

// Renames into the folder of the chunk, which the first one of it makes.
absl::Status ChunkStore::Place(const std::string& from, const std::string& to) {
  absl::Status status = files_->Rename(from, to);
  if (!absl::IsNotFound(status)) return status;
  PERFVEC_RETURN_IF_ERROR(files_->CreateDirectory(to.substr(0, to.rfind('/'))));
  status = files_->SyncDirectory(directory_);
  if (!status.ok()) return FailForGood(std::move(status));
  return files_->Rename(from, to);
}

std::string ChunkPath(const std::string& directory, absl::string_view digest) {
  const std::string hex = absl::BytesToHexString(digest);
  return absl::StrCat(directory, "/", hex.substr(0, 2), "/", hex);
}

std::string ChunkStore::Path(absl::string_view digest) const {
  return ChunkPath(directory_, digest);
}

absl::StatusOr<StagedChunk> ChunkStore::Stage(absl::string_view bytes) {
  if (bytes.size() > kMaxChunkBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk: at most ", kMaxChunkBytes, " bytes, found ", bytes.size()));
  }
  PERFVEC_RETURN_IF_ERROR(Healthy());
  const std::string digest = Sha256(bytes);
  StagedChunk staged(files_, digest, Pin({digest}));
  absl::StatusOr<uint64_t> size = Size(digest);
  if (size.ok() && *size == bytes.size()) return staged;  // pinned, in place
  std::string path;
  {
    absl::MutexLock lock(&mutex_);
    path = absl::StrCat(directory_, "/", kTemporaryFolder, "/",
                        absl::BytesToHexString(digest), ".", ++next_temporary_);
  }
  PERFVEC_ASSIGN_OR_RETURN(staged.file_, files_->NewFile(path));
  staged.temporary_path_ = path;
  PERFVEC_RETURN_IF_ERROR(staged.file_->Append(bytes));
  staged.file_->StartWriteback();
  return staged;
}

absl::Status ChunkStore::Commit(absl::Span<StagedChunk> staged) {
  PERFVEC_RETURN_IF_ERROR(Healthy());
  for (StagedChunk& chunk : staged)
    if (chunk.file_ != nullptr) PERFVEC_RETURN_IF_ERROR(chunk.file_->Sync());
  // All renames before the first directory sync: one journal commit of the file
  // system then carries them all.
  std::set<std::string> folders;
  for (StagedChunk& chunk : staged) {
    const std::string path = Path(chunk.digest());
    if (chunk.file_ != nullptr) {
      PERFVEC_RETURN_IF_ERROR(Place(chunk.temporary_path_, path));
      chunk.temporary_path_.clear();
      chunk.file_.reset();
    }
    // A chunk found in place may be another thread's, renamed and not synced.
    folders.insert(path.substr(0, path.rfind('/')));
  }
  for (const std::string& folder : folders) {
    absl::Status status = files_->SyncDirectory(folder);
    if (!status.ok()) return FailForGood(std::move(status));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChunkStore::Put(absl::string_view bytes) {
  PERFVEC_ASSIGN_OR_RETURN(StagedChunk staged, Stage(bytes));
  PERFVEC_RETURN_IF_ERROR(Commit(absl::MakeSpan(&staged, 1)));
  return staged.digest();
}

absl::StatusOr<std::string> ChunkStore::Get(absl::string_view digest) const {
  PERFVEC_RETURN_IF_ERROR(CheckDigest(digest));
  const std::string path = Path(digest);
  PERFVEC_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxChunkBytes));
  const std::string found = Sha256(bytes);
  if (found == digest) return bytes;
  return absl::DataLossError(absl::StrCat(
      "chunk '", path, "': its ", bytes.size(), " bytes have SHA-256 ",
      absl::BytesToHexString(found),
      "; remove the file and upload the trace or model again, or restore a "
      "backup"));
}

absl::StatusOr<std::string> ChunkStore::Read(absl::string_view digest,
                                             uint64_t offset,
                                             uint64_t size) const {
  PERFVEC_ASSIGN_OR_RETURN(std::string bytes, Get(digest));
  if (offset > bytes.size()) {
    return absl::OutOfRangeError(absl::StrCat("chunk '", Path(digest),
                                              "': offset ", offset, " of ",
                                              bytes.size(), " bytes"));
  }
  return bytes.substr(offset, size);
}

bool ChunkStore::Has(absl::string_view digest) const {
  return Size(digest).ok();
}

absl::StatusOr<uint64_t> ChunkStore::Size(absl::string_view digest) const {
  PERFVEC_RETURN_IF_ERROR(CheckDigest(digest));
  const std::string path = Path(digest);
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return ErrnoStatus(errno, "stat", path);
  return static_cast<uint64_t>(file.st_size);
}

ChunkPin ChunkStore::Pin(std::vector<std::string> digests) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& digest : digests) {
    ++pins_[digest];
    if (collecting_) pinned_in_collection_.insert(digest);
  }
  return ChunkPin(this, std::move(digests));
}

void ChunkStore::Unpin(const std::vector<std::string>& digests) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& digest : digests) {
    auto pin = pins_.find(digest);
    if (--pin->second == 0) pins_.erase(pin);
  }
}

std::shared_ptr<void> ChunkStore::HoldCollection() {
  collection_mutex_.Lock();
  return std::shared_ptr<void>(
      this, [this](void*)
                ABSL_NO_THREAD_SAFETY_ANALYSIS { collection_mutex_.Unlock(); });
}

absl::StatusOr<ChunkStore::Collected> ChunkStore::CollectGarbage(
    const Live& live, absl::Duration grace) {
  absl::MutexLock one_at_a_time(&collection_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    collecting_ = true;
    pinned_in_collection_.clear();
    for (const auto& [digest, count] : pins_)
      pinned_in_collection_.insert(digest);
  }
  const absl::Time newest = absl::Now() - grace;
  absl::flat_hash_set<std::string> used;
  absl::Status status =
      live([&used](absl::string_view digest) { used.emplace(digest); });
  Collected collected;
  absl::StatusOr<std::vector<std::string>> folders = Folders();
  if (status.ok()) status = folders.status();
  for (size_t i = 0; status.ok() && i < folders->size(); ++i) {
    absl::StatusOr<std::vector<std::string>> names = Names((*folders)[i]);
    status = names.status();
    if (!status.ok()) break;
    for (const std::string& name : *names) {
      const std::string digest = absl::HexStringToBytes(name);
      if (digest.size() != kSha256Bytes || used.contains(digest)) continue;
      if (RemoveUnlessPinned(digest, newest, &collected.size_bytes))
        ++collected.chunks;
    }
  }
  absl::MutexLock lock(&mutex_);
  collecting_ = false;
  if (!status.ok()) return status;
  return collected;
}

bool ChunkStore::RemoveUnlessPinned(const std::string& digest,
                                    absl::Time newest, uint64_t* size_bytes) {
  const std::string path = Path(digest);
  // Under the lock of the pins: whoever pins after this looks after this, and
  // does not find the file.
  absl::MutexLock lock(&mutex_);
  if (pinned_in_collection_.contains(digest)) return false;
  struct stat file;
  if (stat(path.c_str(), &file) != 0 ||
      absl::TimeFromTimespec(file.st_mtim) > newest)
    return false;
  // A file that cannot be removed is garbage of the next collection, too.
  if (!files_->Remove(path).ok()) return false;
  *size_bytes += static_cast<uint64_t>(file.st_size);
  return true;
}

absl::Status ChunkStore::Healthy() const {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "chunk store: writes are refused after a failed one; restart the "
      "server: ",
      failure_.message()));
}

absl::Status ChunkStore::FailForGood(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = status;
  return status;
}

}  // namespace perfvec::storage
