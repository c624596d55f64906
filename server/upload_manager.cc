#include "server/upload_manager.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/chunk_source.h"
#include "server/times.h"
#include "spdlog/spdlog.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

constexpr size_t kSha256Digits = 64, kDraftDigits = 32;
// A draft's upload id, and in its record also the place of the SHA-256.
constexpr char kDraftPrefix[] = "draft-";

absl::Status CheckHex(absl::string_view what, absl::string_view text,
                      size_t digits) {
  const bool hex = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
  if (text.size() == digits && hex) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, ": expected ", digits, " lowercase hex digits, found \"",
      absl::CHexEscape(text.substr(0, 80)), "\" (", text.size(), " bytes)"));
}

// Two tenants may draw the same name.
std::string DraftId(const std::string& draft, const Scope& scope) {
  const std::string& tenant = scope.tenant();
  return tenant.empty()
             ? absl::StrCat(kDraftPrefix, draft)
             : absl::StrCat(kDraftPrefix, tenant,
                            std::string(1, storage::kTenantMark), draft);
}

// Names the content, so that a repeated Finish finds the trace after the
// upload's record has gone.
std::string NewUploadId(const std::string& sha256) {
  std::random_device random;
  const uint64_t salt = (uint64_t{random()} << 32) | random();
  return absl::StrCat(sha256, "-", absl::Hex(salt, absl::kZeroPad16));
}

}  // namespace

UploadManager::UploadManager(Options options, Clock clock,
                             storage::Registry* registry,
                             storage::ChunkStore* chunks, Metrics* metrics,
                             Checker checker)
    : options_(options),
      clock_(std::move(clock)),
      registry_(registry),
      chunks_(chunks),
      metrics_(metrics),
      checker_(std::move(checker)) {}

absl::Status UploadManager::Load() {
  PERFVEC_ASSIGN_OR_RETURN(std::vector<storage::v1::UploadRecord> records,
                           registry_->ListUploads());
  for (storage::v1::UploadRecord& record : records) {
    auto active = std::make_shared<Active>();
    const std::string id = record.upload_id();
    {
      absl::MutexLock active_lock(&active->mutex);
      active->record = std::move(record);
    }
    absl::MutexLock lock(&mutex_);
    active_[id] = active;
  }
  return absl::OkStatus();
}

uint64_t UploadManager::CommittedBytes(
    const storage::v1::UploadRecord& record) const {
  return std::min<uint64_t>(
      record.size_bytes(),
      uint64_t{record.chunk_size_bytes()} * record.chunk_sha256_size());
}

v1::Upload UploadManager::Describe(
    const storage::v1::UploadRecord& record) const {
  v1::Upload upload;
  upload.set_upload_id(record.upload_id());
  if (!IsDraft(record)) {
    upload.set_sha256(record.sha256());
    upload.set_size_bytes(record.size_bytes());
  }
  upload.set_committed_size_bytes(CommittedBytes(record));
  upload.set_piece_size_bytes(record.chunk_size_bytes());
  return upload;
}

absl::Status UploadManager::CheckRoom(uint64_t more_bytes) {
  PERFVEC_ASSIGN_OR_RETURN(storage::Registry::Counts counts,
                           registry_->GetCounts());
  uint64_t promised = 0;
  for (const ActivePtr& active : All()) {
    absl::MutexLock lock(&active->mutex);
    promised += IsDraft(active->record) ? CommittedBytes(active->record)
                                        : active->record.size_bytes();
  }
  const uint64_t stored = counts.trace_bytes + promised;
  if (stored <= options_.max_stored_bytes &&
      more_bytes <= options_.max_stored_bytes - stored) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "traces take ", stored, " of ", options_.max_stored_bytes,
      " bytes, too little is left for ", more_bytes,
      "; delete programs that are not needed, or raise the server's "
      "--max-stored-bytes"));
}

absl::Status UploadManager::CheckQuota(uint64_t size_bytes, bool has_draft,
                                       uint64_t drafted_bytes) {
  if (size_bytes == 0 || size_bytes > options_.max_trace_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("size_bytes: expected 1 to ", options_.max_trace_bytes,
                     " (the server's limit for a trace), found ", size_bytes));
  }
  const size_t others = All().size() - (has_draft ? 1 : 0);
  if (others >= options_.max_uploads) {
    return absl::ResourceExhaustedError(
        absl::StrCat(others, " uploads are under way, the server's limit is ",
                     options_.max_uploads, "; retry when some have finished"));
  }
  return CheckRoom(size_bytes - drafted_bytes);
}

absl::StatusOr<v1::Upload> UploadManager::Add(storage::v1::UploadRecord record,
                                              const std::string& draft_id) {
  *record.mutable_create_time() = ToTimestamp(clock_());
  *record.mutable_update_time() = record.create_time();
  auto active = std::make_shared<Active>();
  absl::MutexLock active_lock(&active->mutex);
  active->record = std::move(record);
  PERFVEC_RETURN_IF_ERROR(registry_->PutUpload(active->record, draft_id));
  {
    absl::MutexLock lock(&mutex_);
    active_[active->record.upload_id()] = active;
  }
  return Describe(active->record);
}

absl::StatusOr<v1::Upload> UploadManager::BeginDraft(const std::string& draft,
                                                     const Scope& scope) {
  PERFVEC_RETURN_IF_ERROR(CheckHex("draft", draft, kDraftDigits));
  absl::MutexLock one_at_a_time(&begin_mutex_);
  const std::string id = DraftId(draft, scope);
  if (auto found = Find(id); found.ok()) {
    absl::MutexLock lock(&(*found)->mutex);
    return Describe((*found)->record);
  }
  PERFVEC_RETURN_IF_ERROR(
      CheckQuota(std::min(options_.piece_bytes, options_.max_trace_bytes),
                 /*has_draft=*/false, /*drafted_bytes=*/0));
  storage::v1::UploadRecord record;
  record.set_upload_id(id);
  record.set_sha256(id);
  record.set_tenant(scope.tenant());
  record.set_size_bytes(options_.max_trace_bytes);  // at most
  record.set_chunk_size_bytes(options_.piece_bytes);
  return Add(std::move(record));
}

absl::StatusOr<v1::Upload> UploadManager::Begin(const std::string& sha256,
                                                uint64_t size_bytes,
                                                const std::string& draft,
                                                const Scope& scope) {
  PERFVEC_RETURN_IF_ERROR(CheckHex("sha256", sha256, kSha256Digits));
  if (!draft.empty()) {
    PERFVEC_RETURN_IF_ERROR(CheckHex("draft", draft, kDraftDigits));
  }
  absl::MutexLock one_at_a_time(&begin_mutex_);
  ActivePtr drafted;  // nullptr also if this very call was made before
  if (!draft.empty()) {
    auto found = Find(DraftId(draft, scope));
    if (found.ok()) drafted = *std::move(found);
  }
  auto upload = BeginNamed(sha256, size_bytes, drafted, scope);
  if (upload.ok() && drafted != nullptr) {
    absl::MutexLock lock(&drafted->mutex);
    if (!drafted->over) Drop(*drafted);
  }
  return upload;
}

absl::StatusOr<v1::Upload> UploadManager::BeginNamed(const std::string& sha256,
                                                     uint64_t size_bytes,
                                                     const ActivePtr& draft,
                                                     const Scope& scope) {
  absl::StatusOr<v1::Trace> trace = GetTrace(sha256);
  bool here = trace.ok();
  if (here && !scope.all()) {
    PERFVEC_ASSIGN_OR_RETURN(here,
                             registry_->HoldsTrace(scope.tenant(), sha256));
  }
  if (here) {
    v1::Upload upload;
    upload.set_sha256(sha256);
    upload.set_size_bytes(trace->size_bytes());
    upload.set_committed_size_bytes(trace->size_bytes());
    *upload.mutable_trace() = *std::move(trace);
    return upload;
  }
  if (!trace.ok() && !absl::IsNotFound(trace.status())) return trace.status();
  absl::StatusOr<storage::v1::UploadRecord> found =
      registry_->FindUpload(sha256, scope.tenant());
  if (found.ok()) {
    if (found->size_bytes() != size_bytes) {
      return absl::FailedPreconditionError(absl::StrCat(
          "an upload of ", sha256, " is under way that declares ",
          found->size_bytes(), " bytes, not ", size_bytes,
          "; one of the two is wrong: check the file, or abort upload ",
          found->upload_id()));
    }
    return Describe(*found);
  }
  if (!absl::IsNotFound(found.status())) return found.status();

  storage::v1::UploadRecord record;
  record.set_upload_id(NewUploadId(sha256));
  record.set_sha256(sha256);
  record.set_tenant(scope.tenant());
  record.set_size_bytes(size_bytes);
  record.set_chunk_size_bytes(options_.piece_bytes);
  uint64_t drafted_bytes = 0;
  std::string draft_id;
  if (draft != nullptr) {
    absl::MutexLock lock(&draft->mutex);
    draft_id = draft->record.upload_id();
    const auto& pieces = draft->record.chunk_sha256();
    const uint64_t piece_bytes = draft->record.chunk_size_bytes();
    const int taken =
        std::min<uint64_t>(pieces.size(), size_bytes / piece_bytes);
    record.set_chunk_size_bytes(piece_bytes);
    record.mutable_chunk_sha256()->Add(pieces.begin(), pieces.begin() + taken);
    drafted_bytes = taken * piece_bytes;
  }
  PERFVEC_RETURN_IF_ERROR(
      CheckQuota(size_bytes, draft != nullptr, drafted_bytes));
  return Add(std::move(record), draft_id);
}

absl::StatusOr<UploadManager::ActivePtr> UploadManager::Find(
    const std::string& upload_id) {
  absl::MutexLock lock(&mutex_);
  auto found = active_.find(upload_id);
  if (found != active_.end()) return found->second;
  return absl::NotFoundError(absl::StrCat(
      "no upload \"", absl::CHexEscape(upload_id.substr(0, 100)),
      "\": it was finished, aborted or expired; begin again, what is there "
      "already is not asked for twice"));
}

absl::StatusOr<v1::Upload> UploadManager::Get(const std::string& upload_id) {
  PERFVEC_ASSIGN_OR_RETURN(ActivePtr active, Find(upload_id));
  absl::MutexLock lock(&active->mutex);
  return Describe(active->record);
}

absl::StatusOr<std::string> UploadManager::TenantOf(
    const std::string& upload_id) {
  PERFVEC_ASSIGN_OR_RETURN(ActivePtr active, Find(upload_id));
  absl::MutexLock lock(&active->mutex);
  return active->record.tenant();
}

absl::StatusOr<v1::Trace> UploadManager::GetTrace(const std::string& trace_id) {
  PERFVEC_ASSIGN_OR_RETURN(storage::v1::TraceRecord record,
                           registry_->GetTrace(trace_id));
  return record.trace();
}

void UploadManager::Drop(Active& active) {
  active.over = true;
  const std::string id = active.record.upload_id();
  const absl::Status deleted = registry_->DeleteUpload(id);
  if (!deleted.ok() && !absl::IsNotFound(deleted)) {
    spdlog::warn("upload {}: {}", id, deleted.ToString());
  }
  absl::MutexLock lock(&mutex_);
  active_.erase(id);
}

absl::Status UploadManager::Abort(const std::string& upload_id) {
  PERFVEC_ASSIGN_OR_RETURN(ActivePtr active, Find(upload_id));
  absl::MutexLock lock(&active->mutex);
  if (active->finishing) {
    return absl::FailedPreconditionError(
        absl::StrCat("upload ", upload_id, " is being finished"));
  }
  if (!active->over) Drop(*active);
  metrics_->CountUpload("aborted");
  return absl::OkStatus();
}

std::vector<UploadManager::ActivePtr> UploadManager::All() {
  std::vector<ActivePtr> all;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, active] : active_) all.push_back(active);
  return all;
}

int UploadManager::Expire() {
  int dropped = 0;
  for (const ActivePtr& active : All()) {
    absl::MutexLock lock(&active->mutex);
    const absl::Time last = FromTimestamp(active->record.update_time());
    if (active->over || active->finishing || active->writers > 0 ||
        clock_() - last < options_.expire_after) {
      continue;
    }
    Drop(*active);
    metrics_->CountUpload("expired");
    ++dropped;
  }
  return dropped;
}

absl::StatusOr<v1::Trace> UploadManager::Finish(const std::string& upload_id) {
  absl::StatusOr<ActivePtr> active = Find(upload_id);
  if (!active.ok()) {
    // A repeated call whose first answer was lost.
    absl::StatusOr<v1::Trace> trace =
        GetTrace(std::vector<std::string>(absl::StrSplit(upload_id, '-'))[0]);
    if (trace.ok()) return trace;
    return active.status();
  }
  storage::v1::UploadRecord record;
  {
    absl::MutexLock lock(&(*active)->mutex);
    record = (*active)->record;
    if (IsDraft(record)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "upload ", upload_id,
          " is a draft; name its content first: BeginUpload with sha256, "
          "size_bytes and draft"));
    }
    if ((*active)->over || (*active)->finishing) {
      return absl::UnavailableError(absl::StrCat(
          "upload ", upload_id, " is being finished by another call; retry"));
    }
    if (CommittedBytes(record) != record.size_bytes()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "upload ", upload_id, ": ", CommittedBytes(record), " of ",
          record.size_bytes(), " bytes are here; write the rest first"));
    }
    (*active)->finishing = true;
  }
  absl::StatusOr<storage::v1::TraceRecord> trace = Verify(record);
  absl::Status stored = trace.status();
  if (trace.ok()) {
    *trace->mutable_chunk_sha256() = record.chunk_sha256();
    trace->set_chunk_size_bytes(record.chunk_size_bytes());
    stored = registry_->PutTrace(*trace, upload_id, record.tenant());
  }
  absl::MutexLock lock(&(*active)->mutex);
  (*active)->finishing = false;
  if (stored.ok()) {
    (*active)->over = true;
    absl::MutexLock map_lock(&mutex_);
    active_.erase(upload_id);
    metrics_->CountUpload("finished");
    return trace->trace();
  }
  if (!trace.ok() && absl::IsInvalidArgument(trace.status())) {
    Drop(**active);
    metrics_->CountUpload("refused");
  }
  return stored;
}

absl::StatusOr<storage::v1::TraceRecord> UploadManager::Verify(
    const storage::v1::UploadRecord& record) {
  std::vector<std::string> digests(record.chunk_sha256().begin(),
                                   record.chunk_sha256().end());
  ChunkSource source(chunks_, std::move(digests), record.size_bytes(),
                     absl::StrCat("upload ", record.upload_id()));
  absl::StatusOr<storage::v1::TraceRecord> checked = checker_(source);
  PERFVEC_RETURN_IF_ERROR(source.Drain());
  if (source.consumed_bytes() != record.size_bytes()) {
    return absl::InternalError(
        absl::StrCat(source.name(), ": ", source.consumed_bytes(),
                     " bytes were stored, ", record.size_bytes(), " expected"));
  }
  // A wrong file is told before a malformed one: it explains the other.
  const std::string found = source.sha256();
  if (found != record.sha256()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the uploaded content has SHA-256 ", found,
                     ", declared was ", record.sha256(),
                     "; the file changed while it was sent, or was read "
                     "wrongly. The upload was dropped: begin again"));
  }
  if (!checked.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the uploaded file is not a valid trace, and was dropped: ",
        checked.status().message()));
  }
  v1::Trace& trace = *checked->mutable_trace();
  trace.set_trace_id(found);
  trace.set_size_bytes(record.size_bytes());
  *trace.mutable_create_time() = ToTimestamp(clock_());
  return checked;
}

}  // namespace perfvec::server
