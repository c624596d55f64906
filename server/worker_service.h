// WorkerService: a shell over the jobs, and the streams that feed workers.
//
// Owned by ServerCore; gRPC calls it from its own threads. A waiting LeaseShard
// holds no thread. A ReadTrace stream has one message on its way and one
// prepared, each read from disk on the bulk pool.
//
//   WorkerService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_WORKER_SERVICE_H_
#define PERFVEC_SERVER_WORKER_SERVICE_H_

#include "perfvec/worker/v1/worker_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class WorkerService final : public worker::v1::WorkerService::CallbackService {
 public:
  explicit WorkerService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* LeaseShard(
      grpc::CallbackServerContext* call,
      const worker::v1::LeaseShardRequest* request,
      worker::v1::LeaseShardResponse* response) override;
  grpc::ServerUnaryReactor* RenewLease(
      grpc::CallbackServerContext* call,
      const worker::v1::RenewLeaseRequest* request,
      worker::v1::RenewLeaseResponse* response) override;
  grpc::ServerUnaryReactor* CompleteShard(
      grpc::CallbackServerContext* call,
      const worker::v1::CompleteShardRequest* request,
      worker::v1::CompleteShardResponse* response) override;
  grpc::ServerUnaryReactor* FailShard(
      grpc::CallbackServerContext* call,
      const worker::v1::FailShardRequest* request,
      google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<worker::v1::ReadTraceResponse>* ReadTrace(
      grpc::CallbackServerContext* call,
      const worker::v1::ReadTraceRequest* request) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_WORKER_SERVICE_H_
