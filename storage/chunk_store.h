// Trace and model bytes as content-addressed files: DIRECTORY/ab/abcdef... is
// the chunk whose SHA-256 begins so. A file under its final name is whole and
// durable; what is being written has a name under DIRECTORY/tmp.
//
// Any thread; one ChunkStore for a directory. Chunks are at most
// kMaxChunkBytes. A digest is 32 raw bytes.
//
//   auto chunks = ChunkStore::Open({.directory = "/var/lib/perfvec/chunks"});
//   std::vector<StagedChunk> staged;                 // pins its chunk
//   staged.push_back(*(*chunks)->Stage(bytes));      // written, not durable
//   status = (*chunks)->Commit(absl::MakeSpan(staged));  // durable, one sync
//   status = registry->PutUpload(...staged[0].digest()...);
//   staged.clear();                                  // the registry holds it
//   now
//
// Garbage collection drops what no registry record names, is not pinned, and is
// older than the grace time. A chunk that was pinned at any time while a
// collection runs stays, so whoever pins before it looks or writes, and unpins
// after the registry names the chunk, never loses it.
#ifndef PERFVEC_STORAGE_CHUNK_STORE_H_
#define PERFVEC_STORAGE_CHUNK_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "storage/file_system.h"
#include "storage/sha256.h"

namespace perfvec::storage {

inline constexpr uint64_t kMaxChunkBytes = 64 << 20;

class ChunkStore;

// Keeps chunks from collection while it lives. Movable; must not outlive its
// store.
class ChunkPin {
 public:
  ChunkPin() = default;
  ChunkPin(ChunkPin&& other) noexcept;
  ChunkPin& operator=(ChunkPin&& other) noexcept;
  ~ChunkPin();

 private:
  friend class ChunkStore;
  ChunkPin(ChunkStore* store, std::vector<std::string> digests)
      : store_(store), digests_(std::move(digests)) {}
  ChunkStore* store_ = nullptr;
  std::vector<std::string> digests_;
};

// A chunk on its way in. Dropped before Commit(), its temporary file goes.
class StagedChunk {
 public:
  StagedChunk(StagedChunk&& other) noexcept;
  StagedChunk& operator=(StagedChunk&&) = delete;
  ~StagedChunk();
  const std::string& digest() const { return digest_; }

 private:
  friend class ChunkStore;
  StagedChunk(FileSystem* files, std::string digest, ChunkPin pin)
      : files_(files), digest_(std::move(digest)), pin_(std::move(pin)) {}
  FileSystem* files_;
  std::string digest_;
  ChunkPin pin_;
  std::string temporary_path_;  // empty: the chunk is in place
  std::unique_ptr<WritableFile> file_;
};

class ChunkStore {
 public:
  struct Options {
    std::string directory;
    FileSystem* files = nullptr;  // nullptr: FileSystem::Real(); not owned
  };
  // Creates the directory if absent, removes temporary files that a crash left.
  static absl::StatusOr<std::unique_ptr<ChunkStore>> Open(Options options);

  absl::StatusOr<StagedChunk> Stage(absl::string_view bytes);
  // Makes all of them durable. On error none may be relied on. After a failed
  // sync of a directory the store refuses writes (UNAVAILABLE) until opened
  // anew; Healthy() says so.
  absl::Status Commit(absl::Span<StagedChunk> staged);
  // Stage and Commit of one chunk. The digest is unpinned when this returns.
  absl::StatusOr<std::string> Put(absl::string_view bytes);

  // The chunk, its content compared with the digest. DATA_LOSS names the file.
  absl::StatusOr<std::string> Get(absl::string_view digest) const;
  // Bytes [offset, offset + size) of the chunk, cut at its end; the whole chunk
  // is read and checked, so who reads on keeps what Get() returned.
  absl::StatusOr<std::string> Read(absl::string_view digest, uint64_t offset,
                                   uint64_t size) const;
  bool Has(absl::string_view digest) const;
  absl::StatusOr<uint64_t> Size(absl::string_view digest) const;
  ChunkPin Pin(std::vector<std::string> digests);

  struct Collected {
    uint64_t chunks = 0;
    uint64_t size_bytes = 0;
  };
  // `live` reports every chunk in use, e.g. Registry::LiveChunks. One
  // collection at a time; a second waits.
  using Live = std::function<absl::Status(
      std::function<void(absl::string_view digest)> visit)>;
  absl::StatusOr<Collected> CollectGarbage(const Live& live,
                                           absl::Duration grace);

  // No collection runs until the pointer goes.
  std::shared_ptr<void> HoldCollection();

  absl::Status Healthy() const;
  std::string Path(absl::string_view digest) const;
  const std::string& directory() const { return directory_; }

 private:
  friend class ChunkPin;
  ChunkStore(std::string directory, FileSystem* files)
      : directory_(std::move(directory)), files_(files) {}
  absl::Status Prepare();
  absl::StatusOr<std::vector<std::string>> Folders() const;
  absl::Status Place(const std::string& from, const std::string& to);
  void Unpin(const std::vector<std::string>& digests);
  bool RemoveUnlessPinned(const std::string& digest, absl::Time newest,
                          uint64_t* size_bytes);
  absl::Status FailForGood(absl::Status status);

  const std::string directory_;
  FileSystem* const files_;
  absl::Mutex collection_mutex_;  // held for a whole collection
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, int> pins_ ABSL_GUARDED_BY(mutex_);
  bool collecting_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<std::string> pinned_in_collection_
      ABSL_GUARDED_BY(mutex_);
  uint64_t next_temporary_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// Where the store in `directory` keeps a chunk.
std::string ChunkPath(const std::string& directory, absl::string_view digest);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_CHUNK_STORE_H_
