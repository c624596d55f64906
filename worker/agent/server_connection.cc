#include "worker/agent/server_connection.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/log.h"
#include "proto/request_id.h"
#include "proto/status.h"

namespace perfvec::worker {
namespace {

constexpr int kMaxMessageBytes = 64
                                 << 20;  // a manifest with many architectures

std::chrono::system_clock::time_point Deadline(absl::Duration timeout) {
  return absl::ToChronoTime(absl::Now() + timeout);
}

template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> Call(Stub* stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*),
                              const Request& request, absl::Duration timeout,
                              Interrupt* interrupt) {
  grpc::ClientContext context;
  context.set_deadline(Deadline(timeout));
  const absl::string_view request_id = LogScope::CurrentRequestId();
  if (!request_id.empty()) {
    context.AddMetadata(kRequestIdMetadata, std::string(request_id));
  }
  Interrupt::Scope scope(interrupt, [&context] { context.TryCancel(); });
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) {
    return interrupt->raised() ? interrupt->reason() : FromGrpcStatus(status);
  }
  return response;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> ServerConnection::Open(
    const ServerConnectionOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // gRPC's own pause before it connects again grows to two minutes; our calls
  // back off by themselves and want a restarted server soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return MakeChannel(options.address, options.security, arguments);
}

ServerConnection::ServerConnection(
    ServerConnectionOptions options,
    const std::shared_ptr<grpc::Channel>& channel)
    : options_(std::move(options)),
      worker_(v1::WorkerService::NewStub(channel)),
      models_(api::ModelService::NewStub(channel)) {}

absl::StatusOr<v1::LeaseShardResponse> ServerConnection::LeaseShard(
    const v1::LeaseShardRequest& request, Interrupt* interrupt) {
  const absl::Duration wait = absl::Seconds(request.wait().seconds()) +
                              absl::Nanoseconds(request.wait().nanos());
  return Call(worker_.get(), &v1::WorkerService::Stub::LeaseShard, request,
              wait + options_.lease_timeout, interrupt);
}

absl::StatusOr<v1::RenewLeaseResponse> ServerConnection::RenewLease(
    const v1::RenewLeaseRequest& request, absl::Duration timeout,
    Interrupt* interrupt) {
  return Call(worker_.get(), &v1::WorkerService::Stub::RenewLease, request,
              timeout, interrupt);
}

absl::StatusOr<v1::CompleteShardResponse> ServerConnection::CompleteShard(
    const v1::CompleteShardRequest& request, Interrupt* interrupt) {
  return Call(worker_.get(), &v1::WorkerService::Stub::CompleteShard, request,
              options_.call_timeout, interrupt);
}

absl::Status ServerConnection::FailShard(const v1::FailShardRequest& request,
                                         absl::Duration timeout,
                                         Interrupt* interrupt) {
  return Call(worker_.get(), &v1::WorkerService::Stub::FailShard, request,
              timeout, interrupt)
      .status();
}

absl::StatusOr<api::Model> ServerConnection::GetModel(
    const std::string& model_id, Interrupt* interrupt) {
  api::GetModelRequest request;
  request.set_model(model_id);
  return Call(models_.get(), &api::ModelService::Stub::GetModel, request,
              options_.call_timeout, interrupt);
}

absl::StatusOr<std::string> ServerConnection::ReadModelWeights(
    const std::string& model_id, uint64_t size_bytes, Interrupt* interrupt) {
  grpc::ClientContext context;
  context.set_deadline(Deadline(options_.stream_timeout));
  Interrupt::Scope scope(interrupt, [&context] { context.TryCancel(); });
  api::ReadModelWeightsRequest request;
  request.set_model(model_id);
  auto reader = models_->ReadModelWeights(&context, request);
  std::string weights;
  weights.reserve(size_bytes);
  api::ReadModelWeightsResponse message;
  while (reader->Read(&message)) {
    if (weights.size() + message.data().size() > size_bytes) {
      context.TryCancel();
      reader->Finish();
      return absl::DataLossError(absl::StrCat("weights of model ", model_id,
                                              ": expected ", size_bytes,
                                              " bytes, the server sends more"));
    }
    weights += message.data();
  }
  const grpc::Status status = reader->Finish();
  if (interrupt->raised()) return interrupt->reason();
  if (!status.ok()) return FromGrpcStatus(status);
  if (weights.size() != size_bytes) {
    return absl::DataLossError(
        absl::StrCat("weights of model ", model_id, ": expected ", size_bytes,
                     " bytes, the server sent ", weights.size()));
  }
  return weights;
}

std::unique_ptr<ServerConnection::TraceCall> ServerConnection::ReadTrace(
    const std::string& trace_id, uint64_t offset) {
  auto call = std::make_unique<TraceCall>();
  call->context.set_deadline(Deadline(options_.stream_timeout));
  v1::ReadTraceRequest request;
  request.set_trace_id(trace_id);
  request.set_offset(offset);
  call->reader = worker_->ReadTrace(&call->context, request);
  return call;
}

absl::Status ServerConnection::Retry(
    Interrupt* interrupt, absl::Duration limit,
    const std::function<absl::Status()>& attempt) {
  Backoff backoff(options_.backoff, std::random_device{}());
  const absl::Time give_up = absl::Now() + limit;
  while (true) {
    if (interrupt->raised()) return interrupt->reason();
    absl::Status status = attempt();
    if (!status.ok() && interrupt->raised()) return interrupt->reason();
    if (!IsTransient(status) || absl::Now() >= give_up) return status;
    interrupt->WaitFor(backoff.Next());
  }
}

}  // namespace perfvec::worker
