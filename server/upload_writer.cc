// UploadManager::Writer: pieces of an upload, staged, committed in groups.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "server/times.h"
#include "server/upload_manager.h"
#include "storage/status_macros.h"

namespace perfvec::server {

absl::StatusOr<std::unique_ptr<UploadManager::Writer>>
UploadManager::OpenWriter(const std::string& upload_id, uint64_t offset) {
  PERFVEC_ASSIGN_OR_RETURN(ActivePtr active, Find(upload_id));
  absl::MutexLock lock(&active->mutex);
  const storage::v1::UploadRecord& record = active->record;
  const uint64_t committed = CommittedBytes(record);
  if (offset > committed ||
      (offset % record.chunk_size_bytes() != 0 && offset != committed)) {
    return absl::AbortedError(
        absl::StrCat("upload ", upload_id, ": offset ", offset,
                     " does not fit; committed_size_bytes is ", committed,
                     ", go on from there"));
  }
  ++active->writers;
  return std::unique_ptr<Writer>(new Writer(this, active, offset, record));
}

UploadManager::Writer::Writer(UploadManager* manager, ActivePtr active,
                              uint64_t offset,
                              const storage::v1::UploadRecord& record)
    : manager_(manager),
      active_(std::move(active)),
      is_draft_(IsDraft(record)),
      size_bytes_(record.size_bytes()),
      received_(offset) {
  staged_.first = (offset + manager->options_.piece_bytes - 1) /
                  manager->options_.piece_bytes;
  commit_pieces_ =
      std::max<size_t>(manager->options_.commit_pieces, staged_.first / 64);
  manager_->metrics_->uploads_active().Increment();
}

UploadManager::Writer::~Writer() {
  AwaitCommit().IgnoreError();  // nobody is left to be told
  manager_->metrics_->uploads_active().Decrement();
  absl::MutexLock lock(&active_->mutex);
  --active_->writers;
}

absl::Status UploadManager::Writer::Append(absl::string_view bytes) {
  PERFVEC_RETURN_IF_ERROR(failed_);
  if (bytes.size() > size_bytes_ - received_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "more bytes than the ", size_bytes_,
        " that the upload declared: ", bytes.size(), " at offset ", received_));
  }
  while (!bytes.empty()) {
    if (buffer_.capacity() == 0)
      buffer_.reserve(manager_->options_.piece_bytes);
    const size_t take = std::min<size_t>(
        bytes.size(), manager_->options_.piece_bytes - buffer_.size());
    buffer_.append(bytes.data(), take);
    received_ += take;
    bytes.remove_prefix(take);
    if (buffer_.size() == manager_->options_.piece_bytes ||
        received_ == size_bytes_) {
      PERFVEC_RETURN_IF_ERROR(StageBuffer());
    }
  }
  return absl::OkStatus();
}

absl::Status UploadManager::Writer::StageBuffer() {
  PERFVEC_ASSIGN_OR_RETURN(storage::StagedChunk chunk,
                           manager_->chunks_->Stage(buffer_));
  staged_.chunks.push_back(std::move(chunk));
  manager_->metrics_->upload_bytes().Increment(buffer_.size());
  buffer_.clear();
  if (staged_.chunks.size() < commit_pieces_) return absl::OkStatus();
  return StartCommit();
}

absl::Status UploadManager::Writer::AwaitCommit() {
  if (committing_.valid()) failed_ = committing_.get();
  return failed_;
}

absl::Status UploadManager::Writer::StartCommit() {
  PERFVEC_RETURN_IF_ERROR(AwaitCommit());
  if (staged_.chunks.empty()) return absl::OkStatus();
  Group group = std::move(staged_);
  staged_.first = group.first + group.chunks.size();
  staged_.chunks.clear();
  commit_pieces_ =
      std::max<size_t>(manager_->options_.commit_pieces, staged_.first / 64);
  committing_ = std::async(std::launch::async,
                           [this, group = std::move(group)]() mutable {
                             return Commit(std::move(group));
                           });
  return absl::OkStatus();
}

absl::Status UploadManager::Writer::Commit(Group group) const {
  if (is_draft_) {  // any other's room was promised when it was begun
    PERFVEC_RETURN_IF_ERROR(manager_->CheckRoom(
        group.chunks.size() * manager_->options_.piece_bytes));
  }
  // After a failed sync these pieces are given up: a second sync could succeed
  // without the bytes.
  PERFVEC_RETURN_IF_ERROR(
      manager_->chunks_->Commit(absl::MakeSpan(group.chunks)));
  absl::MutexLock lock(&active_->mutex);
  storage::v1::UploadRecord record = active_->record;
  for (size_t i = 0; i < group.chunks.size(); ++i) {
    const size_t index = group.first + i;
    const std::string& digest = group.chunks[i].digest();
    if (index < record.chunk_sha256_size()) {
      if (record.chunk_sha256(index) == digest) continue;
      return absl::AbortedError(absl::StrCat(
          "upload ", record.upload_id(), ": the bytes from offset ",
          index * record.chunk_size_bytes(),
          " differ from those another client has sent for the same SHA-256; "
          "committed_size_bytes is ",
          manager_->CommittedBytes(active_->record)));
    }
    record.add_chunk_sha256(digest);
  }
  if (record.chunk_sha256_size() > active_->record.chunk_sha256_size()) {
    if (active_->over) {
      return absl::AbortedError(absl::StrCat("upload ", record.upload_id(),
                                             " was aborted or has expired"));
    }
    *record.mutable_update_time() = ToTimestamp(manager_->clock_());
    PERFVEC_RETURN_IF_ERROR(manager_->registry_->PutUpload(record));
    active_->record = std::move(record);
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Upload> UploadManager::Writer::Close() {
  PERFVEC_RETURN_IF_ERROR(StartCommit());
  PERFVEC_RETURN_IF_ERROR(AwaitCommit());
  absl::MutexLock lock(&active_->mutex);
  return manager_->Describe(active_->record);
}

}  // namespace perfvec::server
