// KvRegistry: traces, uploads and the chunks they hold on to.
#include <set>

#include "absl/strings/str_cat.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/tenant.h"

namespace perfvec::storage {
namespace {

constexpr size_t kDigestBytes = 32;
constexpr size_t kMaxIdBytes = 256;

// Ids are part of keys: no zero byte, not endless.
absl::Status CheckId(absl::string_view what, absl::string_view id) {
  if (!id.empty() && id.size() <= kMaxIdBytes &&
      id.find('\0') == absl::string_view::npos)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": expected an id of 1 to ", kMaxIdBytes,
                   " bytes without a zero byte, found ", id.size(), " bytes"));
}

template <typename Record>
absl::Status CheckDigests(absl::string_view what, const Record& record) {
  for (const std::string& digest : record.chunk_sha256()) {
    if (digest.size() != kDigestBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": a chunk digest has ", kDigestBytes,
                       " bytes, found ", digest.size()));
    }
  }
  return absl::OkStatus();
}

void EraseUpload(Transaction& transaction, const v1::UploadRecord& upload) {
  transaction.Delete(UploadKey(upload.upload_id()));
  transaction.Delete(UploadBySha256Key(upload.sha256(), upload.tenant()));
  if (!upload.tenant().empty()) {
    transaction.Delete(TenantUploadKey(upload.tenant(), upload.upload_id()));
  }
}

// The bytes that an upload may yet become; of a draft, which names no size, and
// of which the SHA-256 is its id, those that are there.
uint64_t PromisedBytes(const v1::UploadRecord& upload) {
  if (upload.sha256() != upload.upload_id()) return upload.size_bytes();
  return uint64_t{upload.chunk_size_bytes()} * upload.chunk_sha256_size();
}

absl::Status CountUpload(Transaction& transaction,
                         const v1::UploadRecord& upload,
                         absl::string_view draft_id, const TenantQuota& quota) {
  const std::string& tenant = upload.tenant();
  if (tenant.empty()) return absl::OkStatus();
  if (!draft_id.empty()) {
    transaction.Delete(TenantUploadKey(tenant, draft_id));
  }
  const std::string key = TenantUploadKey(tenant, upload.upload_id());
  PERFVEC_ASSIGN_OR_RETURN(const std::optional<std::string> before,
                           transaction.Get(key));
  const std::string now = BigEndian(PromisedBytes(upload));
  if (before && *before == now) return absl::OkStatus();
  transaction.Put(key, now);
  if (!before) {
    PERFVEC_RETURN_IF_ERROR(
        CheckTenant(transaction, tenant, Account::kUploads, quota));
  }
  return CheckTenant(transaction, tenant, Account::kStoredBytes, quota);
}

// The traces that tenants hold. Ends what is older than `newest` and of which
// the tenant has no program; says which traces are held since.
absl::Status EndCharges(Transaction& transaction, absl::Time newest,
                        std::set<std::string>* fresh) {
  std::vector<std::string> ended;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      transaction, TenantTraceTable(),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(const TenantTrace held,
                                 ParseTenantTraceKey(key));
        const absl::StatusOr<Charge> charge = ParseCharge(value);
        if (!charge.ok()) return CorruptRecord(key, charge.status().message());
        if (charge->time > newest) {
          fresh->insert(held.trace_id);
          return absl::OkStatus();
        }
        bool has_program = false;
        PERFVEC_RETURN_IF_ERROR(
            ScanPrefix(transaction,
                       absl::StrCat(TraceProgramPrefix(held.trace_id),
                                    held.tenant, std::string(1, kTenantMark)),
                       [&](absl::string_view, absl::string_view) {
                         has_program = true;
                         return absl::OkStatus();
                       }));
        if (!has_program) ended.emplace_back(key);
        return absl::OkStatus();
      }));
  for (std::string& key : ended) transaction.Delete(std::move(key));
  return absl::OkStatus();
}

}  // namespace

absl::Status KvRegistry::PutTrace(const v1::TraceRecord& trace,
                                  absl::string_view finished_upload_id,
                                  absl::string_view tenant) {
  const std::string& id = trace.trace().trace_id();
  PERFVEC_RETURN_IF_ERROR(CheckId("trace", id));
  PERFVEC_RETURN_IF_ERROR(
      CheckDigests(absl::StrCat("trace '", id, "'"), trace));
  return committer_.Run([&](Transaction& transaction) -> absl::Status {
    if (!finished_upload_id.empty()) {
      PERFVEC_ASSIGN_OR_RETURN(std::optional<v1::UploadRecord> upload,
                               GetMessage<v1::UploadRecord>(
                                   transaction, UploadKey(finished_upload_id)));
      if (upload) EraseUpload(transaction, *upload);
    }
    if (!tenant.empty()) {
      PERFVEC_RETURN_IF_ERROR(ChargeTrace(transaction, tenant, id,
                                          trace.trace().size_bytes(), now_())
                                  .status());
    }
    PERFVEC_ASSIGN_OR_RETURN(
        std::optional<v1::TraceRecord> there,
        GetMessage<v1::TraceRecord>(transaction, TraceKey(id)));
    if (there) {  // same content: the first one stays
      if (tenant.empty() && there->tenants_only()) {
        there->set_tenants_only(false);
        PutMessage(transaction, TraceKey(id), *there);
      }
      return absl::OkStatus();
    }
    v1::TraceRecord record = trace;
    record.set_tenants_only(!tenant.empty());
    if (!record.trace().has_create_time())
      *record.mutable_trace()->mutable_create_time() = ToTimestamp(now_());
    PutMessage(transaction, TraceKey(id), record);
    CountsChange change;
    change.trace_bytes = static_cast<int64_t>(record.trace().size_bytes());
    return ChangeCounts(transaction, change);
  });
}

absl::StatusOr<v1::TraceRecord> KvRegistry::GetTrace(
    absl::string_view trace_id) {
  PERFVEC_ASSIGN_OR_RETURN(
      std::optional<v1::TraceRecord> trace,
      GetMessage<v1::TraceRecord>(*View(), TraceKey(trace_id)));
  if (trace) return *std::move(trace);
  return absl::NotFoundError(absl::StrCat("trace '", trace_id, "': not found"));
}

absl::StatusOr<bool> KvRegistry::HoldsTrace(absl::string_view tenant,
                                            absl::string_view trace_id) {
  const std::unique_ptr<OrderedReader> view = View();
  PERFVEC_ASSIGN_OR_RETURN(
      const std::optional<v1::TraceRecord> trace,
      GetMessage<v1::TraceRecord>(*view, TraceKey(trace_id)));
  if (!trace || !trace->tenants_only()) return trace.has_value();
  if (tenant.empty()) return false;
  PERFVEC_ASSIGN_OR_RETURN(const std::optional<std::string> held,
                           view->Get(TenantTraceKey(tenant, trace_id)));
  return held.has_value();
}

absl::Status KvRegistry::PutUpload(const v1::UploadRecord& upload,
                                   absl::string_view draft_id) {
  PERFVEC_RETURN_IF_ERROR(CheckId("upload", upload.upload_id()));
  PERFVEC_RETURN_IF_ERROR(CheckId("upload: sha256", upload.sha256()));
  PERFVEC_RETURN_IF_ERROR(
      CheckDigests(absl::StrCat("upload '", upload.upload_id(), "'"), upload));
  return committer_.Run([&](Transaction& transaction) -> absl::Status {
    const std::string by_sha256 =
        UploadBySha256Key(upload.sha256(), upload.tenant());
    PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> holder,
                             transaction.Get(by_sha256));
    if (holder && *holder != upload.upload_id()) {
      return absl::AlreadyExistsError(
          absl::StrCat("upload '", upload.upload_id(), "': upload '", *holder,
                       "' is under way for the same content; share it"));
    }
    transaction.Put(by_sha256, upload.upload_id());
    PutMessage(transaction, UploadKey(upload.upload_id()), upload);
    return CountUpload(transaction, upload, draft_id, quota_);
  });
}

absl::StatusOr<v1::UploadRecord> KvRegistry::GetUpload(
    absl::string_view upload_id) {
  PERFVEC_ASSIGN_OR_RETURN(
      std::optional<v1::UploadRecord> upload,
      GetMessage<v1::UploadRecord>(*View(), UploadKey(upload_id)));
  if (upload) return *std::move(upload);
  return absl::NotFoundError(
      absl::StrCat("upload '", upload_id, "': not found; begin it anew"));
}

absl::StatusOr<v1::UploadRecord> KvRegistry::FindUpload(
    absl::string_view sha256, absl::string_view tenant) {
  std::unique_ptr<OrderedReader> view = View();
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> id,
                           view->Get(UploadBySha256Key(sha256, tenant)));
  std::optional<v1::UploadRecord> upload;
  if (id) {
    PERFVEC_ASSIGN_OR_RETURN(
        upload, GetMessage<v1::UploadRecord>(*view, UploadKey(*id)));
  }
  if (upload) return *std::move(upload);
  return absl::NotFoundError(
      absl::StrCat("upload of sha256 '", sha256, "': not found"));
}

absl::Status KvRegistry::DeleteUpload(absl::string_view upload_id) {
  return committer_.Run([&](Transaction& transaction) -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(
        std::optional<v1::UploadRecord> upload,
        GetMessage<v1::UploadRecord>(transaction, UploadKey(upload_id)));
    if (!upload) {
      return absl::NotFoundError(
          absl::StrCat("upload '", upload_id, "': not found"));
    }
    EraseUpload(transaction, *upload);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<v1::UploadRecord>> KvRegistry::ListUploads() {
  std::vector<v1::UploadRecord> uploads;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      *View(), UploadTable(),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(v1::UploadRecord upload,
                                 ParseMessage<v1::UploadRecord>(key, value));
        uploads.push_back(std::move(upload));
        return absl::OkStatus();
      }));
  return uploads;
}

absl::StatusOr<std::vector<std::string>> KvRegistry::DeleteUnreferencedTraces(
    int64_t grace_seconds) {
  std::vector<std::string> deleted;
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    const absl::Time newest = now_() - absl::Seconds(grace_seconds);
    std::set<std::string> used;
    PERFVEC_RETURN_IF_ERROR(ScanPrefix(
        transaction, UnfinishedJobTable(),
        [&](absl::string_view key, absl::string_view) -> absl::Status {
          PERFVEC_ASSIGN_OR_RETURN(uint64_t number, JobNumberOfKey(key));
          PERFVEC_ASSIGN_OR_RETURN(
              std::optional<api::Job> job,
              GetMessage<api::Job>(transaction, JobKey(number)));
          if (job) used.insert(job->trace_id());
          return absl::OkStatus();
        }));
    PERFVEC_RETURN_IF_ERROR(EndCharges(transaction, newest, &used));
    CountsChange change;
    PERFVEC_RETURN_IF_ERROR(ScanPrefix(
        transaction, TraceTable(),
        [&](absl::string_view key, absl::string_view value) -> absl::Status {
          PERFVEC_ASSIGN_OR_RETURN(v1::TraceRecord record,
                                   ParseMessage<v1::TraceRecord>(key, value));
          const api::Trace& trace = record.trace();
          if (FromTimestamp(trace.create_time()) > newest ||
              used.count(trace.trace_id()) > 0)
            return absl::OkStatus();
          bool has_program = false;
          PERFVEC_RETURN_IF_ERROR(
              ScanPrefix(transaction, TraceProgramPrefix(trace.trace_id()),
                         [&](absl::string_view, absl::string_view) {
                           has_program = true;
                           return absl::OkStatus();
                         }));
          if (has_program) return absl::OkStatus();
          deleted.push_back(trace.trace_id());
          change.trace_bytes -= static_cast<int64_t>(trace.size_bytes());
          return absl::OkStatus();
        }));
    if (deleted.empty()) return absl::OkStatus();
    for (const std::string& id : deleted) transaction.Delete(TraceKey(id));
    return ChangeCounts(transaction, change);
  }));
  return deleted;
}

absl::Status KvRegistry::LiveChunks(
    std::function<void(absl::string_view sha256)> visit) {
  std::unique_ptr<OrderedReader> view = View();
  auto visit_all = [&visit](const auto& digests) {
    for (const std::string& digest : digests) visit(digest);
  };
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      *view, TraceTable(),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(v1::TraceRecord trace,
                                 ParseMessage<v1::TraceRecord>(key, value));
        visit_all(trace.chunk_sha256());
        return absl::OkStatus();
      }));
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      *view, UploadTable(),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(v1::UploadRecord upload,
                                 ParseMessage<v1::UploadRecord>(key, value));
        visit_all(upload.chunk_sha256());
        return absl::OkStatus();
      }));
  return ScanPrefix(*view, ModelWeightsTable(),
                    [&](absl::string_view, absl::string_view value) {
                      for (size_t at = 0; at + kDigestBytes <= value.size();
                           at += kDigestBytes)
                        visit(value.substr(at, kDigestBytes));
                      return absl::OkStatus();
                    });
}

}  // namespace perfvec::storage
