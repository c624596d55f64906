// KvRegistry: programs.
#include "absl/strings/str_cat.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"

namespace perfvec::storage {
namespace {

// The version of `name` that was registered with this trace, if any.
absl::StatusOr<std::optional<api::Program>> FindProgramOfTrace(
    const OrderedReader& reader, absl::string_view name,
    absl::string_view trace_id) {
  const std::string prefix = TraceProgramPrefix(trace_id, name);
  int64_t version = 0;
  PERFVEC_RETURN_IF_ERROR(
      ScanPrefix(reader, prefix,
                 [&](absl::string_view key, absl::string_view) -> absl::Status {
                   PERFVEC_ASSIGN_OR_RETURN(
                       version, ParseBigEndian(key.substr(prefix.size())));
                   return absl::OkStatus();
                 }));
  if (version == 0) return std::optional<api::Program>();
  return Programs::Find(reader, name, version);
}

absl::Status EraseVectors(Transaction& transaction,
                          const api::Program& program) {
  for (const api::ProgramVectorInfo& vector : program.vectors()) {
    transaction.Delete(
        VectorKey(vector.model_id(), program.name(), program.version()));
    transaction.Delete(
        PartsKey(vector.model_id(), program.name(), program.version()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CreatedProgram> KvRegistry::CreateProgram(
    api::Program draft, std::vector<api::Job> jobs, bool same_parts) {
  CreatedProgram created;
  PERFVEC_RETURN_IF_ERROR(ValidateName("program", draft.name()));
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(
        std::optional<v1::TraceRecord> trace,
        GetMessage<v1::TraceRecord>(transaction, TraceKey(draft.trace_id())));
    if (!trace) {
      return absl::NotFoundError(absl::StrCat("trace '", draft.trace_id(),
                                              "' of program '", draft.name(),
                                              "': not found; upload it first"));
    }
    const absl::Time now = now_();
    PERFVEC_ASSIGN_OR_RETURN(
        std::optional<api::Program> there,
        FindProgramOfTrace(transaction, draft.name(), draft.trace_id()));
    if (there) {
      created.program = *std::move(there);
      const api::MetadataUpdate update = Programs::MetadataOf(draft);
      if (!Programs::IsApplied(update, created.program)) {
        PERFVEC_RETURN_IF_ERROR(
            Programs::Update(transaction, update, now, &created.program));
      }
    } else {
      draft.set_instructions(trace->trace().instructions());
      draft.set_isa(trace->trace().isa());
      draft.clear_vectors();
      const std::string tenant(TenantOf(draft.name()));
      if (tenant.empty() && trace->tenants_only()) {
        trace->set_tenants_only(false);
        PutMessage(transaction, TraceKey(draft.trace_id()), *trace);
      }
      PERFVEC_ASSIGN_OR_RETURN(bool only_version,
                               Programs::Insert(transaction, now, &draft));
      transaction.Put(
          TraceProgramKey(draft.trace_id(), draft.name(), draft.version()), "");
      CountsChange change;
      change.programs = only_version ? 1 : 0;
      PERFVEC_RETURN_IF_ERROR(ChangeCounts(transaction, change));
      PERFVEC_RETURN_IF_ERROR(
          CheckTenant(transaction, tenant, Account::kPrograms, quota_));
      if (!tenant.empty()) {
        PERFVEC_ASSIGN_OR_RETURN(
            const bool more, ChargeTrace(transaction, tenant, draft.trace_id(),
                                         trace->trace().size_bytes(), now));
        if (more) {
          PERFVEC_RETURN_IF_ERROR(
              CheckTenant(transaction, tenant, Account::kStoredBytes, quota_));
        }
      }
      created.program = std::move(draft);
    }
    for (api::Job& job : jobs) {
      PERFVEC_ASSIGN_OR_RETURN(api::Job queued,
                               QueueJob(transaction, now, created.program,
                                        std::move(job), same_parts, quota_));
      created.jobs.push_back(std::move(queued));
    }
    return absl::OkStatus();
  }));
  return created;
}

absl::StatusOr<api::Program> KvRegistry::GetProgram(absl::string_view ref) {
  return Programs::Resolve(*View(), ref);
}

absl::StatusOr<Page<api::Program>> KvRegistry::ListPrograms(
    const api::PageRequest& page, Viewer viewer) {
  return Programs::List(*View(), page, viewer);
}

absl::StatusOr<api::Program> KvRegistry::UpdateProgram(
    absl::string_view ref, const api::MetadataUpdate& update) {
  api::Program program;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(program, Programs::Resolve(transaction, ref));
        return Programs::Update(transaction, update, now_(), &program);
      }));
  return program;
}

absl::StatusOr<std::vector<api::Program>> KvRegistry::DeleteProgram(
    absl::string_view ref, bool all_versions) {
  std::vector<api::Program> deleted;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(api::Program named,
                                 Programs::Resolve(transaction, ref));
        if (all_versions) {
          PERFVEC_ASSIGN_OR_RETURN(
              deleted, Programs::AllVersions(transaction, named.name()));
        } else {
          deleted = {std::move(named)};
        }
        for (const api::Program& program : deleted) {
          PERFVEC_RETURN_IF_ERROR(
              CancelJobsOfProgram(transaction, now_(), program));
          PERFVEC_RETURN_IF_ERROR(EraseVectors(transaction, program));
          transaction.Delete(TraceProgramKey(program.trace_id(), program.name(),
                                             program.version()));
        }
        PERFVEC_ASSIGN_OR_RETURN(bool none_left,
                                 Programs::Erase(transaction, deleted));
        CountsChange change;
        change.programs = none_left ? -1 : 0;
        return ChangeCounts(transaction, change);
      }));
  return deleted;
}

}  // namespace perfvec::storage
