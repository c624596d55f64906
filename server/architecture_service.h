// ArchitectureService: a shell over the registry and the predictor.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pool. See proto/perfvec/v1/catalog_service.proto for the contract.
//
//   ArchitectureService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_ARCHITECTURE_SERVICE_H_
#define PERFVEC_SERVER_ARCHITECTURE_SERVICE_H_

#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class ArchitectureService final
    : public v1::ArchitectureService::CallbackService {
 public:
  explicit ArchitectureService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* CreateArchitecture(
      grpc::CallbackServerContext* call,
      const v1::CreateArchitectureRequest* request,
      v1::Architecture* response) override;
  grpc::ServerUnaryReactor* GetArchitecture(
      grpc::CallbackServerContext* call,
      const v1::GetArchitectureRequest* request,
      v1::Architecture* response) override;
  grpc::ServerUnaryReactor* ListArchitectures(
      grpc::CallbackServerContext* call,
      const v1::ListArchitecturesRequest* request,
      v1::ListArchitecturesResponse* response) override;
  grpc::ServerUnaryReactor* UpdateArchitecture(
      grpc::CallbackServerContext* call,
      const v1::UpdateArchitectureRequest* request,
      v1::Architecture* response) override;
  grpc::ServerUnaryReactor* DeleteArchitecture(
      grpc::CallbackServerContext* call,
      const v1::DeleteArchitectureRequest* request,
      google::protobuf::Empty* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_ARCHITECTURE_SERVICE_H_
