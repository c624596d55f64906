// The server as a worker sees it: every call with a deadline, cancelled when
// its Interrupt is raised, its errors as absl::Status.
//
// A call is one attempt; Retry() repeats one until the answer is definite.
// Unary calls carry the request id of their thread's LogScope. Any thread; no
// call holds a lock.
//
//   ServerConnectionOptions options;  // address, security
//   auto channel = ServerConnection::Open(options);
//   ServerConnection server(options, *channel);
//   auto lease = server.LeaseShard(request, &interrupt);
//   auto status = server.Retry(&interrupt, absl::InfiniteDuration(),
//                              [&] { return server.Complete(...).status(); });
#ifndef PERFVEC_WORKER_AGENT_SERVER_CONNECTION_H_
#define PERFVEC_WORKER_AGENT_SERVER_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "perfvec/worker/v1/worker_service.grpc.pb.h"
#include "proto/channel.h"
#include "worker/agent/backoff.h"
#include "worker/agent/interrupt.h"

namespace perfvec::worker {

namespace v1 = ::perfvec::worker::v1;  // the worker protocol
namespace api = ::perfvec::v1;         // the public messages

struct ServerConnectionOptions {
  std::string address = "127.0.0.1:7450";
  ChannelSecurity security;
  // For an answer to a unary call, and to one for a lease beside the wait.
  absl::Duration call_timeout = absl::Seconds(15);
  absl::Duration lease_timeout = absl::Seconds(5);
  // A stream is opened anew at its offset after this long: the bound on how
  // long a server that vanished without a word goes unnoticed.
  absl::Duration stream_timeout = absl::Seconds(60);
  BackoffOptions backoff;
};

class ServerConnection {
 public:
  // Errors of the options and of the files that they name; connects later.
  static absl::StatusOr<std::shared_ptr<grpc::Channel>> Open(
      const ServerConnectionOptions& options);
  ServerConnection(ServerConnectionOptions options,
                   const std::shared_ptr<grpc::Channel>& channel);

  absl::StatusOr<v1::LeaseShardResponse> LeaseShard(
      const v1::LeaseShardRequest& request, Interrupt* interrupt);
  absl::StatusOr<v1::RenewLeaseResponse> RenewLease(
      const v1::RenewLeaseRequest& request, absl::Duration timeout,
      Interrupt* interrupt);
  absl::StatusOr<v1::CompleteShardResponse> CompleteShard(
      const v1::CompleteShardRequest& request, Interrupt* interrupt);
  absl::Status FailShard(const v1::FailShardRequest& request,
                         absl::Duration timeout, Interrupt* interrupt);
  absl::StatusOr<api::Model> GetModel(const std::string& model_id,
                                      Interrupt* interrupt);
  // The whole weights file; DATA_LOSS if its size is not `size_bytes`.
  absl::StatusOr<std::string> ReadModelWeights(const std::string& model_id,
                                               uint64_t size_bytes,
                                               Interrupt* interrupt);
  // A stream and what it needs to live; `reader` reads until `context` ends.
  struct TraceCall {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::ReadTraceResponse>> reader;
  };
  std::unique_ptr<TraceCall> ReadTrace(const std::string& trace_id,
                                       uint64_t offset);

  // Repeats `attempt` with back-off while its error is transient. Gives up
  // with the last error after `limit`, with the interrupt's reason when raised.
  absl::Status Retry(Interrupt* interrupt, absl::Duration limit,
                     const std::function<absl::Status()>& attempt);

  const ServerConnectionOptions& options() const { return options_; }

 private:
  const ServerConnectionOptions options_;
  const std::unique_ptr<v1::WorkerService::Stub> worker_;
  const std::unique_ptr<api::ModelService::Stub> models_;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_SERVER_CONNECTION_H_
