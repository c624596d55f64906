// ExplorationService: a design space swept in the server (worker/explore), with
// the times of vectors in memory.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pool for long work, seconds, kMaxExplorations at a time, and ends soon after
// the caller has gone. See proto/perfvec/v1/exploration_service.proto for the
// contract.
//
//   ExplorationService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_EXPLORATION_SERVICE_H_
#define PERFVEC_SERVER_EXPLORATION_SERVICE_H_

#include <atomic>

#include "perfvec/v1/exploration_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class ExplorationService final
    : public v1::ExplorationService::CallbackService {
 public:
  static constexpr int kMaxExplorations = 2;

  explicit ExplorationService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* ExploreDesignSpace(
      grpc::CallbackServerContext* call,
      const v1::ExploreDesignSpaceRequest* request,
      v1::ExploreDesignSpaceResponse* response) override;

 private:
  const ServiceContext context_;
  std::atomic<int> running_{0};
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_EXPLORATION_SERVICE_H_
