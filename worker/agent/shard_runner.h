// Computes the sum of one shard, and keeps what the next shard can use: the
// back end with its packed weights, and the open trace with its position.
//
// One thread at a time. `server` and `models` outlive the runner.
//
//   ShardRunner runner(&server, &models, {.threads = 2});
//   auto sum = runner.Run(lease, &interrupt, &keeper);
//   runner.SuggestNext(&request);   // the shard that is cheap for this worker
#ifndef PERFVEC_WORKER_AGENT_SHARD_RUNNER_H_
#define PERFVEC_WORKER_AGENT_SHARD_RUNNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/agent/interrupt.h"
#include "worker/agent/lease_keeper.h"
#include "worker/agent/model_store.h"
#include "worker/agent/server_connection.h"
#include "worker/agent/trace_pipeline.h"
#include "worker/agent/trace_stream.h"
#include "worker/represent/back_end.h"
#include "worker/represent/program_vector.h"
#include "worker/represent/representer.h"

namespace perfvec::worker {

class ShardRunner {
 public:
  ShardRunner(ServerConnection* server, ModelStore* models,
              compute::BackEndOptions back_end);

  // The shard's sums, the number of whose instructions is the lease's. When
  // `shard` is raised the work stops within a batch of segments, with its
  // reason. INVALID_ARGUMENT, DATA_LOSS, FAILED_PRECONDITION, OUT_OF_RANGE: the
  // trace is bad, and would be for every worker. Other codes: trouble here.
  absl::StatusOr<RangeSums> Run(const v1::Lease& lease, Interrupt* shard,
                                LeaseKeeper* keeper);

  // Asks for the shard that follows in the open trace, if there is one.
  void SuggestNext(v1::LeaseShardRequest* request) const;
  // Closes the trace: there is no work, and the server need not hold a stream.
  void CloseTrace();

 private:
  absl::Status Prepare(const v1::Lease& lease, Interrupt* shard);

  ServerConnection* const server_;
  ModelStore* const models_;
  const compute::BackEndOptions back_end_options_;
  std::unique_ptr<compute::Representer> back_end_;
  // The open trace; the pipeline owns the stream.
  std::unique_ptr<TracePipeline> pipeline_;
  TraceStream* stream_ = nullptr;
  v1::Lease last_;  // the shard the pipeline ended
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_SHARD_RUNNER_H_
