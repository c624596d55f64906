// Uploads of traces, from the first byte to a trace the registry knows.
//
// A file arrives in pieces that become chunks (storage/chunk_store.h). What is
// committed is durable: the chunks, and the record that lists them. Streams of
// the same content share one upload: each writes and compares; a piece that is
// committed already is not stored again, and one that differs from it ends the
// stream with ABORTED. So clients that upload the same file at once, or a
// client that comes back before its broken connection was noticed, all
// succeed. Finish() reads everything back and compares the SHA-256 of the
// whole, and checks the .pvt structure; what does not pass is dropped.
//
// Each tenant has its own uploads: of what others upload or have, it learns
// nothing, and is asked for all bytes. They are stored once for all.
//
// A draft is an upload of a file that is still being written: without a name
// (SHA-256) until Begin() is told both, which moves its pieces to the upload of
// that content. Until then it counts against the quota with what it has.
//
// Any thread; every method may block on disk: run it on the bulk pool. A Writer
// is used by one thread at a time.
//
//   auto upload = uploads.Begin(sha256, size);
//   auto writer = uploads.OpenWriter(upload->upload_id(), offset);
//   RETURN_IF_ERROR((*writer)->Append(bytes)); ...
//   RETURN_IF_ERROR((*writer)->Close().status());
//   auto trace = uploads.Finish(upload->upload_id());
#ifndef PERFVEC_SERVER_UPLOAD_MANAGER_H_
#define PERFVEC_SERVER_UPLOAD_MANAGER_H_

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/trace_service.pb.h"
#include "server/job_queue.h"
#include "server/metrics.h"
#include "server/security/scope.h"
#include "storage/chunk_store.h"
#include "storage/registry.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::server {

class UploadManager {
 public:
  struct Options {
    uint64_t piece_bytes = 4 << 20;
    uint64_t max_trace_bytes = uint64_t{64} << 30;
    uint64_t max_stored_bytes = uint64_t{1} << 40;  // finished and promised
    size_t max_uploads = 64;
    absl::Duration expire_after = absl::Hours(24);  // without progress
    // Pieces made durable together; for large uploads a share of what is there,
    // since each commit rewrites the upload's record.
    size_t commit_pieces = 4;
  };
  // Reads a whole .pvt file and says what it holds (trace_id, size_bytes and
  // chunks are filled in by the caller), or what is wrong with it.
  using Checker = std::function<absl::StatusOr<storage::v1::TraceRecord>(
      trace::ByteSource& source)>;

  UploadManager(Options options, Clock clock, storage::Registry* registry,
                storage::ChunkStore* chunks, Metrics* metrics, Checker checker);
  absl::Status Load();  // once: the uploads under way before a restart

  // `draft`: the pieces are taken from it, and it ends; empty: none.
  absl::StatusOr<v1::Upload> Begin(const std::string& sha256,
                                   uint64_t size_bytes,
                                   const std::string& draft = "",
                                   const Scope& scope = Scope());
  // The draft of that name (32 hex digits), new if there is none.
  absl::StatusOr<v1::Upload> BeginDraft(const std::string& draft,
                                        const Scope& scope = Scope());
  // Whose an upload under way is; empty: nobody's in particular.
  absl::StatusOr<std::string> TenantOf(const std::string& upload_id);
  absl::StatusOr<v1::Upload> Get(const std::string& upload_id);
  absl::StatusOr<v1::Trace> Finish(const std::string& upload_id);
  absl::Status Abort(const std::string& upload_id);
  absl::StatusOr<v1::Trace> GetTrace(const std::string& trace_id);
  // Drops uploads without progress for too long; returns how many.
  int Expire();

 private:
  struct Active {
    absl::Mutex mutex;
    storage::v1::UploadRecord record ABSL_GUARDED_BY(mutex);
    int writers ABSL_GUARDED_BY(mutex) = 0;
    bool finishing ABSL_GUARDED_BY(mutex) = false;
    bool over ABSL_GUARDED_BY(mutex) = false;  // finished, aborted, expired
  };

 public:
  class Writer {
   public:
    ~Writer();  // waits for the group that is being committed
    // INVALID_ARGUMENT past the declared size; ABORTED if the content differs
    // from what was committed meanwhile; RESOURCE_EXHAUSTED: the disk is full.
    absl::Status Append(absl::string_view bytes);
    // Commits every whole piece. Call also after a cut: what arrived counts.
    absl::StatusOr<v1::Upload> Close();

   private:
    friend class UploadManager;
    Writer(UploadManager* manager, std::shared_ptr<Active> active,
           uint64_t offset, const storage::v1::UploadRecord& record);
    // Pieces that are made durable together.
    struct Group {
      size_t first = 0;  // index of chunks[0] among the pieces
      std::vector<storage::StagedChunk> chunks;
    };
    absl::Status StageBuffer();
    // Begins to commit staged_ on another thread, once the group before it is
    // durable: a disk that syncs and a CPU that hashes then work side by side.
    absl::Status StartCommit();
    absl::Status AwaitCommit();
    absl::Status Commit(Group group) const;

    UploadManager* const manager_;
    const std::shared_ptr<Active> active_;
    const bool is_draft_;
    const uint64_t size_bytes_;
    uint64_t received_;  // offset of the next byte
    size_t commit_pieces_;
    std::string buffer_;
    Group staged_;
    absl::Status failed_;  // of a commit: final
    std::future<absl::Status> committing_;
  };
  // `offset`: a committed size that this server named. What lies behind the
  // present one is compared, not stored again. ABORTED (saying the committed
  // size) if it lies past it or between pieces.
  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter(
      const std::string& upload_id, uint64_t offset);

 private:
  using ActivePtr = std::shared_ptr<Active>;
  static bool IsDraft(const storage::v1::UploadRecord& record) {
    return record.sha256() == record.upload_id();
  }
  absl::StatusOr<ActivePtr> Find(const std::string& upload_id);
  std::vector<ActivePtr> All();
  v1::Upload Describe(const storage::v1::UploadRecord& record) const;
  uint64_t CommittedBytes(const storage::v1::UploadRecord& record) const;
  // Of an upload of `size_bytes` that takes over `drafted_bytes` of a draft.
  absl::Status CheckQuota(uint64_t size_bytes, bool has_draft,
                          uint64_t drafted_bytes);
  absl::Status CheckRoom(uint64_t more_bytes);
  // `draft`: nullptr for none.
  absl::StatusOr<v1::Upload> BeginNamed(const std::string& sha256,
                                        uint64_t size_bytes,
                                        const ActivePtr& draft,
                                        const Scope& scope)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(begin_mutex_);
  absl::StatusOr<v1::Upload> Add(storage::v1::UploadRecord record,
                                 const std::string& draft_id = "");
  absl::StatusOr<storage::v1::TraceRecord> Verify(
      const storage::v1::UploadRecord& record);
  void Drop(Active& active) ABSL_EXCLUSIVE_LOCKS_REQUIRED(active.mutex);

  const Options options_;
  const Clock clock_;
  storage::Registry* const registry_;
  storage::ChunkStore* const chunks_;
  Metrics* const metrics_;
  const Checker checker_;

  absl::Mutex begin_mutex_;  // one Begin at a time: quota, one upload a file
  // Taken after an Active's own, never before.
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ActivePtr> active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_UPLOAD_MANAGER_H_
