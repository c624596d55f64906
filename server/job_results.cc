// What workers bring back: completed shards, their merge, failed attempts.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/log.h"
#include "server/job_manager.h"
#include "server/predictor.h"
#include "server/times.h"
#include "spdlog/spdlog.h"
#include "storage/status_macros.h"
#include "worker/represent/program_vector.h"

namespace perfvec::server {

using compute::ProgramVectorAccumulator;

absl::StatusOr<bool> JobManager::CompleteShard(
    const ShardLease& lease, const worker::v1::CompleteShardRequest& shard) {
  const std::string& model_id = shard.model_id();
  const uint64_t instructions = shard.instructions();
  LivePtr live = FindLive(lease.job_id);
  if (live == nullptr) {
    // A repeated call whose first answer was lost, or a late one: the job has
    // its result, and neither changes it.
    PERFVEC_ASSIGN_OR_RETURN(v1::Job job, registry_->GetJob(lease.job_id));
    if (job.state() == v1::JOB_STATE_SUCCEEDED && job.model_id() == model_id) {
      return true;
    }
    // Takes the cancelled lease away, if that is what it was.
    (void)queue_.Release(lease);
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", lease.job_id, " has ended as ", v1::JobState_Name(job.state()),
        "; the result of shard ", lease.shard, " is not wanted"));
  }
  PERFVEC_ASSIGN_OR_RETURN(const bool repeated,
                           queue_.BeginComplete(lease, model_id, instructions));
  if (repeated) return false;

  absl::StatusOr<ProgramVectorAccumulator> parsed =
      ProgramVectorAccumulator::Parse(shard.accumulator());
  if (!parsed.ok() || parsed->model_id() != model_id ||
      parsed->instructions() != instructions) {
    queue_.EndComplete(lease, false);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the accumulator of shard ", lease.shard, " of job ",
                       lease.job_id, ": ", parsed.status().message()));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("shard ", lease.shard, " of job ", lease.job_id,
                     ": expected ", instructions, " instructions of model ",
                     model_id, ", the accumulator has ", parsed->instructions(),
                     " of model ", parsed->model_id()));
  }

  if (absl::Status status = live->parts->Check(lease, shard, *parsed);
      !status.ok()) {
    queue_.EndComplete(lease, false);
    return status;
  }

  storage::v1::ShardRecord record;
  record.set_shard(lease.shard);
  record.set_instructions(instructions);
  record.set_accumulator(shard.accumulator());
  *record.mutable_intervals() = shard.intervals();
  *record.mutable_code() = shard.code();
  record.set_fencing_token(lease.token);
  absl::MutexLock lock(&live->write_mutex);
  v1::Job job = live->stored;
  job.set_shards_done(job.shards_done() + 1);
  job.set_instructions_done(job.instructions_done() + instructions);
  absl::StatusOr<v1::Job> stored =
      IsFinished(job.state()) ? absl::AbortedError(absl::StrCat(
                                    "job ", lease.job_id, " ended meanwhile"))
                              : registry_->PutShard(std::move(job), record);
  if (!stored.ok()) {
    queue_.EndComplete(lease, false);
    if (absl::IsAborted(stored.status()) || absl::IsNotFound(stored.status())) {
      Resync(*live);
      if (IsFinished(live->stored.state())) {
        (void)queue_.Release(lease);
        return absl::FailedPreconditionError(
            absl::StrCat("job ", lease.job_id, " has ended as ",
                         v1::JobState_Name(live->stored.state())));
      }
    }
    return stored.status();
  }
  queue_.EndComplete(lease, true);
  live->stored = *std::move(stored);
  metrics_->CountShard("completed");
  metrics_->instructions_represented().Increment(instructions);
  if (live->stored.shards_done() < live->stored.shards()) {
    Publish(live->stored);
    return false;
  }
  LogScope scope(live->request_id, live->job_id);
  const absl::Status merged = Merge(*live);
  if (merged.ok()) {
    spdlog::info("job {} ended: {}", lease.job_id,
                 v1::JobState_Name(live->stored.state()));
  } else {
    spdlog::warn("job {}: merging its shards: {}", lease.job_id,
                 merged.ToString());
  }
  return merged.ok();
}

absl::Status JobManager::Merge(Live& live) {
  const absl::Time begin = clock_();
  live.merge_pending = true;  // until it is known how this ends
  PERFVEC_ASSIGN_OR_RETURN(std::vector<storage::v1::ShardRecord> shards,
                           registry_->ListShards(live.job_id));
  std::optional<ProgramVectorAccumulator> sum;
  absl::Status bad;
  for (const auto& shard : shards) {
    auto part = ProgramVectorAccumulator::Parse(shard.accumulator());
    if (!part.ok()) {
      bad = part.status();
    } else if (!sum) {
      sum = *std::move(part);
    } else {
      bad.Update(sum->Merge(*part));
    }
  }
  if (bad.ok() && (!sum || sum->instructions() != live.stored.instructions())) {
    bad = absl::DataLossError(absl::StrCat("the shards cover ",
                                           sum ? sum->instructions() : 0,
                                           " instructions, "
                                           "expected ",
                                           live.stored.instructions()));
  }
  absl::StatusOr<JobParts::Made> made = absl::InternalError("not merged");
  if (bad.ok()) {
    made = live.parts->Merge(shards, *sum);
    bad = made.status();
  }
  if (bad.ok()) {
    storage::v1::ProgramVectorRecord& vector = made->vector;
    vector.set_program_name(live.program_name);
    vector.set_program_version(live.program_version);
    vector.set_model_id(live.model_id);
    vector.set_job_id(live.job_id);
    *vector.mutable_create_time() = ToTimestamp(begin);
    v1::Job job = live.stored;
    job.set_state(v1::JOB_STATE_SUCCEEDED);
    *job.mutable_finish_time() = ToTimestamp(begin);
    absl::StatusOr<v1::Job> finished = registry_->FinishJob(
        std::move(job), vector, made->has_parts ? &made->parts : nullptr);
    if (finished.ok()) {
      live.merge_pending = false;
      live.stored = *std::move(finished);
      Forget(live);
      if (predictor_ != nullptr) {
        absl::Status added = predictor_->AddProgramVector(vector);
        if (!added.ok()) {
          spdlog::error("job {}: {}", live.job_id, added.ToString());
        }
        predictor_->NoteJob(live.stored);
      }
      metrics_->ObserveJobStage(
          "run", begin - FromTimestamp(live.stored.start_time()));
      metrics_->ObserveJobStage("merge", clock_() - begin);
      Publish(live.stored);
      return absl::OkStatus();
    }
    if (absl::IsAborted(finished.status()) ||
        absl::IsNotFound(finished.status())) {
      Resync(live);
      live.merge_pending = !IsFinished(live.stored.state());
      return finished.status();
    }
    if (!absl::IsFailedPrecondition(finished.status())) {
      return finished.status();  // the disk; Tick tries again
    }
    bad = finished.status();
    Resync(live);  // the program may be gone
    if (IsFinished(live.stored.state())) {
      live.merge_pending = false;
      return bad;
    }
  }
  live.merge_pending = false;
  (void)UpdateStored(live, [&](v1::Job& job) {
    job.set_state(v1::JOB_STATE_FAILED);
    job.set_error(std::string(bad.message()));
    *job.mutable_finish_time() = ToTimestamp(clock_());
  });
  return bad;
}

absl::Status JobManager::FailShard(const ShardLease& lease,
                                   const std::string& error, bool permanent,
                                   bool released) {
  if (released) {
    PERFVEC_RETURN_IF_ERROR(queue_.Release(lease));
    metrics_->CountShard("released");
    Dispatch();
    return absl::OkStatus();
  }
  PERFVEC_ASSIGN_OR_RETURN(AttemptFailure failure,
                           queue_.Fail(lease, error, permanent));
  HandleFailure(failure);
  return absl::OkStatus();
}

void JobManager::HandleFailure(const AttemptFailure& failure) {
  metrics_->CountShard("failed");
  LivePtr live = FindLive(failure.job_id);
  if (live == nullptr) return;
  LogScope scope(live->request_id, live->job_id);
  spdlog::warn("job {} shard {}: {}", failure.job_id, failure.shard,
               failure.error);
  absl::MutexLock lock(&live->write_mutex);
  if (IsFinished(live->stored.state())) return;
  (void)UpdateStored(*live, [&](v1::Job& job) {
    job.set_failed_attempts(job.failed_attempts() + 1);
    job.set_error(failure.error);
    if (failure.job_failed) {
      job.set_state(v1::JOB_STATE_FAILED);
      *job.mutable_finish_time() = ToTimestamp(clock_());
    }
  });
}

}  // namespace perfvec::server
