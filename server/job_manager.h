// Jobs from their creation to their end: the queue's decisions made durable.
//
// A job is cut into shards; workers lease and complete them (job_queue.h). A
// completed shard is stored before it is acknowledged; with the last one the
// shards are merged, and the vector and the end of the job are written in one
// batch. So whatever dies, a job has one visible result, and a restart goes on
// behind the completed shards: Load().
//
// Any thread. Methods marked "pool" read or write the registry and must run on
// the pool; the others return at once. Callbacks are called on the pool or by
// Tick's thread, never under a lock. Tick() must be called a few times a
// second. Nothing here is owned but the queue.
//
//   JobManager jobs(options, clock, &registry, &predictor, &pool, &metrics);
//   jobs.Load();
//   auto draft = jobs.Plan(trace, model, request.parts());
//   auto created = registry.CreateProgram(program, {*draft});
//   for (const auto& job : created->jobs) jobs.Admit(job);
#ifndef PERFVEC_SERVER_JOB_MANAGER_H_
#define PERFVEC_SERVER_JOB_MANAGER_H_

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "perfvec/worker/v1/worker_service.pb.h"
#include "server/executor.h"
#include "server/job_parts.h"
#include "server/job_queue.h"
#include "server/metrics.h"
#include "storage/registry.h"

namespace perfvec::server {

class Predictor;

class JobManager {
 public:
  struct Options {
    JobQueueOptions queue;
    uint64_t shard_instructions = 1 << 20;  // rounded up to whole segments
    uint64_t max_shards_per_job = 4096;     // larger traces: larger shards
    size_t max_watchers = 1024;
    size_t max_waiting_workers = 256;
  };
  // Gets a lease, none (the wait is over), or why there is none. Returns
  // whether somebody was there to take it; if not, the shard is given back.
  using LeaseCallback =
      std::function<bool(absl::StatusOr<worker::v1::LeaseShardResponse>)>;
  using Watcher = std::function<void(const v1::Job&)>;

  JobManager(Options options, Clock clock, storage::Registry* registry,
             Predictor* predictor, Executor* pool, Metrics* metrics);
  ~JobManager();

  // --- For the catalogue ----------------------------------------------------
  absl::Status Load();  // pool; once, before anything else
  // A draft for the registry. RESOURCE_EXHAUSTED while the queue is full.
  // Errors of PlanParts.
  absl::StatusOr<v1::Job> Plan(const storage::v1::TraceRecord& trace,
                               const v1::Model& model,
                               const v1::PartOptions& parts) const;
  absl::Status Admit(const v1::Job& job);  // pool; what the registry returned
  void ProgramsDeleted(const std::vector<v1::Program>& programs);  // pool

  // --- For people -----------------------------------------------------------
  absl::StatusOr<v1::Job> GetJob(const std::string& job_id);     // pool
  absl::StatusOr<v1::Job> CancelJob(const std::string& job_id);  // pool
  // With what is known of running shards.
  void AddProgress(v1::Job* job) const;
  // Calls `watcher` after every change of the job, until Unwatch.
  absl::StatusOr<uint64_t> Watch(const std::string& job_id, Watcher watcher);
  void Unwatch(uint64_t id);

  // --- For workers ----------------------------------------------------------
  // Returns 0 if `done` was or will be called without waiting, else an id for
  // CancelWait.
  uint64_t LeaseShard(const LeaseQuery& query, absl::Duration wait,
                      LeaseCallback done);
  void CancelWait(uint64_t id);  // `done` is not called any more
  absl::StatusOr<bool> Renew(const ShardLease& lease, uint64_t done);
  // True: that was the last one, and the job has succeeded. Pool.
  absl::StatusOr<bool> CompleteShard(
      const ShardLease& lease, const worker::v1::CompleteShardRequest& shard);
  absl::Status FailShard(const ShardLease& lease, const std::string& error,
                         bool permanent, bool released);  // pool

  // --- For the server -------------------------------------------------------
  void Tick();
  // No lease from now on; who waits for one is answered.
  void Drain();
  // Traces may be needed by workers that have not yet heard of a cancellation.
  bool HasCancelledLeases() const { return queue_.HasCancelledLeases(); }
  JobQueue::Stats GetStats() const { return queue_.GetStats(); }

 private:
  // An unfinished job.
  struct Live {
    absl::Mutex write_mutex;  // one registry write at a time
    v1::Job stored ABSL_GUARDED_BY(write_mutex);
    std::string job_id, trace_id, model_id, program_name, request_id;
    int64_t program_version = 0;
    uint64_t trace_size_bytes = 0;
    std::shared_ptr<const JobParts> parts;
    bool merge_pending ABSL_GUARDED_BY(write_mutex) = false;
  };
  using LivePtr = std::shared_ptr<Live>;
  struct Waiter {
    uint64_t id;
    LeaseQuery query;
    absl::Time deadline;
    LeaseCallback done;
  };

  LivePtr FindLive(const std::string& job_id) const;
  absl::Status Insert(const v1::Job& job, bool restored);
  // Leases to who waits, as far as there is work.
  void Dispatch();
  void Grant(const ShardLease& lease, const LeaseCallback& done);
  absl::StatusOr<worker::v1::Lease> PrepareLease(const ShardLease& lease);
  // Writes what `change` does to the stored job. If the job has changed behind
  // our back (its program was deleted), takes over what is stored: ABORTED.
  absl::Status UpdateStored(Live& live, std::function<void(v1::Job&)> change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(live.write_mutex);
  void Resync(Live& live) ABSL_EXCLUSIVE_LOCKS_REQUIRED(live.write_mutex);
  absl::Status Merge(Live& live)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(live.write_mutex);
  void HandleFailure(const AttemptFailure& failure);
  void Forget(Live& live);  // it has ended
  void Publish(const v1::Job& job);

  const Options options_;
  const Clock clock_;
  storage::Registry* const registry_;
  Predictor* const predictor_;
  Executor* const pool_;
  Metrics* const metrics_;
  JobQueue queue_;

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, LivePtr> live_ ABSL_GUARDED_BY(mutex_);
  std::list<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  struct WatchEntry {
    std::string job_id;
    std::shared_ptr<Watcher> watcher;
  };
  absl::flat_hash_map<uint64_t, WatchEntry> watchers_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

bool IsFinished(v1::JobState state);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_JOB_MANAGER_H_
