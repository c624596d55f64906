// Which parts of a program a job computes beside its vector, and what becomes
// of them: from a request to leases, from shards to a record.
//
// Parts are intervals (or the trace's weighted slices) and parts of code. A
// job's are a function of the job and its trace, so nothing more is stored.
//
//   RETURN_IF_ERROR(PlanParts(trace, model, request.parts(), &job));
//   auto parts = JobParts::Of(job, trace);
//   parts->AddTo(&lease);                          // what a worker is to sum
//   RETURN_IF_ERROR(parts->Check(lease, request, whole));
//   auto made = parts->Merge(shards, whole);       // vector and record
//
// A JobParts does not change; any thread.
#ifndef PERFVEC_SERVER_JOB_PARTS_H_
#define PERFVEC_SERVER_JOB_PARTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "perfvec/worker/v1/worker_service.pb.h"
#include "server/job_queue.h"
#include "worker/represent/program_vector.h"

namespace perfvec::server {

// Vectors of intervals kept with a program; fewer if they are wider than 256.
inline constexpr uint64_t kMaxIntervals = 512;
inline constexpr uint64_t kMaxPartValues = kMaxIntervals * 256;
// What the server chooses where nothing was asked for: at most so many, and of
// at least so many segments each; none if that leaves one.
inline constexpr uint64_t kDefaultIntervals = 64;
inline constexpr uint64_t kDefaultIntervalSegments = 10;
// A shard brings a sum for each part of code.
inline constexpr uint64_t kMaxShardsWithCode = 64;

// Sets the job's interval_instructions and by_address. INVALID_ARGUMENT: more
// intervals than are kept, or slices that make no whole (their weights, their
// number); FAILED_PRECONDITION: parts that this trace cannot have.
absl::Status PlanParts(const storage::v1::TraceRecord& trace,
                       const v1::Model& model, const v1::PartOptions& options,
                       v1::Job* job);

class JobParts {
 public:
  static std::shared_ptr<const JobParts> Of(
      const v1::Job& job, const storage::v1::TraceRecord& trace);

  // Fills in what the lease asks for of its range.
  void AddTo(worker::v1::Lease* lease) const;

  // INVALID_ARGUMENT unless the shard brought all that was asked for, and its
  // intervals are `whole`.
  absl::Status Check(const ShardLease& lease,
                     const worker::v1::CompleteShardRequest& shard,
                     const compute::ProgramVectorAccumulator& whole) const;

  struct Made {
    storage::v1::ProgramVectorRecord vector;  // values, factors, instructions
    storage::v1::ProgramPartsRecord parts;
    bool has_parts = false;
  };
  // `shards`: all of the job's, which Check let through; `whole`: their sum.
  absl::StatusOr<Made> Merge(
      const std::vector<storage::v1::ShardRecord>& shards,
      const compute::ProgramVectorAccumulator& whole) const;

 private:
  using Sums = std::vector<compute::ProgramVectorAccumulator>;
  JobParts() = default;
  // The begins after `begin` and before `end`.
  std::vector<uint64_t> BeginsWithin(uint64_t begin, uint64_t end) const;
  size_t code_parts() const;
  absl::Status MergeIntervals(const Sums& sums, Made* made) const;
  void MergeCode(const Sums& sums, Made* made) const;

  uint64_t instructions_ = 0, shard_instructions_ = 0;
  uint64_t interval_instructions_ = 0;
  std::vector<uint64_t> begins_;  // of all intervals, the first 0; or none
  std::vector<double> weights_;   // of slices, one a begin; or none
  uint64_t whole_instructions_ = 0;
  bool by_address_ = false;
  storage::v1::HotCode code_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_JOB_PARTS_H_
