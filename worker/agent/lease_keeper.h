// Keeps a lease alive while its shard is computed, from a thread of its own.
//
// Renews three times in the time of a lease and tells the server how far the
// shard is. When the server says that the job was cancelled or that the lease
// is another's, it raises the shard's interrupt: CANCELLED or ABORTED. As long
// as the server does not answer at all the work goes on: the fencing token
// protects the job, and the server may be back before the shard is done.
//
// SetDone from any thread. `server` and `shard` outlive the keeper.
//
//   Interrupt shard;
//   LeaseKeeper keeper(&server, "worker-1", lease, &shard);
//   ... keeper.SetDone(instructions_of_this_shard);
#ifndef PERFVEC_WORKER_AGENT_LEASE_KEEPER_H_
#define PERFVEC_WORKER_AGENT_LEASE_KEEPER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "perfvec/worker/v1/worker_service.pb.h"
#include "worker/agent/interrupt.h"
#include "worker/agent/server_connection.h"

namespace perfvec::worker {

class LeaseKeeper {
 public:
  LeaseKeeper(ServerConnection* server, const std::string& worker_id,
              const v1::Lease& lease, Interrupt* shard);
  ~LeaseKeeper();  // stops renewing; the lease itself stays
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

  void SetDone(uint64_t instructions) { done_ = instructions; }
  uint64_t done() const { return done_; }

 private:
  void Renew(v1::RenewLeaseRequest request, absl::Duration interval);

  ServerConnection* const server_;
  Interrupt* const shard_;
  Interrupt stop_;
  std::atomic<uint64_t> done_{0};
  std::thread thread_;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_LEASE_KEEPER_H_
