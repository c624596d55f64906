// ModelService: a shell over the registry, the predictor and model_import.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pools. Weights that are being received lie in a directory of their own under
// ServiceContext::temporary_directory.
//
//   ModelService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_MODEL_SERVICE_H_
#define PERFVEC_SERVER_MODEL_SERVICE_H_

#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

inline constexpr uint64_t kMaxWeightsBytes = uint64_t{4} << 30;

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerReadReactor<v1::CreateModelRequest>* CreateModel(
      grpc::CallbackServerContext* call, v1::Model* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerUnaryReactor* ListModels(
      grpc::CallbackServerContext* call, const v1::ListModelsRequest* request,
      v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* UpdateModel(grpc::CallbackServerContext* call,
                                        const v1::UpdateModelRequest* request,
                                        v1::Model* response) override;
  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* call,
                                        const v1::DeleteModelRequest* request,
                                        google::protobuf::Empty*) override;
  grpc::ServerWriteReactor<v1::ReadModelWeightsResponse>* ReadModelWeights(
      grpc::CallbackServerContext* call,
      const v1::ReadModelWeightsRequest* request) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_MODEL_SERVICE_H_
