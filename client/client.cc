// The unary calls. Streams: stream_calls.cc, upload.cc.
#include "client/client.h"

#include <grpcpp/support/channel_arguments.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/state.h"
#include "proto/channel.h"
#include "proto/request_id.h"

namespace perfvec::client {
namespace {

absl::Status CheckOptions(const ClientOptions& options) {
  if (options.server.empty()) {
    return absl::InvalidArgumentError(
        "the server's address is empty; expected host:port");
  }
  if (!options.request_id.empty() && !IsRequestId(options.request_id)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "request id \"", absl::CHexEscape(options.request_id),
        "\": expected 1 to 64 of letters, digits, '-', '_' and '.'"));
  }
  if (options.timeout <= absl::ZeroDuration() ||
      options.stall_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("timeouts must be positive, found timeout ",
                     absl::FormatDuration(options.timeout), ", stall_timeout ",
                     absl::FormatDuration(options.stall_timeout)));
  }
  const RetryPolicy& retry = options.retry;
  if (retry.max_attempts < 1 || retry.multiplier < 1 ||
      retry.initial_backoff < absl::ZeroDuration() ||
      retry.max_backoff < retry.initial_backoff) {
    return absl::InvalidArgumentError(
        "the retry policy needs max_attempts >= 1, multiplier >= 1 and "
        "0 <= initial_backoff <= max_backoff");
  }
  return absl::OkStatus();
}

// A repetition of an update that names the revision it expects would find the
// revision its first attempt wrote.
Repeat UpdateRepeat(const api::MetadataUpdate& update) {
  return update.expected_revision() == 0 ? Repeat::kSafe
                                         : Repeat::kOnlyIfRefused;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  grpc::ChannelArguments arguments;
  // Retries are Caller's: gRPC's own would multiply them.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A server that comes back is found within a few seconds, not two minutes,
  // and not later than the first repetition looks for it.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 3000);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  auto channel =
      MakeChannel(options.server,
                  {options.tls_ca, options.tls_certificate, options.tls_key,
                   options.token, options.token_file},
                  arguments);
  if (!channel.ok()) return channel.status();
  return CreateOnChannel(*std::move(channel), std::move(options));
}

absl::StatusOr<std::unique_ptr<Client>> Client::CreateOnChannel(
    std::shared_ptr<grpc::Channel> channel, ClientOptions options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  return std::unique_ptr<Client>(new Client(
      std::make_unique<State>(std::move(channel), std::move(options))));
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;

// Call(service, Method, request): one unary call of that service's stub.
#define PERFVEC_CALL(STUB, SERVICE, METHOD, REQUEST, REPEAT)                \
  state_->caller.Unary(*state_->STUB, &api::SERVICE::Stub::METHOD, REQUEST, \
                       REPEAT, options)

absl::StatusOr<api::Trace> Client::GetTrace(const std::string& trace_id,
                                            CallOptions options) {
  api::GetTraceRequest request;
  request.set_trace_id(trace_id);
  return PERFVEC_CALL(traces, TraceService, GetTrace, request, Repeat::kSafe);
}

absl::StatusOr<api::CreateProgramResponse> Client::CreateProgram(
    const api::CreateProgramRequest& request, CallOptions options) {
  return PERFVEC_CALL(programs, ProgramService, CreateProgram, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::Program> Client::GetProgram(const std::string& program,
                                                CallOptions options) {
  api::GetProgramRequest request;
  request.set_program(program);
  return PERFVEC_CALL(programs, ProgramService, GetProgram, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::ListProgramsResponse> Client::ListPrograms(
    const api::PageRequest& page, CallOptions options) {
  api::ListProgramsRequest request;
  *request.mutable_page() = page;
  return PERFVEC_CALL(programs, ProgramService, ListPrograms, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::Program> Client::UpdateProgram(
    const api::UpdateProgramRequest& request, CallOptions options) {
  return PERFVEC_CALL(programs, ProgramService, UpdateProgram, request,
                      UpdateRepeat(request.update()));
}

absl::Status Client::DeleteProgram(const std::string& program,
                                   bool all_versions, CallOptions options) {
  api::DeleteProgramRequest request;
  request.set_program(program);
  request.set_all_versions(all_versions);
  return PERFVEC_CALL(programs, ProgramService, DeleteProgram, request,
                      Repeat::kOnlyIfRefused)
      .status();
}

absl::StatusOr<api::Job> Client::RepresentProgram(const std::string& program,
                                                  const std::string& model,
                                                  CallOptions options) {
  api::RepresentProgramRequest request;
  request.set_program(program);
  request.set_model(model);
  return RepresentProgram(request, options);
}

absl::StatusOr<api::Job> Client::RepresentProgram(
    const api::RepresentProgramRequest& request, CallOptions options) {
  return PERFVEC_CALL(programs, ProgramService, RepresentProgram, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::AnalyzeProgramResponse> Client::AnalyzeProgram(
    const api::AnalyzeProgramRequest& request, CallOptions options) {
  return PERFVEC_CALL(analysis, AnalysisService, AnalyzeProgram, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::ProgramParts> Client::GetProgramParts(
    const api::GetProgramPartsRequest& request, CallOptions options) {
  return PERFVEC_CALL(analysis, AnalysisService, GetProgramParts, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::Architecture> Client::CreateArchitecture(
    const api::Architecture& architecture, CallOptions options) {
  api::CreateArchitectureRequest request;
  *request.mutable_architecture() = architecture;
  return PERFVEC_CALL(architectures, ArchitectureService, CreateArchitecture,
                      request, Repeat::kSafe);
}

absl::StatusOr<api::Architecture> Client::GetArchitecture(
    const std::string& architecture, CallOptions options) {
  api::GetArchitectureRequest request;
  request.set_architecture(architecture);
  return PERFVEC_CALL(architectures, ArchitectureService, GetArchitecture,
                      request, Repeat::kSafe);
}

absl::StatusOr<api::ListArchitecturesResponse> Client::ListArchitectures(
    const api::PageRequest& page, CallOptions options) {
  api::ListArchitecturesRequest request;
  *request.mutable_page() = page;
  return PERFVEC_CALL(architectures, ArchitectureService, ListArchitectures,
                      request, Repeat::kSafe);
}

absl::StatusOr<api::Architecture> Client::UpdateArchitecture(
    const api::UpdateArchitectureRequest& request, CallOptions options) {
  return PERFVEC_CALL(architectures, ArchitectureService, UpdateArchitecture,
                      request, UpdateRepeat(request.update()));
}

absl::Status Client::DeleteArchitecture(const std::string& architecture,
                                        bool all_versions,
                                        CallOptions options) {
  api::DeleteArchitectureRequest request;
  request.set_architecture(architecture);
  request.set_all_versions(all_versions);
  return PERFVEC_CALL(architectures, ArchitectureService, DeleteArchitecture,
                      request, Repeat::kOnlyIfRefused)
      .status();
}

absl::StatusOr<api::Model> Client::GetModel(const std::string& model,
                                            CallOptions options) {
  api::GetModelRequest request;
  request.set_model(model);
  return PERFVEC_CALL(models, ModelService, GetModel, request, Repeat::kSafe);
}

absl::StatusOr<api::ListModelsResponse> Client::ListModels(
    const api::PageRequest& page, CallOptions options) {
  api::ListModelsRequest request;
  *request.mutable_page() = page;
  return PERFVEC_CALL(models, ModelService, ListModels, request, Repeat::kSafe);
}

absl::StatusOr<api::Model> Client::UpdateModel(
    const api::UpdateModelRequest& request, CallOptions options) {
  return PERFVEC_CALL(models, ModelService, UpdateModel, request,
                      UpdateRepeat(request.update()));
}

absl::Status Client::DeleteModel(const std::string& model,
                                 CallOptions options) {
  api::DeleteModelRequest request;
  request.set_model(model);
  return PERFVEC_CALL(models, ModelService, DeleteModel, request,
                      Repeat::kOnlyIfRefused)
      .status();
}

absl::StatusOr<api::Job> Client::GetJob(const std::string& job_id,
                                        CallOptions options) {
  api::GetJobRequest request;
  request.set_job_id(job_id);
  return PERFVEC_CALL(jobs, JobService, GetJob, request, Repeat::kSafe);
}

absl::StatusOr<api::ListJobsResponse> Client::ListJobs(
    const api::ListJobsRequest& request, CallOptions options) {
  return PERFVEC_CALL(jobs, JobService, ListJobs, request, Repeat::kSafe);
}

absl::StatusOr<api::Job> Client::CancelJob(const std::string& job_id,
                                           CallOptions options) {
  api::CancelJobRequest request;
  request.set_job_id(job_id);
  return PERFVEC_CALL(jobs, JobService, CancelJob, request, Repeat::kSafe);
}

absl::StatusOr<api::LearnArchitectureResponse> Client::LearnArchitecture(
    const api::LearnArchitectureRequest& request, CallOptions options) {
  return PERFVEC_CALL(learning, LearningService, LearnArchitecture, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::PredictResponse> Client::Predict(
    const api::PredictRequest& request, CallOptions options) {
  return PERFVEC_CALL(predictions, PredictionService, Predict, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::PredictBatchResponse> Client::PredictBatch(
    const api::PredictBatchRequest& request, CallOptions options) {
  return PERFVEC_CALL(predictions, PredictionService, PredictBatch, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::RankResponse> Client::Rank(const api::RankRequest& request,
                                               CallOptions options) {
  return PERFVEC_CALL(predictions, PredictionService, Rank, request,
                      Repeat::kSafe);
}

absl::StatusOr<api::ExploreDesignSpaceResponse> Client::ExploreDesignSpace(
    const api::ExploreDesignSpaceRequest& request, CallOptions options) {
  if (options.timeout <= absl::ZeroDuration()) {
    options.timeout = state_->caller.options().stall_timeout;
  }
  return PERFVEC_CALL(exploration, ExplorationService, ExploreDesignSpace,
                      request, Repeat::kSafe);
}

absl::StatusOr<api::ServerStatus> Client::GetServerStatus(CallOptions options) {
  return PERFVEC_CALL(server, ServerService, GetServerStatus,
                      api::GetServerStatusRequest(), Repeat::kSafe);
}

absl::StatusOr<api::CreateBackupResponse> Client::CreateBackup(
    const std::string& directory, CallOptions options) {
  if (options.timeout <= absl::ZeroDuration()) {
    options.timeout = state_->caller.options().stall_timeout;
  }
  api::CreateBackupRequest request;
  request.set_directory(directory);
  return PERFVEC_CALL(server, ServerService, CreateBackup, request,
                      Repeat::kOnlyIfRefused);
}

#undef PERFVEC_CALL

bool JobEnded(const api::Job& job) {
  return job.state() == api::JOB_STATE_SUCCEEDED ||
         job.state() == api::JOB_STATE_FAILED ||
         job.state() == api::JOB_STATE_CANCELLED;
}

}  // namespace perfvec::client
