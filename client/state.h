// What a Client holds: the stubs of one channel and the way to call them.
// Internal to client/. All members are safe to use from any thread.
#ifndef PERFVEC_CLIENT_STATE_H_
#define PERFVEC_CLIENT_STATE_H_

#include <grpcpp/channel.h>

#include <memory>

#include "client/call.h"
#include "client/client.h"
#include "perfvec/v1/analysis_service.grpc.pb.h"
#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "perfvec/v1/exploration_service.grpc.pb.h"
#include "perfvec/v1/job_service.grpc.pb.h"
#include "perfvec/v1/learning_service.grpc.pb.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"
#include "perfvec/v1/trace_service.grpc.pb.h"

namespace perfvec::client {

struct Client::State {
  State(std::shared_ptr<grpc::Channel> channel, ClientOptions options)
      : caller(std::move(options)),
        traces(api::TraceService::NewStub(channel)),
        programs(api::ProgramService::NewStub(channel)),
        analysis(api::AnalysisService::NewStub(channel)),
        architectures(api::ArchitectureService::NewStub(channel)),
        learning(api::LearningService::NewStub(channel)),
        exploration(api::ExplorationService::NewStub(channel)),
        models(api::ModelService::NewStub(channel)),
        jobs(api::JobService::NewStub(channel)),
        predictions(api::PredictionService::NewStub(channel)),
        server(api::ServerService::NewStub(channel)) {}

  const Caller caller;
  const std::unique_ptr<api::TraceService::Stub> traces;
  const std::unique_ptr<api::ProgramService::Stub> programs;
  const std::unique_ptr<api::AnalysisService::Stub> analysis;
  const std::unique_ptr<api::ArchitectureService::Stub> architectures;
  const std::unique_ptr<api::LearningService::Stub> learning;
  const std::unique_ptr<api::ExplorationService::Stub> exploration;
  const std::unique_ptr<api::ModelService::Stub> models;
  const std::unique_ptr<api::JobService::Stub> jobs;
  const std::unique_ptr<api::PredictionService::Stub> predictions;
  const std::unique_ptr<api::ServerService::Stub> server;
};

// Data of one message of a stream, the server's limit.
inline constexpr size_t kMessageDataBytes = size_t{1} << 20;

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_STATE_H_
