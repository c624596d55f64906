// Which shard of which job is leased to whom, until when, under which token.
//
// Pure logic in memory: no storage, no threads, no calls out. JobManager makes
// its decisions durable. Any thread may call any method. Time comes from the
// clock given at construction; nothing happens by itself: Expire() is called
// regularly.
//
// - A lease carries a fencing token, larger than every one before it (also over
//   restarts, if `first_token` is). Renew, BeginComplete and Fail under a token
//   that is not the shard's present one are FAILED_PRECONDITION.
// - A failed or expired attempt is retried after a back-off that doubles; at
//   `max_attempts` of one shard, or at once if permanent, the whole job fails.
// - Fairness: the job with the fewest leased shards goes first, then the one
//   served longest ago. So a small job does not wait for a large one to end. A
//   worker keeps the job whose trace it has open for up to `max_consecutive`
//   shards while others wait.
// - A cancelled job is not leased any more. Its leases stay, as cancelled ones,
//   until the worker has heard of it or they expire: until then its trace must
//   not be deleted (HasCancelledLeases).
//
//   JobQueue queue({}, [] { return absl::Now(); });
//   RETURN_IF_ERROR(queue.Add({.job_id = "j1", .instructions = n, ...}));
//   if (auto lease = queue.Lease({.worker_id = "w"})) { ... }
#ifndef PERFVEC_SERVER_JOB_QUEUE_H_
#define PERFVEC_SERVER_JOB_QUEUE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::server {

using Clock = std::function<absl::Time()>;

struct JobQueueOptions {
  absl::Duration lease_duration = absl::Seconds(30);
  absl::Duration min_backoff = absl::Seconds(1);
  absl::Duration max_backoff = absl::Minutes(1);
  int max_attempts = 5;      // failed ones of one shard
  int max_consecutive = 16;  // shards of one job while others wait
  size_t max_jobs = 10'000;
  size_t max_shards = 1'000'000;
  uint64_t first_token = 1;
};

struct DoneShard {
  uint32_t shard = 0;
  uint64_t token = 0;  // under which it was completed
};

struct QueuedJob {
  std::string job_id;
  std::string model_id;
  uint64_t instructions = 0;
  uint64_t shard_instructions = 0;
  std::vector<DoneShard> done_shards;
  absl::Time create_time;
};

struct ShardLease {
  std::string job_id;
  uint32_t shard = 0;
  uint64_t token = 0;
  uint64_t begin_instruction = 0;
  uint64_t end_instruction = 0;
};

struct LeaseQuery {
  std::string worker_id;
  std::vector<std::string> model_ids;  // empty: any
  std::string preferred_job_id;
  uint32_t preferred_shard = 0;
};

// The end of an attempt that did not bring a result.
struct AttemptFailure {
  std::string job_id;
  uint32_t shard = 0;
  std::string error;
  bool job_failed = false;  // the job has left the queue
};

class JobQueue {
 public:
  JobQueue(JobQueueOptions options, Clock clock);

  // RESOURCE_EXHAUSTED past the bounds. A job that is there stays as it is.
  absl::Status Add(const QueuedJob& job);
  // As Add, whatever the bounds: for jobs that were accepted before a restart.
  void Restore(const QueuedJob& job);
  // Whether `jobs` more with `shards` in all would be accepted.
  absl::Status CheckRoom(size_t jobs, size_t shards) const;

  std::optional<ShardLease> Lease(const LeaseQuery& query);
  // True: the job was cancelled; the worker stops, and the lease is over.
  absl::StatusOr<bool> Renew(const ShardLease& lease,
                             uint64_t instructions_done);
  // Reserves the shard while its result is made durable: the lease does not
  // expire meanwhile. EndComplete must follow. True: the shard was completed
  // under this very token before (a retried call); nothing is to be done.
  absl::StatusOr<bool> BeginComplete(const ShardLease& lease,
                                     absl::string_view model_id,
                                     uint64_t instructions);
  // Not stored: the lease goes on, and the worker may try again.
  void EndComplete(const ShardLease& lease, bool stored);
  absl::StatusOr<AttemptFailure> Fail(const ShardLease& lease,
                                      absl::string_view error, bool permanent);
  // The worker stops and gives the shard back: queued again at once, and not a
  // failed attempt.
  absl::Status Release(const ShardLease& lease);
  // The attempts that ended because their lease was not renewed.
  std::vector<AttemptFailure> Expire();

  void Cancel(absl::string_view job_id);  // also: it has failed
  void Remove(absl::string_view job_id);  // it has succeeded

  struct Progress {
    uint64_t instructions_done = 0;  // completed shards and reports
    uint32_t shards_done = 0;
    uint32_t shards_leased = 0;
  };
  std::optional<Progress> GetProgress(absl::string_view job_id) const;
  bool HasCancelledLeases() const;

  struct Stats {
    size_t jobs = 0, jobs_running = 0, shards_pending = 0, shards_leased = 0,
           workers = 0;
    absl::Duration oldest_waiting;  // since creation, of jobs never leased
  };
  Stats GetStats() const;
  const JobQueueOptions& options() const { return options_; }

 private:
  struct Shard {
    enum State : uint8_t { kPending, kLeased, kStoring, kDone };
    State state = kPending;
    uint8_t attempts = 0;
    uint64_t token = 0;  // of the lease, or of the one that completed it
    absl::Time not_before = absl::InfinitePast();
  };
  struct Job {
    QueuedJob info;
    std::vector<Shard> shards;
    uint32_t pending = 0, leased = 0, done = 0;
    uint64_t last_served = 0;  // counts Lease() calls that were answered
    bool started = false;
  };
  struct ActiveLease {
    std::string job_id;
    uint32_t shard = 0;
    std::string worker_id;
    absl::Time expires;
    uint64_t instructions_done = 0;
    bool cancelled = false;
    bool storing = false;
  };
  struct Worker {
    absl::Time last_seen;
    std::string job_id;  // of the last lease
    int consecutive = 0;
  };

  uint64_t ShardInstructions(const Job& job, uint32_t shard) const;
  // The first shard that may be leased now, at or after `from` if there is one.
  std::optional<uint32_t> FindShard(const Job& job, uint32_t from,
                                    absl::Time now) const;
  Job* ChooseJob(const LeaseQuery& query, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<ActiveLease*> FindLease(const ShardLease& lease)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Insert(const QueuedJob& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  AttemptFailure EndAttempt(uint64_t token, std::string error, bool permanent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropJob(absl::string_view job_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const JobQueueOptions options_;
  const Clock clock_;
  mutable absl::Mutex mutex_;
  uint64_t next_token_ ABSL_GUARDED_BY(mutex_);
  uint64_t served_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t shards_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::unique_ptr<Job>, std::less<>> jobs_
      ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, ActiveLease> leases_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Worker> workers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_JOB_QUEUE_H_
