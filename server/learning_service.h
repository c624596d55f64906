// LearningService: an architecture's vector from times, in closed form
// (worker/learn), and a new version of it in registry and predictor.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pool: tens of milliseconds. See proto/perfvec/v1/learning_service.proto for
// the contract.
//
//   LearningService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_LEARNING_SERVICE_H_
#define PERFVEC_SERVER_LEARNING_SERVICE_H_

#include "perfvec/v1/learning_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class LearningService final : public v1::LearningService::CallbackService {
 public:
  explicit LearningService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* LearnArchitecture(
      grpc::CallbackServerContext* call,
      const v1::LearnArchitectureRequest* request,
      v1::LearnArchitectureResponse* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_LEARNING_SERVICE_H_
