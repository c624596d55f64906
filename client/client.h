// A client of the PerfVec server: typed calls with deadlines and retries.
//
// Any thread may call any method at any time; calls of several threads share
// one connection. A call blocks until it has its answer or has failed for good.
// Callbacks run on the calling thread. Messages are those of proto/perfvec/v1.
//
//   auto client = perfvec::client::Client::Create({.server = "host:7450"});
//   if (!client.ok()) return client.status();
//   perfvec::v1::PredictRequest request;
//   request.set_program("lbm");
//   request.set_architecture("cortex_a15_like");
//   auto answer = (*client)->Predict(request);
//   if (answer.ok()) Use(answer->time_ns());
//
// Retries. A call that failed with UNAVAILABLE, or with RESOURCE_EXHAUSTED and
// a hint when to come back, is repeated with growing, jittered pauses until the
// policy or the deadline ends it. Deletes, and updates that name an expected
// revision, are repeated only where the server refused them before it acted.
#ifndef PERFVEC_CLIENT_CLIENT_H_
#define PERFVEC_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "perfvec/v1/analysis_service.pb.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "perfvec/v1/exploration_service.pb.h"
#include "perfvec/v1/job_service.pb.h"
#include "perfvec/v1/learning_service.pb.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "perfvec/v1/resources.pb.h"
#include "perfvec/v1/trace_service.pb.h"

namespace grpc {
class Channel;
}

namespace perfvec::client {

namespace api = ::perfvec::v1;

struct RetryPolicy {
  int max_attempts = 5;  // 1: never repeat
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(10);
  double multiplier = 2;
};

struct ClientOptions {
  std::string server = "127.0.0.1:7450";  // host:port or a gRPC target
  // Of a call with all its repetitions. Streams that carry data (uploads,
  // weights, matrices) and watches are bounded by `stall_timeout` instead.
  absl::Duration timeout = absl::Seconds(30);
  // A data stream that did not end within this time is cut and, where it can
  // be, resumed.
  absl::Duration stall_timeout = absl::Minutes(5);
  RetryPolicy retry;
  // TLS: PEM file with who may sign the server's certificate, "system" for
  // those that this machine trusts, empty for none. The client's own
  // certificate and key where the server wants one.
  std::string tls_ca, tls_certificate, tls_key;
  // The token that the server knows the caller by, or a file with it, which is
  // read again when it changes. Not sent without TLS to another machine.
  std::string token, token_file;
  // By which the server's and the workers' logs tell the calls of this client
  // (proto/request_id.h). Empty: one is made.
  std::string request_id;
  // Waits between attempts; empty: absl::SleepFor.
  std::function<void(absl::Duration)> sleep;
};

// Of one call.
struct CallOptions {
  absl::Duration timeout = absl::ZeroDuration();  // zero: the client's
};

struct UploadProgress {
  enum class Stage { kHashing, kSending, kFinishing };
  Stage stage = Stage::kHashing;
  uint64_t done_bytes = 0;  // kSending: sent, of which the server may yet ask
                            // again for what it has not committed
  uint64_t size_bytes = 0;
};

struct UploadOptions {
  // Called about once a MiB. Returning false ends the upload with CANCELLED;
  // the server keeps what it has committed.
  std::function<bool(const UploadProgress&)> progress;
  // One stream carries at most this much. A stream that is cut is resumed at
  // what the server committed.
  uint64_t stream_size_bytes = uint64_t{256} << 20;
  // Of a file that was sent while it was written: what DraftUpload::End() gave
  // (draft_upload.h). Only the rest is sent. Empty, or unknown to the server:
  // all of it is.
  std::string draft;
};

class DraftUpload;

class Client {
 public:
  // Connects at the first call. INVALID_ARGUMENT: an option makes no sense.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);
  // Over a channel of the caller's (credentials, in-process server).
  static absl::StatusOr<std::unique_ptr<Client>> CreateOnChannel(
      std::shared_ptr<grpc::Channel> channel, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // --- Traces -------------------------------------------------------------
  // Sends a .pvt file; returns at once if the server has its content. May be
  // called again after any failure, also by another process: it goes on where
  // the server's copy ends. NOT_FOUND: no such file; RESOURCE_EXHAUSTED: the
  // server's quota; INVALID_ARGUMENT, DATA_LOSS: the content is no valid trace.
  absl::StatusOr<api::Trace> UploadTrace(const std::string& path,
                                         const UploadOptions& options = {});
  absl::StatusOr<api::Trace> GetTrace(const std::string& trace_id,
                                      CallOptions options = {});

  // --- Programs -----------------------------------------------------------
  absl::StatusOr<api::CreateProgramResponse> CreateProgram(
      const api::CreateProgramRequest& request, CallOptions options = {});
  absl::StatusOr<api::Program> GetProgram(const std::string& program,
                                          CallOptions options = {});
  absl::StatusOr<api::ListProgramsResponse> ListPrograms(
      const api::PageRequest& page, CallOptions options = {});
  absl::StatusOr<api::Program> UpdateProgram(
      const api::UpdateProgramRequest& request, CallOptions options = {});
  absl::Status DeleteProgram(const std::string& program, bool all_versions,
                             CallOptions options = {});
  absl::StatusOr<api::Job> RepresentProgram(const std::string& program,
                                            const std::string& model,
                                            CallOptions options = {});
  absl::StatusOr<api::Job> RepresentProgram(
      const api::RepresentProgramRequest& request, CallOptions options = {});
  // Where its time goes: docs/analysis.md.
  absl::StatusOr<api::AnalyzeProgramResponse> AnalyzeProgram(
      const api::AnalyzeProgramRequest& request, CallOptions options = {});
  absl::StatusOr<api::ProgramParts> GetProgramParts(
      const api::GetProgramPartsRequest& request, CallOptions options = {});

  // --- Architectures ------------------------------------------------------
  absl::StatusOr<api::Architecture> CreateArchitecture(
      const api::Architecture& architecture, CallOptions options = {});
  absl::StatusOr<api::Architecture> GetArchitecture(
      const std::string& architecture, CallOptions options = {});
  absl::StatusOr<api::ListArchitecturesResponse> ListArchitectures(
      const api::PageRequest& page, CallOptions options = {});
  absl::StatusOr<api::Architecture> UpdateArchitecture(
      const api::UpdateArchitectureRequest& request, CallOptions options = {});
  absl::Status DeleteArchitecture(const std::string& architecture,
                                  bool all_versions, CallOptions options = {});

  // A new version of the architecture, its vector learned from the evidence;
  // the report is in its vector. The same evidence again finds that version.
  absl::StatusOr<api::LearnArchitectureResponse> LearnArchitecture(
      const api::LearnArchitectureRequest& request, CallOptions options = {});

  // --- Models -------------------------------------------------------------
  // `directory` holds manifest.json and model.safetensors. `header` carries
  // name, tags, aliases, create_architectures; the rest is filled in.
  absl::StatusOr<api::Model> CreateModel(
      const std::string& directory, api::CreateModelRequest::Header header);
  absl::StatusOr<api::Model> GetModel(const std::string& model,
                                      CallOptions options = {});
  absl::StatusOr<api::ListModelsResponse> ListModels(
      const api::PageRequest& page, CallOptions options = {});
  absl::StatusOr<api::Model> UpdateModel(const api::UpdateModelRequest& request,
                                         CallOptions options = {});
  absl::Status DeleteModel(const std::string& model, CallOptions options = {});

  // --- Jobs ---------------------------------------------------------------
  absl::StatusOr<api::Job> GetJob(const std::string& job_id,
                                  CallOptions options = {});
  absl::StatusOr<api::ListJobsResponse> ListJobs(
      const api::ListJobsRequest& request, CallOptions options = {});
  absl::StatusOr<api::Job> CancelJob(const std::string& job_id,
                                     CallOptions options = {});
  // Calls `on_change` with the job now and after each change, and returns it
  // once it has ended (whatever its state). Reconnects when the stream breaks.
  // CANCELLED: `on_change` returned false. Without options.timeout it waits as
  // long as the job takes.
  absl::StatusOr<api::Job> WatchJob(
      const std::string& job_id,
      const std::function<bool(const api::Job&)>& on_change,
      CallOptions options = {});

  // --- Predictions --------------------------------------------------------
  absl::StatusOr<api::PredictResponse> Predict(
      const api::PredictRequest& request, CallOptions options = {});
  absl::StatusOr<api::PredictBatchResponse> PredictBatch(
      const api::PredictBatchRequest& request, CallOptions options = {});
  // `on_rows` sees each answer in order, the first with the columns and no
  // rows; what it returns other than OK ends the call and is returned. A
  // stream that broke is begun anew only if `on_rows` was not called yet.
  absl::Status PredictMatrix(
      const api::PredictMatrixRequest& request,
      const std::function<absl::Status(const api::PredictMatrixResponse&)>&
          on_rows);
  absl::StatusOr<api::RankResponse> Rank(const api::RankRequest& request,
                                         CallOptions options = {});
  // Seconds of work; bounded by stall_timeout unless options.timeout is set.
  absl::StatusOr<api::ExploreDesignSpaceResponse> ExploreDesignSpace(
      const api::ExploreDesignSpaceRequest& request, CallOptions options = {});

  // --- Server -------------------------------------------------------------
  absl::StatusOr<api::ServerStatus> GetServerStatus(CallOptions options = {});
  // A verified copy of what the server holds, in a new directory on the
  // server's machine, below its backup root. Bounded by stall_timeout unless
  // options.timeout is set.
  absl::StatusOr<api::CreateBackupResponse> CreateBackup(
      const std::string& directory, CallOptions options = {});

 private:
  friend class DraftUpload;
  struct State;
  explicit Client(std::unique_ptr<State> state);
  const std::unique_ptr<const State> state_;
};

// Whether the job has ended: succeeded, failed or cancelled.
bool JobEnded(const api::Job& job);

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_CLIENT_H_
