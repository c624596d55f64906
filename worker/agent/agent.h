// The worker's loop: lease a shard, compute it, hand in its sum, again.
//
// Run() blocks in one thread until Stop(). Any other thread may call Stop()
// (take no more work, finish the shard in hand) and Abandon() (give the shard
// in hand back at once; the server queues it again and counts no failure).
//
// What ends a shard, and what follows:
//   computed                       CompleteShard, repeated until the answer is
//                                  definite, so that it counts exactly once
//   job cancelled, lease lost      dropped, nothing is sent
//   bad input (damaged trace)      FailShard, permanent: the job fails
//   trouble here (memory, model    FailShard: another worker may try; this one
//   not to be had, connection)     waits longer after each
//   Abandon()                      FailShard, released
//
//   auto agent = Agent::Create({.server = {.address = "127.0.0.1:7450"},
//                               .worker_id = "w1"});
//   absl::Status status = (*agent)->Run();
#ifndef PERFVEC_WORKER_AGENT_AGENT_H_
#define PERFVEC_WORKER_AGENT_AGENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/agent/backoff.h"
#include "worker/agent/interrupt.h"
#include "worker/agent/lease_keeper.h"
#include "worker/agent/model_store.h"
#include "worker/agent/server_connection.h"
#include "worker/agent/shard_runner.h"

namespace perfvec::worker {

struct AgentOptions {
  ServerConnectionOptions server;
  ModelStoreOptions models;
  compute::BackEndOptions back_end;
  std::string worker_id;
  // How long the server may keep a request for work waiting; an idle worker
  // takes so long to stop.
  absl::Duration lease_wait = absl::Seconds(2);
};

class Agent {
 public:
  // Loads the models named in `options`; an error names the directory.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(AgentOptions options);

  // OK after Stop(). An error if the server refuses this worker for good; a
  // server that is away is waited for.
  absl::Status Run();
  void Stop();
  void Abandon();

 private:
  Agent(AgentOptions options, const std::shared_ptr<grpc::Channel>& channel,
        std::unique_ptr<ModelStore> models);

  // Nothing: there was no work, or the agent stops.
  absl::StatusOr<std::optional<v1::Lease>> NextLease();
  // Returns whether this worker had no trouble of its own.
  bool RunShard(const v1::Lease& lease);
  absl::Status Complete(const v1::Lease& lease, const RangeSums& sums,
                        Interrupt* shard);
  void Fail(const v1::Lease& lease, const absl::Status& error, bool permanent,
            bool released);

  const AgentOptions options_;
  ServerConnection server_;
  const std::unique_ptr<ModelStore> models_;
  ShardRunner runner_;
  Interrupt abandon_;
  Interrupt stop_{&abandon_};  // abandoning is stopping, too
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_AGENT_H_
