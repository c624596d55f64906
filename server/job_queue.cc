#include "server/job_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace perfvec::server {
namespace {

// A worker id is a client's word; past this many the oldest are forgotten.
constexpr size_t kMaxWorkers = 10'000;

}  // namespace

JobQueue::JobQueue(JobQueueOptions options, Clock clock)
    : options_(options),
      clock_(std::move(clock)),
      next_token_(std::max<uint64_t>(options.first_token, 1)) {}

absl::Status JobQueue::CheckRoom(size_t jobs, size_t shards) const {
  absl::MutexLock lock(&mutex_);
  if (jobs_.size() + jobs > options_.max_jobs ||
      shards_ + shards > options_.max_shards) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the job queue is full: ", jobs_.size(), " unfinished jobs (limit ",
        options_.max_jobs, ") with ", shards_, " shards (limit ",
        options_.max_shards, "); retry when some have finished"));
  }
  return absl::OkStatus();
}

absl::Status JobQueue::Add(const QueuedJob& job) {
  const uint64_t shards =
      (job.instructions + job.shard_instructions - 1) / job.shard_instructions;
  absl::Status room = CheckRoom(1, shards);
  absl::MutexLock lock(&mutex_);
  if (jobs_.count(job.job_id) > 0) return absl::OkStatus();
  if (!room.ok()) return room;
  Insert(job);
  return absl::OkStatus();
}

void JobQueue::Restore(const QueuedJob& job) {
  absl::MutexLock lock(&mutex_);
  if (jobs_.count(job.job_id) == 0) Insert(job);
}

void JobQueue::Insert(const QueuedJob& info) {
  auto job = std::make_unique<Job>();
  job->info = info;
  job->shards.resize((info.instructions + info.shard_instructions - 1) /
                     info.shard_instructions);
  for (const DoneShard& done : info.done_shards) {
    if (done.shard >= job->shards.size()) continue;
    Shard& entry = job->shards[done.shard];
    if (entry.state == Shard::kDone) continue;
    entry.state = Shard::kDone;
    entry.token = done.token;
    ++job->done;
  }
  job->pending = job->shards.size() - job->done;
  job->started = job->done > 0;
  shards_ += job->shards.size();
  jobs_[info.job_id] = std::move(job);
}

uint64_t JobQueue::ShardInstructions(const Job& job, uint32_t shard) const {
  const uint64_t begin = shard * job.info.shard_instructions;
  return std::min(job.info.shard_instructions, job.info.instructions - begin);
}

std::optional<uint32_t> JobQueue::FindShard(const Job& job, uint32_t from,
                                            absl::Time now) const {
  if (job.pending == 0) return std::nullopt;
  const uint32_t count = job.shards.size();
  if (from >= count) from = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t shard = from + i < count ? from + i : from + i - count;
    const Shard& entry = job.shards[shard];
    if (entry.state == Shard::kPending && entry.not_before <= now) {
      return shard;
    }
  }
  return std::nullopt;
}

JobQueue::Job* JobQueue::ChooseJob(const LeaseQuery& query, absl::Time now) {
  const auto key = [](const Job& job) {
    return std::make_tuple(job.leased, job.last_served, job.info.create_time);
  };
  const Worker& worker = workers_[query.worker_id];
  Job* best = nullptr;
  for (auto& [id, job] : jobs_) {
    if (job->pending == 0) continue;
    if (!query.model_ids.empty() &&
        !absl::c_linear_search(query.model_ids, job->info.model_id)) {
      continue;
    }
    const bool kept =
        id == query.preferred_job_id &&
        (worker.job_id != id || worker.consecutive < options_.max_consecutive);
    if (!kept && best != nullptr && !(key(*job) < key(*best))) continue;
    if (!FindShard(*job, 0, now).has_value()) continue;
    best = job.get();
    if (kept) break;
  }
  return best;
}

std::optional<ShardLease> JobQueue::Lease(const LeaseQuery& query) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_();
  Worker& worker = workers_[query.worker_id];
  worker.last_seen = now;
  Job* job = ChooseJob(query, now);
  if (job == nullptr) return std::nullopt;
  const bool preferred = job->info.job_id == query.preferred_job_id;
  const uint32_t shard =
      *FindShard(*job, preferred ? query.preferred_shard : 0, now);

  worker.consecutive =
      worker.job_id == job->info.job_id ? worker.consecutive + 1 : 1;
  worker.job_id = job->info.job_id;
  job->last_served = ++served_;
  job->started = true;
  --job->pending;
  ++job->leased;
  Shard& entry = job->shards[shard];
  entry.state = Shard::kLeased;
  entry.token = next_token_++;
  ActiveLease& active = leases_[entry.token];
  active.job_id = job->info.job_id;
  active.shard = shard;
  active.worker_id = query.worker_id;
  active.expires = now + options_.lease_duration;

  ShardLease lease;
  lease.job_id = job->info.job_id;
  lease.shard = shard;
  lease.token = entry.token;
  lease.begin_instruction = shard * job->info.shard_instructions;
  lease.end_instruction =
      lease.begin_instruction + ShardInstructions(*job, shard);
  return lease;
}

absl::StatusOr<JobQueue::ActiveLease*> JobQueue::FindLease(
    const ShardLease& lease) {
  auto found = leases_.find(lease.token);
  if (found == leases_.end() || found->second.job_id != lease.job_id ||
      found->second.shard != lease.shard) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the lease of shard ", lease.shard, " of job ", lease.job_id,
        " with fencing token ", lease.token,
        " is over: it expired, was completed, or the server was restarted; "
        "drop the shard and lease again"));
  }
  workers_[found->second.worker_id].last_seen = clock_();
  return &found->second;
}

absl::StatusOr<bool> JobQueue::Renew(const ShardLease& lease,
                                     uint64_t instructions_done) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<ActiveLease*> active = FindLease(lease);
  if (!active.ok()) return active.status();
  if ((*active)->cancelled) {
    leases_.erase(lease.token);
    return true;
  }
  const Job& job = *jobs_.find(lease.job_id)->second;
  (*active)->expires = clock_() + options_.lease_duration;
  (*active)->instructions_done =
      std::min(instructions_done, ShardInstructions(job, lease.shard));
  return false;
}

absl::StatusOr<bool> JobQueue::BeginComplete(const ShardLease& lease,
                                             absl::string_view model_id,
                                             uint64_t instructions) {
  absl::MutexLock lock(&mutex_);
  auto found = jobs_.find(lease.job_id);
  if (found != jobs_.end() && lease.shard < found->second->shards.size()) {
    const Shard& shard = found->second->shards[lease.shard];
    if (shard.state == Shard::kDone && shard.token == lease.token &&
        lease.token != 0) {
      return true;
    }
  }
  absl::StatusOr<ActiveLease*> active = FindLease(lease);
  if (!active.ok()) return active.status();
  if ((*active)->cancelled) {
    leases_.erase(lease.token);
    return absl::FailedPreconditionError(absl::StrCat(
        "job ", lease.job_id, " was cancelled, its result is not wanted"));
  }
  const Job& job = *found->second;
  if (model_id != job.info.model_id) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", lease.job_id, " is for model ", job.info.model_id,
                     ", the result was made with model ", model_id,
                     ": run the worker with the model that the lease names"));
  }
  const uint64_t expected = ShardInstructions(job, lease.shard);
  if (instructions != expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shard ", lease.shard, " of job ", lease.job_id, " has ", expected,
        " instructions, the result covers ", instructions));
  }
  if ((*active)->storing) {
    return absl::AbortedError(absl::StrCat(
        "shard ", lease.shard, " of job ", lease.job_id,
        " is being stored by another call under the same token; retry"));
  }
  (*active)->storing = true;
  found->second->shards[lease.shard].state = Shard::kStoring;
  return false;
}

void JobQueue::EndComplete(const ShardLease& lease, bool stored) {
  absl::MutexLock lock(&mutex_);
  auto active = leases_.find(lease.token);
  if (active == leases_.end()) return;
  auto found = jobs_.find(lease.job_id);
  if (found == jobs_.end() || active->second.cancelled) {
    // Cancelled while it was stored: nobody holds it any more.
    leases_.erase(active);
    return;
  }
  Job& job = *found->second;
  Shard& shard = job.shards[lease.shard];
  if (!stored) {
    active->second.storing = false;
    active->second.expires = clock_() + options_.lease_duration;
    shard.state = Shard::kLeased;
    return;
  }
  shard.state = Shard::kDone;
  --job.leased;
  ++job.done;
  leases_.erase(active);
}

AttemptFailure JobQueue::EndAttempt(uint64_t token, std::string error,
                                    bool permanent) {
  auto active = leases_.find(token);
  AttemptFailure failure;
  failure.job_id = active->second.job_id;
  failure.shard = active->second.shard;
  failure.error = std::move(error);
  leases_.erase(active);
  Job& job = *jobs_.find(failure.job_id)->second;
  Shard& shard = job.shards[failure.shard];
  ++shard.attempts;
  --job.leased;
  ++job.pending;
  shard.state = Shard::kPending;
  absl::Duration backoff = options_.min_backoff;
  for (int i = 1; i < shard.attempts && backoff < options_.max_backoff; ++i) {
    backoff *= 2;
  }
  shard.not_before = clock_() + std::min(backoff, options_.max_backoff);
  if (permanent || shard.attempts >= options_.max_attempts) {
    failure.job_failed = true;
    if (!permanent) {
      failure.error =
          absl::StrCat("shard ", failure.shard, " failed ", shard.attempts,
                       " times, the last time: ", failure.error);
    }
    DropJob(failure.job_id);
  }
  return failure;
}

absl::StatusOr<AttemptFailure> JobQueue::Fail(const ShardLease& lease,
                                              absl::string_view error,
                                              bool permanent) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<ActiveLease*> active = FindLease(lease);
  if (!active.ok()) return active.status();
  if ((*active)->cancelled) {
    leases_.erase(lease.token);
    AttemptFailure nothing;
    nothing.job_id = lease.job_id;
    nothing.shard = lease.shard;
    return nothing;
  }
  if ((*active)->storing) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", lease.shard, " of job ", lease.job_id,
                     " is being stored under this token"));
  }
  return EndAttempt(lease.token, std::string(error), permanent);
}

absl::Status JobQueue::Release(const ShardLease& lease) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<ActiveLease*> active = FindLease(lease);
  if (!active.ok()) return active.status();
  if ((*active)->storing) {
    return absl::FailedPreconditionError(
        absl::StrCat("shard ", lease.shard, " of job ", lease.job_id,
                     " is being stored under this token"));
  }
  if (!(*active)->cancelled) {
    Job& job = *jobs_.find(lease.job_id)->second;
    job.shards[lease.shard].state = Shard::kPending;
    --job.leased;
    ++job.pending;
  }
  leases_.erase(lease.token);
  return absl::OkStatus();
}

std::vector<AttemptFailure> JobQueue::Expire() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_();
  std::vector<uint64_t> over;
  for (const auto& [token, active] : leases_) {
    if (!active.storing && active.expires <= now) over.push_back(token);
  }
  absl::c_sort(over);
  std::vector<AttemptFailure> failures;
  for (uint64_t token : over) {
    auto active = leases_.find(token);
    if (active->second.cancelled) {
      leases_.erase(active);
      continue;
    }
    failures.push_back(
        EndAttempt(token,
                   absl::StrCat("worker ", active->second.worker_id,
                                " did not renew its lease for ",
                                absl::FormatDuration(options_.lease_duration)),
                   false));
  }
  for (auto it = workers_.begin(); it != workers_.end();) {
    const bool gone = now - it->second.last_seen > 2 * options_.lease_duration;
    if (gone || workers_.size() > kMaxWorkers) {
      workers_.erase(it++);
    } else {
      ++it;
    }
  }
  return failures;
}

void JobQueue::DropJob(absl::string_view job_id) {
  auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  for (auto& [token, active] : leases_) {
    if (active.job_id == job_id) active.cancelled = true;
  }
  shards_ -= found->second->shards.size();
  jobs_.erase(found);
}

void JobQueue::Cancel(absl::string_view job_id) {
  absl::MutexLock lock(&mutex_);
  DropJob(job_id);
}

void JobQueue::Remove(absl::string_view job_id) {
  absl::MutexLock lock(&mutex_);
  DropJob(job_id);
}

std::optional<JobQueue::Progress> JobQueue::GetProgress(
    absl::string_view job_id) const {
  absl::MutexLock lock(&mutex_);
  auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return std::nullopt;
  const Job& job = *found->second;
  Progress progress;
  progress.shards_done = job.done;
  progress.shards_leased = job.leased;
  progress.instructions_done =
      std::min(job.done * job.info.shard_instructions, job.info.instructions);
  if (!job.shards.empty() && job.shards.back().state == Shard::kDone) {
    // The last shard is shorter than the others.
    progress.instructions_done = (job.done - 1) * job.info.shard_instructions +
                                 ShardInstructions(job, job.shards.size() - 1);
  }
  for (const auto& [token, active] : leases_) {
    if (active.job_id == job_id) {
      progress.instructions_done += active.instructions_done;
    }
  }
  return progress;
}

bool JobQueue::HasCancelledLeases() const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [token, active] : leases_) {
    if (active.cancelled) return true;
  }
  return false;
}

JobQueue::Stats JobQueue::GetStats() const {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_();
  Stats stats;
  stats.jobs = jobs_.size();
  absl::Time oldest = now;
  for (const auto& [id, job] : jobs_) {
    if (job->started) {
      ++stats.jobs_running;
    } else {
      oldest = std::min(oldest, job->info.create_time);
    }
    stats.shards_pending += job->pending;
    stats.shards_leased += job->leased;
  }
  stats.oldest_waiting = now - oldest;
  for (const auto& [id, worker] : workers_) {
    if (now - worker.last_seen <= options_.lease_duration) ++stats.workers;
  }
  return stats;
}

}  // namespace perfvec::server
