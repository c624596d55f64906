// A gRPC server whose answers a test writes down: for what a real server does
// only when its machine or network fails (streams cut at a byte, answers that
// never come, a lease that passes on).
//
//   ScriptedServer server;
//   server.read_trace = [&](grpc::ServerContext*, const auto& request,
//                           auto* writer) { ...; return grpc::Status::OK; };
//   ServerConnection connection(server.connection(), server.channel());
//
// Set the handlers before the first call; they run on the server's threads. A
// call without a handler is UNIMPLEMENTED.
#ifndef PERFVEC_TESTS_WORKER_AGENT_SCRIPTED_SERVER_H_
#define PERFVEC_TESTS_WORKER_AGENT_SCRIPTED_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "perfvec/worker/v1/worker_service.grpc.pb.h"
#include "worker/agent/server_connection.h"

namespace perfvec::worker {

class ScriptedServer {
 public:
  template <typename Request, typename Response>
  using Unary = std::function<grpc::Status(grpc::ServerContext*, const Request&,
                                           Response*)>;
  template <typename Request, typename Response>
  using Stream = std::function<grpc::Status(
      grpc::ServerContext*, const Request&, grpc::ServerWriter<Response>*)>;

  Unary<v1::LeaseShardRequest, v1::LeaseShardResponse> lease_shard;
  Unary<v1::RenewLeaseRequest, v1::RenewLeaseResponse> renew_lease;
  Unary<v1::CompleteShardRequest, v1::CompleteShardResponse> complete_shard;
  Unary<v1::FailShardRequest, google::protobuf::Empty> fail_shard;
  Stream<v1::ReadTraceRequest, v1::ReadTraceResponse> read_trace;
  Unary<api::GetModelRequest, api::Model> get_model;
  Stream<api::ReadModelWeightsRequest, api::ReadModelWeightsResponse>
      read_model_weights;

  ScriptedServer() : worker_(this), models_(this) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(&worker_);
    builder.RegisterService(&models_);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  std::shared_ptr<grpc::Channel> channel() const {
    return *ServerConnection::Open(connection());
  }
  // Short waits, so that a test of what happens after them is short.
  ServerConnectionOptions connection() const {
    ServerConnectionOptions options;
    options.address = address();
    options.backoff = {absl::Milliseconds(1), absl::Milliseconds(20)};
    return options;
  }

 private:
  template <typename Handler, typename Request, typename Out>
  static grpc::Status Run(const Handler& handler, grpc::ServerContext* context,
                          const Request& request, Out* out) {
    if (handler != nullptr) return handler(context, request, out);
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "not scripted");
  }

  struct Worker : v1::WorkerService::Service {
    explicit Worker(ScriptedServer* s) : script(s) {}
    grpc::Status LeaseShard(grpc::ServerContext* context,
                            const v1::LeaseShardRequest* request,
                            v1::LeaseShardResponse* response) override {
      return Run(script->lease_shard, context, *request, response);
    }
    grpc::Status RenewLease(grpc::ServerContext* context,
                            const v1::RenewLeaseRequest* request,
                            v1::RenewLeaseResponse* response) override {
      return Run(script->renew_lease, context, *request, response);
    }
    grpc::Status CompleteShard(grpc::ServerContext* context,
                               const v1::CompleteShardRequest* request,
                               v1::CompleteShardResponse* response) override {
      return Run(script->complete_shard, context, *request, response);
    }
    grpc::Status FailShard(grpc::ServerContext* context,
                           const v1::FailShardRequest* request,
                           google::protobuf::Empty* response) override {
      return Run(script->fail_shard, context, *request, response);
    }
    grpc::Status ReadTrace(
        grpc::ServerContext* context, const v1::ReadTraceRequest* request,
        grpc::ServerWriter<v1::ReadTraceResponse>* writer) override {
      return Run(script->read_trace, context, *request, writer);
    }
    ScriptedServer* const script;
  };
  struct Models : api::ModelService::Service {
    explicit Models(ScriptedServer* s) : script(s) {}
    grpc::Status GetModel(grpc::ServerContext* context,
                          const api::GetModelRequest* request,
                          api::Model* response) override {
      return Run(script->get_model, context, *request, response);
    }
    grpc::Status ReadModelWeights(
        grpc::ServerContext* context,
        const api::ReadModelWeightsRequest* request,
        grpc::ServerWriter<api::ReadModelWeightsResponse>* writer) override {
      return Run(script->read_model_weights, context, *request, writer);
    }
    ScriptedServer* const script;
  };

  Worker worker_;
  Models models_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_TESTS_WORKER_AGENT_SCRIPTED_SERVER_H_
