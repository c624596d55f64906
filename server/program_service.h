// ProgramService: a shell over the registry, the predictor and the jobs.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pool. See proto/perfvec/v1/catalog_service.proto for the contract.
//
//   ProgramService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_PROGRAM_SERVICE_H_
#define PERFVEC_SERVER_PROGRAM_SERVICE_H_

#include <vector>

#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class ProgramService final : public v1::ProgramService::CallbackService {
 public:
  explicit ProgramService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* CreateProgram(
      grpc::CallbackServerContext* call,
      const v1::CreateProgramRequest* request,
      v1::CreateProgramResponse* response) override;
  grpc::ServerUnaryReactor* GetProgram(grpc::CallbackServerContext* call,
                                       const v1::GetProgramRequest* request,
                                       v1::Program* response) override;
  grpc::ServerUnaryReactor* ListPrograms(
      grpc::CallbackServerContext* call, const v1::ListProgramsRequest* request,
      v1::ListProgramsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateProgram(
      grpc::CallbackServerContext* call,
      const v1::UpdateProgramRequest* request, v1::Program* response) override;
  grpc::ServerUnaryReactor* DeleteProgram(
      grpc::CallbackServerContext* call,
      const v1::DeleteProgramRequest* request,
      google::protobuf::Empty* response) override;
  grpc::ServerUnaryReactor* RepresentProgram(
      grpc::CallbackServerContext* call,
      const v1::RepresentProgramRequest* request, v1::Job* response) override;

 private:
  absl::Status Create(const v1::CreateProgramRequest& request,
                      v1::CreateProgramResponse* response);
  absl::Status Represent(const v1::RepresentProgramRequest& request,
                         v1::Job* response);

  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PROGRAM_SERVICE_H_
