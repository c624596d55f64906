#include "server/job_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/log.h"
#include "server/predictor.h"
#include "server/times.h"
#include "spdlog/spdlog.h"
#include "storage/status_macros.h"

namespace perfvec::server {

bool IsFinished(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

JobManager::JobManager(Options options, Clock clock,
                       storage::Registry* registry, Predictor* predictor,
                       Executor* pool, Metrics* metrics)
    : options_(options),
      clock_(clock),
      registry_(registry),
      predictor_(predictor),
      pool_(pool),
      metrics_(metrics),
      queue_(options.queue, clock) {}

JobManager::~JobManager() = default;

absl::Status JobManager::Load() {
  PERFVEC_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs,
                           registry_->UnfinishedJobs());
  for (const v1::Job& job : jobs) {
    const absl::Status inserted = Insert(job, /*restored=*/true);
    if (absl::IsNotFound(inserted)) {
      v1::Job failed = job;
      failed.set_state(v1::JOB_STATE_FAILED);
      failed.set_error(std::string(inserted.message()));
      *failed.mutable_finish_time() = ToTimestamp(clock_());
      PERFVEC_RETURN_IF_ERROR(registry_->UpdateJob(failed).status());
      continue;
    }
    PERFVEC_RETURN_IF_ERROR(inserted);
    if (job.shards_done() < job.shards()) continue;
    // Every shard was in, the merge was not.
    LivePtr live = FindLive(job.job_id());
    absl::MutexLock lock(&live->write_mutex);
    absl::Status merged = Merge(*live);
    if (!merged.ok()) {
      LogScope scope(live->request_id, live->job_id);
      spdlog::warn("job {}: {}", job.job_id(), merged.ToString());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> JobManager::Plan(const storage::v1::TraceRecord& record,
                                         const v1::Model& model,
                                         const v1::PartOptions& parts) const {
  const v1::Trace& trace = record.trace();
  if (trace.instructions() == 0 || model.segment_instructions() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "trace ", trace.trace_id(), " has ", trace.instructions(),
        " instructions, model ", model.model_id(), " segments of ",
        model.segment_instructions(), ": expected at least one of each"));
  }
  const uint64_t segment = model.segment_instructions();
  const uint64_t most_shards =
      parts.by_address()
          ? std::min(options_.max_shards_per_job, kMaxShardsWithCode)
          : options_.max_shards_per_job;
  const uint64_t wanted =
      std::max(options_.shard_instructions,
               (trace.instructions() + most_shards - 1) / most_shards);
  const uint64_t shard = (wanted + segment - 1) / segment * segment;
  v1::Job job;
  job.set_state(v1::JOB_STATE_QUEUED);
  job.set_trace_id(trace.trace_id());
  job.set_model_id(model.model_id());
  job.set_instructions(trace.instructions());
  job.set_shard_instructions(shard);
  job.set_shards((trace.instructions() + shard - 1) / shard);
  PERFVEC_RETURN_IF_ERROR(PlanParts(record, model, parts, &job));
  PERFVEC_RETURN_IF_ERROR(queue_.CheckRoom(1, job.shards()));
  return job;
}

absl::Status JobManager::Insert(const v1::Job& job, bool restored) {
  PERFVEC_ASSIGN_OR_RETURN(storage::v1::TraceRecord trace,
                           registry_->GetTrace(job.trace_id()));
  QueuedJob queued;
  queued.job_id = job.job_id();
  queued.model_id = job.model_id();
  queued.instructions = job.instructions();
  queued.shard_instructions = job.shard_instructions();
  queued.create_time = FromTimestamp(job.create_time());
  if (restored) {
    PERFVEC_ASSIGN_OR_RETURN(std::vector<storage::v1::ShardRecord> shards,
                             registry_->ListShards(job.job_id()));
    for (const auto& shard : shards) {
      queued.done_shards.push_back({shard.shard(), shard.fencing_token()});
    }
  }
  auto live = std::make_shared<Live>();
  live->job_id = job.job_id();
  live->trace_id = job.trace_id();
  live->model_id = job.model_id();
  live->program_name = job.program_name();
  live->program_version = job.program_version();
  live->request_id = job.request_id();
  live->trace_size_bytes = trace.trace().size_bytes();
  live->parts = JobParts::Of(job, trace);
  {
    absl::MutexLock lock(&live->write_mutex);
    live->stored = job;
  }
  {
    absl::MutexLock lock(&mutex_);
    if (!live_.emplace(job.job_id(), live).second) return absl::OkStatus();
  }
  // The registry has accepted it: whoever checked for room was right then.
  queue_.Restore(queued);
  LogScope scope(live->request_id, live->job_id);
  spdlog::info("job {} of {}@{}: {} of {} shards to do", job.job_id(),
               job.program_name(), job.program_version(),
               job.shards() - job.shards_done(), job.shards());
  if (predictor_ != nullptr) predictor_->NoteJob(job);
  return absl::OkStatus();
}

absl::Status JobManager::Admit(const v1::Job& job) {
  if (IsFinished(job.state())) return absl::OkStatus();
  PERFVEC_RETURN_IF_ERROR(Insert(job, /*restored=*/job.shards_done() > 0));
  Dispatch();
  return absl::OkStatus();
}

JobManager::LivePtr JobManager::FindLive(const std::string& job_id) const {
  absl::MutexLock lock(&mutex_);
  auto found = live_.find(job_id);
  return found == live_.end() ? nullptr : found->second;
}

void JobManager::Forget(Live& live) {
  queue_.Cancel(live.job_id);
  absl::MutexLock lock(&mutex_);
  live_.erase(live.job_id);
}

void JobManager::ProgramsDeleted(const std::vector<v1::Program>& programs) {
  std::vector<LivePtr> affected;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, live] : live_) {
      for (const v1::Program& program : programs) {
        if (live->program_name == program.name() &&
            live->program_version == program.version()) {
          affected.push_back(live);
        }
      }
    }
  }
  for (const LivePtr& live : affected) {
    absl::MutexLock lock(&live->write_mutex);
    Resync(*live);
  }
}

// --- Stored state ----------------------------------------------------------

void JobManager::Resync(Live& live) {
  absl::StatusOr<v1::Job> job = registry_->GetJob(live.job_id);
  if (job.ok()) {
    live.stored = *std::move(job);
  } else if (absl::IsNotFound(job.status())) {
    live.stored.set_state(v1::JOB_STATE_CANCELLED);
  } else {
    return;
  }
  if (IsFinished(live.stored.state())) {
    Forget(live);
    if (predictor_ != nullptr) predictor_->NoteJob(live.stored);
  }
  Publish(live.stored);
}

absl::Status JobManager::UpdateStored(Live& live,
                                      std::function<void(v1::Job&)> change) {
  v1::Job job = live.stored;
  change(job);
  absl::StatusOr<v1::Job> written = registry_->UpdateJob(std::move(job));
  if (!written.ok()) {
    if (absl::IsAborted(written.status()) ||
        absl::IsNotFound(written.status())) {
      Resync(live);
    }
    return written.status();
  }
  live.stored = *std::move(written);
  if (IsFinished(live.stored.state())) {
    LogScope scope(live.request_id, live.job_id);
    spdlog::info("job {} ended: {}{}{}", live.job_id,
                 v1::JobState_Name(live.stored.state()),
                 live.stored.error().empty() ? "" : ", ", live.stored.error());
    Forget(live);
  }
  if (predictor_ != nullptr) predictor_->NoteJob(live.stored);
  Publish(live.stored);
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> JobManager::GetJob(const std::string& job_id) {
  PERFVEC_ASSIGN_OR_RETURN(v1::Job job, registry_->GetJob(job_id));
  AddProgress(&job);
  return job;
}

void JobManager::AddProgress(v1::Job* job) const {
  if (IsFinished(job->state())) return;
  if (auto progress = queue_.GetProgress(job->job_id())) {
    job->set_instructions_done(progress->instructions_done);
  }
}

absl::StatusOr<v1::Job> JobManager::CancelJob(const std::string& job_id) {
  if (LivePtr live = FindLive(job_id)) {
    absl::MutexLock lock(&live->write_mutex);
    if (!IsFinished(live->stored.state())) {
      const absl::Status updated = UpdateStored(*live, [&](v1::Job& job) {
        job.set_state(v1::JOB_STATE_CANCELLED);
        *job.mutable_finish_time() = ToTimestamp(clock_());
      });
      if (!updated.ok() && !absl::IsAborted(updated)) return updated;
    }
  }
  PERFVEC_ASSIGN_OR_RETURN(v1::Job job, registry_->GetJob(job_id));
  if (job.state() == v1::JOB_STATE_CANCELLED) return job;
  return absl::FailedPreconditionError(
      absl::StrCat("job ", job_id, " has ended as ",
                   v1::JobState_Name(job.state()), "; nothing to cancel"));
}

void JobManager::Publish(const v1::Job& stored) {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, entry] : watchers_) {
      if (entry.job_id == stored.job_id()) watchers.push_back(entry.watcher);
    }
  }
  if (watchers.empty()) return;
  v1::Job job = stored;
  AddProgress(&job);
  for (const auto& watcher : watchers) (*watcher)(job);
}

absl::StatusOr<uint64_t> JobManager::Watch(const std::string& job_id,
                                           Watcher watcher) {
  absl::MutexLock lock(&mutex_);
  if (draining_) {
    return absl::UnavailableError("the server is shutting down");
  }
  if (watchers_.size() >= options_.max_watchers) {
    return absl::ResourceExhaustedError(
        absl::StrCat(watchers_.size(),
                     " jobs are being watched already; ask "
                     "for the job's state from time to time instead"));
  }
  const uint64_t id = next_id_++;
  watchers_[id] = {job_id, std::make_shared<Watcher>(std::move(watcher))};
  return id;
}

void JobManager::Unwatch(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  watchers_.erase(id);
}

// --- Leases ----------------------------------------------------------------

uint64_t JobManager::LeaseShard(const LeaseQuery& query, absl::Duration wait,
                                LeaseCallback done) {
  bool draining, full;
  {
    absl::MutexLock lock(&mutex_);
    draining = draining_;
    full = waiters_.size() >= options_.max_waiting_workers;
  }
  if (draining) {
    done(absl::UnavailableError("the server is shutting down"));
    return 0;
  }
  if (auto lease = queue_.Lease(query)) {
    Grant(*lease, done);
    return 0;
  }
  if (wait <= absl::ZeroDuration()) {
    done(worker::v1::LeaseShardResponse());
    return 0;
  }
  if (full) {
    done(absl::ResourceExhaustedError(
        absl::StrCat(options_.max_waiting_workers,
                     " workers wait for work already; retry later")));
    return 0;
  }
  uint64_t id;
  {
    absl::MutexLock lock(&mutex_);
    id = next_id_++;
    waiters_.push_back({id, query, clock_() + wait, std::move(done)});
  }
  // Work may have come between the two looks.
  Dispatch();
  return id;
}

void JobManager::CancelWait(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  waiters_.remove_if([id](const Waiter& waiter) { return waiter.id == id; });
}

void JobManager::Dispatch() {
  std::vector<std::pair<ShardLease, LeaseCallback>> granted;
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return;
    for (auto it = waiters_.begin(); it != waiters_.end();) {
      auto lease = queue_.Lease(it->query);
      if (!lease) {
        ++it;
        continue;
      }
      granted.emplace_back(*lease, std::move(it->done));
      it = waiters_.erase(it);
    }
  }
  for (auto& [lease, done] : granted) Grant(lease, done);
}

void JobManager::Grant(const ShardLease& lease, const LeaseCallback& done) {
  pool_->SubmitAdmitted([this, lease, done] {
    absl::StatusOr<worker::v1::Lease> prepared = PrepareLease(lease);
    worker::v1::LeaseShardResponse response;
    bool taken;
    if (prepared.ok()) {
      *response.mutable_lease() = *std::move(prepared);
      taken = done(response);
    } else if (absl::IsAborted(prepared.status())) {
      // The job was cancelled under our hands; there may be another one.
      (void)queue_.Release(lease);
      done(response);
      return;
    } else {
      taken = false;
      done(prepared.status());
    }
    if (!taken) {
      (void)queue_.Release(lease);
      Dispatch();
    }
  });
}

absl::StatusOr<worker::v1::Lease> JobManager::PrepareLease(
    const ShardLease& lease) {
  LivePtr live = FindLive(lease.job_id);
  if (live == nullptr) return absl::AbortedError("the job has ended");
  {
    absl::MutexLock lock(&live->write_mutex);
    if (IsFinished(live->stored.state())) {
      return absl::AbortedError("the job has ended");
    }
    if (live->stored.state() == v1::JOB_STATE_QUEUED) {
      const absl::Time now = clock_();
      PERFVEC_RETURN_IF_ERROR(UpdateStored(*live, [&](v1::Job& job) {
        job.set_state(v1::JOB_STATE_RUNNING);
        *job.mutable_start_time() = ToTimestamp(now);
      }));
      metrics_->ObserveJobStage(
          "queued", now - FromTimestamp(live->stored.create_time()));
    }
  }
  worker::v1::Lease result;
  result.set_job_id(lease.job_id);
  result.set_shard(lease.shard);
  result.set_fencing_token(lease.token);
  *result.mutable_duration() = ToProtoDuration(options_.queue.lease_duration);
  result.set_trace_id(live->trace_id);
  result.set_trace_size_bytes(live->trace_size_bytes);
  result.set_model_id(live->model_id);
  result.set_request_id(live->request_id);
  result.set_begin_instruction(lease.begin_instruction);
  result.set_end_instruction(lease.end_instruction);
  live->parts->AddTo(&result);
  return result;
}

absl::StatusOr<bool> JobManager::Renew(const ShardLease& lease, uint64_t done) {
  PERFVEC_ASSIGN_OR_RETURN(const bool cancelled, queue_.Renew(lease, done));
  if (!cancelled) {
    // Watchers see the progress; nothing is stored, so the pool is not needed
    // but for the job's own lock.
    if (LivePtr live = FindLive(lease.job_id);
        live != nullptr && live->write_mutex.TryLock()) {
      const v1::Job job = live->stored;
      live->write_mutex.Unlock();
      Publish(job);
    }
  }
  return cancelled;
}

void JobManager::Tick() {
  for (const AttemptFailure& failure : queue_.Expire()) {
    pool_->SubmitAdmitted([this, failure] { HandleFailure(failure); });
  }
  std::vector<LeaseCallback> tired;
  std::vector<LivePtr> live;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_();
    for (auto it = waiters_.begin(); it != waiters_.end();) {
      if (it->deadline > now) {
        ++it;
        continue;
      }
      tired.push_back(std::move(it->done));
      it = waiters_.erase(it);
    }
    for (const auto& [id, job] : live_) live.push_back(job);
  }
  for (const LeaseCallback& done : tired) {
    done(worker::v1::LeaseShardResponse());
  }
  Dispatch();
  for (const LivePtr& job : live) {
    if (!job->write_mutex.TryLock()) continue;
    const bool pending = job->merge_pending;
    job->write_mutex.Unlock();
    if (!pending) continue;
    pool_->SubmitAdmitted([this, job] {
      absl::MutexLock lock(&job->write_mutex);
      if (job->merge_pending) (void)Merge(*job);
    });
  }
}

void JobManager::Drain() {
  std::list<Waiter> waiters;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    waiters.swap(waiters_);
  }
  for (const Waiter& waiter : waiters) {
    waiter.done(absl::UnavailableError("the server is shutting down"));
  }
}

}  // namespace perfvec::server
