// KvRegistry: jobs and their shards.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/kv_registry.h"
#include "storage/page_token.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"

namespace perfvec::storage {
namespace {

bool IsUnfinished(api::JobState state) {
  return state == api::JOB_STATE_QUEUED || state == api::JOB_STATE_RUNNING;
}

absl::StatusOr<std::optional<api::Job>> FindJob(const OrderedReader& reader,
                                                uint64_t number) {
  return GetMessage<api::Job>(reader, JobKey(number));
}

absl::StatusOr<api::Job> RequireJob(const OrderedReader& reader,
                                    absl::string_view job_id) {
  const uint64_t number = ParseJobId(job_id);
  std::optional<api::Job> job;
  if (number != 0) {
    PERFVEC_ASSIGN_OR_RETURN(job, FindJob(reader, number));
  }
  if (job) return *std::move(job);
  return absl::NotFoundError(absl::StrCat("job '", job_id, "': not found"));
}

int64_t CountOf(api::JobState state, api::JobState counted) {
  return state == counted ? 1 : 0;
}

absl::Status EraseShards(Transaction& transaction, uint64_t number) {
  std::vector<std::string> keys;
  PERFVEC_RETURN_IF_ERROR(
      ScanPrefix(transaction, ShardPrefix(number),
                 [&](absl::string_view key, absl::string_view) {
                   keys.emplace_back(key);
                   return absl::OkStatus();
                 }));
  for (std::string& key : keys) transaction.Delete(std::move(key));
  return absl::OkStatus();
}

// Stores *job over `stored` with a new revision; keeps index and counts.
absl::Status StoreJob(Transaction& transaction, absl::Time now,
                      const api::Job& stored, api::Job* job) {
  const uint64_t number = ParseJobId(stored.job_id());
  job->set_revision(stored.revision() + 1);
  if (!IsUnfinished(job->state())) {
    if (!job->has_finish_time()) *job->mutable_finish_time() = ToTimestamp(now);
    transaction.Delete(UnfinishedJobKey(number));
    const absl::string_view tenant = TenantOf(stored.program_name());
    if (!tenant.empty()) transaction.Delete(TenantJobKey(tenant, number));
    PERFVEC_RETURN_IF_ERROR(EraseShards(transaction, number));
  }
  PutMessage(transaction, JobKey(number), *job);
  if (job->state() == stored.state()) return absl::OkStatus();
  CountsChange change;
  change.jobs_queued = CountOf(job->state(), api::JOB_STATE_QUEUED) -
                       CountOf(stored.state(), api::JOB_STATE_QUEUED);
  change.jobs_running = CountOf(job->state(), api::JOB_STATE_RUNNING) -
                        CountOf(stored.state(), api::JOB_STATE_RUNNING);
  return ChangeCounts(transaction, change);
}

// The stored job that `job` may be written over.
absl::StatusOr<api::Job> CheckJobWrite(const OrderedReader& reader,
                                       const api::Job& job) {
  PERFVEC_ASSIGN_OR_RETURN(api::Job stored, RequireJob(reader, job.job_id()));
  if (job.revision() != stored.revision()) {
    return absl::AbortedError(absl::StrCat(
        "job '", job.job_id(), "': expected revision ", job.revision(),
        ", found ", stored.revision(), "; read it again and repeat"));
  }
  if (!IsUnfinished(stored.state())) {
    return absl::FailedPreconditionError(
        absl::StrCat("job '", job.job_id(), "': it has ended as ",
                     api::JobState_Name(stored.state())));
  }
  if (job.program_name() != stored.program_name() ||
      job.program_version() != stored.program_version() ||
      job.model_id() != stored.model_id() ||
      job.trace_id() != stored.trace_id()) {
    return absl::InvalidArgumentError(
        absl::StrCat("job '", job.job_id(),
                     "': its program, trace and model do not change"));
  }
  return stored;
}

absl::Status NotThisJobs(const api::Job& job, absl::string_view what,
                         absl::string_view expected, absl::string_view found) {
  return absl::FailedPreconditionError(
      absl::StrCat("job '", job.job_id(), "': a vector of ", what, " '",
                   expected, "' was expected, found '", found, "'"));
}

absl::Status CheckParts(absl::string_view program,
                        const v1::ProgramPartsRecord& record,
                        const api::Model& model) {
  for (const auto* parts : {&record.intervals(), &record.code()}) {
    for (const v1::ProgramPartsRecord::Part& part : *parts) {
      PERFVEC_RETURN_IF_ERROR(
          CheckVector(absl::StrCat("a part of program '", program, "'"),
                      model.model_id(), model.width(), part.values()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<api::Job> QueueJob(Transaction& transaction, absl::Time now,
                                  const api::Program& program, api::Job draft,
                                  bool same_parts, const TenantQuota& quota) {
  PERFVEC_RETURN_IF_ERROR(ModelOfId(transaction, draft.model_id()).status());
  const std::string latest_key =
      LatestJobKey(program.name(), program.version(), draft.model_id());
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> latest,
                           transaction.Get(latest_key));
  if (latest) {
    PERFVEC_ASSIGN_OR_RETURN(uint64_t number, ParseBigEndian(*latest));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Job> there,
                             FindJob(transaction, number));
    const bool enough =
        !same_parts ||
        (there &&
         there->interval_instructions() == draft.interval_instructions() &&
         (there->by_address() || !draft.by_address()));
    if (there && IsUnfinished(there->state())) {
      if (enough) return *std::move(there);
      return absl::FailedPreconditionError(
          absl::StrCat("program '", program.name(), "@", program.version(),
                       "': ", there->job_id(),
                       " is computing its vector with other parts; wait "
                       "for its end or cancel it"));
    }
    if (there && enough && there->state() == api::JOB_STATE_SUCCEEDED) {
      // The vector may have gone with a model that came back.
      PERFVEC_ASSIGN_OR_RETURN(
          std::optional<std::string> vector,
          transaction.Get(
              VectorKey(draft.model_id(), program.name(), program.version())));
      if (vector) return *std::move(there);
    }
  }
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> last,
                           transaction.Get(JobCounterKey()));
  uint64_t number = 1;
  if (last) {
    PERFVEC_ASSIGN_OR_RETURN(number, ParseBigEndian(*last));
    ++number;
  }
  draft.set_job_id(JobId(number));
  draft.set_state(api::JOB_STATE_QUEUED);
  draft.set_program_name(program.name());
  draft.set_program_version(program.version());
  draft.set_trace_id(program.trace_id());
  draft.set_revision(1);
  if (draft.instructions() == 0) draft.set_instructions(program.instructions());
  *draft.mutable_create_time() = ToTimestamp(now);
  transaction.Put(JobCounterKey(), BigEndian(number));
  transaction.Put(latest_key, BigEndian(number));
  transaction.Put(UnfinishedJobKey(number), "");
  transaction.Put(ProgramJobKey(program.name(), number), "");
  PutMessage(transaction, JobKey(number), draft);
  CountsChange change;
  change.jobs_queued = 1;
  PERFVEC_RETURN_IF_ERROR(ChangeCounts(transaction, change));
  const absl::string_view tenant = TenantOf(program.name());
  if (!tenant.empty()) {
    transaction.Put(TenantJobKey(tenant, number), "");
    PERFVEC_RETURN_IF_ERROR(
        CheckTenant(transaction, tenant, Account::kJobs, quota));
  }
  return draft;
}

absl::Status CancelJobsOfProgram(Transaction& transaction, absl::Time now,
                                 const api::Program& program) {
  std::vector<std::pair<std::string, uint64_t>> latest;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      transaction, LatestJobPrefix(program.name(), program.version()),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(uint64_t number, ParseBigEndian(value));
        latest.emplace_back(key, number);
        return absl::OkStatus();
      }));
  for (const auto& [key, number] : latest) {
    transaction.Delete(key);
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Job> stored,
                             FindJob(transaction, number));
    if (!stored || !IsUnfinished(stored->state())) continue;
    api::Job job = *stored;
    job.set_state(api::JOB_STATE_CANCELLED);
    job.set_error(absl::StrCat("program '", program.name(), "@",
                               program.version(), "' was deleted"));
    PERFVEC_RETURN_IF_ERROR(StoreJob(transaction, now, *stored, &job));
  }
  return absl::OkStatus();
}

absl::StatusOr<api::Job> KvRegistry::CreateJob(api::Job draft,
                                               bool same_parts) {
  api::Job job;
  PERFVEC_RETURN_IF_ERROR(
      committer_.Run([&](Transaction& transaction) -> absl::Status {
        const std::string ref = draft.program_version() == 0
                                    ? draft.program_name()
                                    : absl::StrCat(draft.program_name(), "@",
                                                   draft.program_version());
        PERFVEC_ASSIGN_OR_RETURN(api::Program program,
                                 Programs::Resolve(transaction, ref));
        PERFVEC_ASSIGN_OR_RETURN(
            job, QueueJob(transaction, now_(), program, std::move(draft),
                          same_parts, quota_));
        return absl::OkStatus();
      }));
  return job;
}

absl::StatusOr<api::Job> KvRegistry::GetJob(absl::string_view job_id) {
  return RequireJob(*View(), job_id);
}

absl::StatusOr<Page<api::Job>> KvRegistry::ListJobs(
    const api::ListJobsRequest& request, Viewer viewer) {
  std::vector<int> states(request.states().begin(), request.states().end());
  std::sort(states.begin(), states.end());
  auto wanted = [&](const api::Job& job) {
    const absl::string_view tenant = TenantOf(job.program_name());
    if (viewer && !tenant.empty() && tenant != *viewer) return false;
    return states.empty() ||
           std::binary_search(states.begin(), states.end(), job.state());
  };
  const bool only_unfinished =
      !states.empty() && std::all_of(states.begin(), states.end(), [](int s) {
        return IsUnfinished(static_cast<api::JobState>(s));
      });
  PageQuery query;
  query.listing = absl::StrCat("jobs?program=", request.program(),
                               "&states=", absl::StrJoin(states, ","));
  // The narrowest of the tables that hold all that is wanted; newest first.
  query.range = PrefixRange(!request.program().empty()
                                ? ProgramJobPrefix(request.program())
                            : only_unfinished ? UnfinishedJobTable()
                                              : JobTable());
  query.page_size = request.page_size();
  query.page_token = request.page_token();
  std::unique_ptr<OrderedReader> view = View();
  Page<api::Job> page;
  auto add = [&](absl::string_view key,
                 absl::string_view) -> absl::StatusOr<size_t> {
    PERFVEC_ASSIGN_OR_RETURN(uint64_t number, JobNumberOfKey(key));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Job> job,
                             FindJob(*view, number));
    if (!job) return CorruptRecord(key, "the job it names is missing");
    if (!wanted(*job)) return 0;
    page.items.push_back(*std::move(job));
    return page.items.back().ByteSizeLong();
  };
  PERFVEC_ASSIGN_OR_RETURN(page.next_page_token, ScanPage(*view, query, add));
  return page;
}

absl::StatusOr<api::Job> KvRegistry::UpdateJob(api::Job job) {
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(api::Job stored, CheckJobWrite(transaction, job));
    if (job.state() == api::JOB_STATE_SUCCEEDED ||
        job.state() == api::JOB_STATE_UNSPECIFIED) {
      return absl::FailedPreconditionError(absl::StrCat(
          "job '", job.job_id(), "': state ", api::JobState_Name(job.state()),
          " is not written by UpdateJob; FinishJob writes the "
          "success with its vector"));
    }
    return StoreJob(transaction, now_(), stored, &job);
  }));
  return job;
}

absl::StatusOr<api::Job> KvRegistry::PutShard(api::Job job,
                                              const v1::ShardRecord& shard) {
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    const std::string key = ShardKey(ParseJobId(job.job_id()), shard.shard());
    PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> there,
                             transaction.Get(key));
    if (there) {
      return absl::AlreadyExistsError(absl::StrCat(
          "job '", job.job_id(), "': shard ", shard.shard(), " is complete"));
    }
    PERFVEC_ASSIGN_OR_RETURN(api::Job stored, CheckJobWrite(transaction, job));
    if (shard.shard() >= stored.shards()) {
      return absl::InvalidArgumentError(
          absl::StrCat("job '", job.job_id(), "': shard ", shard.shard(),
                       " of a job of ", stored.shards(), " shards"));
    }
    if (!IsUnfinished(job.state())) {
      return absl::FailedPreconditionError(
          absl::StrCat("job '", job.job_id(), "': a shard with state ",
                       api::JobState_Name(job.state())));
    }
    PutMessage(transaction, key, shard);
    return StoreJob(transaction, now_(), stored, &job);
  }));
  return job;
}

absl::StatusOr<std::vector<v1::ShardRecord>> KvRegistry::ListShards(
    absl::string_view job_id) {
  std::unique_ptr<OrderedReader> view = View();
  PERFVEC_RETURN_IF_ERROR(RequireJob(*view, job_id).status());
  std::vector<v1::ShardRecord> shards;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      *view, ShardPrefix(ParseJobId(job_id)),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(v1::ShardRecord shard,
                                 ParseMessage<v1::ShardRecord>(key, value));
        shards.push_back(std::move(shard));
        return absl::OkStatus();
      }));
  return shards;
}

absl::StatusOr<api::Job> KvRegistry::FinishJob(
    api::Job job, const v1::ProgramVectorRecord& vector,
    const v1::ProgramPartsRecord* parts) {
  PERFVEC_RETURN_IF_ERROR(committer_.Run([&](Transaction& transaction)
                                             -> absl::Status {
    const absl::Time now = now_();
    PERFVEC_ASSIGN_OR_RETURN(api::Job known,
                             RequireJob(transaction, job.job_id()));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Program> program,
                             Programs::Find(transaction, known.program_name(),
                                            known.program_version()));
    if (!program) {
      return absl::FailedPreconditionError(absl::StrCat(
          "job '", job.job_id(), "': program '", known.program_name(), "@",
          known.program_version(), "' was deleted"));
    }
    PERFVEC_ASSIGN_OR_RETURN(api::Job stored, CheckJobWrite(transaction, job));
    if (vector.model_id() != stored.model_id())
      return NotThisJobs(stored, "model", stored.model_id(), vector.model_id());
    const std::string label =
        absl::StrCat(program->name(), "@", program->version());
    const std::string found =
        absl::StrCat(vector.program_name(), "@", vector.program_version());
    if (found != label) return NotThisJobs(stored, "program", label, found);
    PERFVEC_ASSIGN_OR_RETURN(api::Model model,
                             ModelOfId(transaction, stored.model_id()));
    PERFVEC_RETURN_IF_ERROR(CheckVector(absl::StrCat("program '", label, "'"),
                                        vector.model_id(), model.width(),
                                        vector.values()));
    v1::ProgramVectorRecord record = vector;
    record.set_job_id(stored.job_id());
    if (!record.has_create_time())
      *record.mutable_create_time() = ToTimestamp(now);
    PutMessage(
        transaction,
        VectorKey(record.model_id(), program->name(), program->version()),
        record);
    const std::string parts_key =
        PartsKey(record.model_id(), program->name(), program->version());
    transaction.Delete(parts_key);
    api::ProgramVectorInfo* info = nullptr;
    for (api::ProgramVectorInfo& old : *program->mutable_vectors())
      if (old.model_id() == record.model_id()) info = &old;
    if (info == nullptr) info = program->add_vectors();
    info->Clear();
    if (parts != nullptr) {
      PERFVEC_RETURN_IF_ERROR(CheckParts(label, *parts, model));
      v1::ProgramPartsRecord kept = *parts;
      kept.set_program_name(program->name());
      kept.set_program_version(program->version());
      kept.set_model_id(record.model_id());
      PutMessage(transaction, parts_key, kept);
      info->set_interval_instructions(parts->interval_instructions());
      info->set_intervals(parts->intervals_size());
      info->set_code_parts(parts->code_size());
      info->set_weighted(parts->weighted());
    }
    info->set_model_id(record.model_id());
    info->set_job_id(stored.job_id());
    *info->mutable_create_time() = record.create_time();
    Programs::Store(transaction, now, &*program);
    job.set_state(api::JOB_STATE_SUCCEEDED);
    return StoreJob(transaction, now, stored, &job);
  }));
  return job;
}

absl::StatusOr<std::vector<api::Job>> KvRegistry::UnfinishedJobs() {
  std::unique_ptr<OrderedReader> view = View();
  std::vector<api::Job> jobs;
  PERFVEC_RETURN_IF_ERROR(ScanPrefix(
      *view, UnfinishedJobTable(),
      [&](absl::string_view key, absl::string_view) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(uint64_t number, JobNumberOfKey(key));
        PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Job> job,
                                 FindJob(*view, number));
        if (!job) return CorruptRecord(key, "the job it names is missing");
        jobs.push_back(*std::move(job));
        return absl::OkStatus();
      }));
  std::reverse(jobs.begin(), jobs.end());  // oldest first: the queue's order
  return jobs;
}

}  // namespace perfvec::storage
