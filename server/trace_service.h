// TraceService: a shell over the uploads.
//
// Owned by ServerCore; gRPC calls it from its own threads. WriteUpload hashes
// and writes on the bulk pool while the next messages arrive; at most
// kMaxQueuedBytes of them wait, then reading pauses, and flow control slows the
// client down.
//
//   TraceService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_TRACE_SERVICE_H_
#define PERFVEC_SERVER_TRACE_SERVICE_H_

#include "perfvec/v1/trace_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class TraceService final : public v1::TraceService::CallbackService {
 public:
  explicit TraceService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* BeginUpload(grpc::CallbackServerContext* call,
                                        const v1::BeginUploadRequest* request,
                                        v1::Upload* response) override;
  grpc::ServerUnaryReactor* GetUpload(grpc::CallbackServerContext* call,
                                      const v1::GetUploadRequest* request,
                                      v1::Upload* response) override;
  grpc::ServerReadReactor<v1::WriteUploadRequest>* WriteUpload(
      grpc::CallbackServerContext* call, v1::Upload* response) override;
  grpc::ServerUnaryReactor* FinishUpload(grpc::CallbackServerContext* call,
                                         const v1::FinishUploadRequest* request,
                                         v1::Trace* response) override;
  grpc::ServerUnaryReactor* AbortUpload(grpc::CallbackServerContext* call,
                                        const v1::AbortUploadRequest* request,
                                        google::protobuf::Empty*) override;
  grpc::ServerUnaryReactor* GetTrace(grpc::CallbackServerContext* call,
                                     const v1::GetTraceRequest* request,
                                     v1::Trace* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_TRACE_SERVICE_H_
