// Gives every call of gRPC its request id and writes how calls ended to the
// log: those that change something at info, failures of the server at warning,
// all others at debug.
//
// What the client sent as x-request-id counts if it is fit for a log; else a
// call that is logged even if it succeeds gets a new one. Services find it in
// the call's metadata (RequestIdOf), and the answer's initial metadata repeats
// it. Reading calls without one, Predict above all, cost a look-up. Of several
// interceptors this one must be the last of the list: gRPC runs them backwards
// where metadata come in.
//
//   creators.push_back(std::make_unique<RequestLogFactory>());
#ifndef PERFVEC_SERVER_REQUEST_LOG_H_
#define PERFVEC_SERVER_REQUEST_LOG_H_

#include <grpcpp/support/server_interceptor.h>

namespace perfvec::server {

class RequestLogFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_REQUEST_LOG_H_
