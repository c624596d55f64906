#include "server/worker_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status.h"
#include "server/blob_stream.h"
#include "server/call.h"
#include "server/job_manager.h"
#include "server/metrics.h"
#include "server/times.h"
#include "storage/registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

constexpr absl::Duration kMaxLeaseWait = absl::Seconds(60);
constexpr size_t kMaxWorkerIdBytes = 256;
constexpr size_t kMaxErrorBytes = 4096;

template <typename Request>
ShardLease LeaseOf(const Request& request) {
  ShardLease lease;
  lease.job_id = request.job_id();
  lease.shard = request.shard();
  lease.token = request.fencing_token();
  return lease;
}

// Waits without a thread. What is shared with the waiting callback outlives
// both; `reactor` is null once the call is over.
class LeaseReactor : public grpc::ServerUnaryReactor {
 public:
  LeaseReactor(JobManager* jobs, grpc::CallbackServerContext* call,
               const worker::v1::LeaseShardRequest& request,
               worker::v1::LeaseShardResponse* response)
      : jobs_(jobs), state_(std::make_shared<State>()) {
    state_->reactor = this;
    LeaseQuery query;
    query.worker_id = request.worker_id();
    query.model_ids.assign(request.model_ids().begin(),
                           request.model_ids().end());
    query.preferred_job_id = request.preferred_job_id();
    query.preferred_shard = request.preferred_shard();
    const absl::Duration wait = std::clamp(FromProtoDuration(request.wait()),
                                           absl::ZeroDuration(), kMaxLeaseWait);
    // This object may be gone when LeaseShard returns.
    std::shared_ptr<State> state = state_;
    const uint64_t id =
        jobs->LeaseShard(query, wait, [state, call, response](auto answer) {
          absl::MutexLock lock(&state->mutex);
          if (state->reactor == nullptr || state->finished ||
              call->IsCancelled()) {
            return false;
          }
          if (answer.ok()) *response = *std::move(answer);
          state->Finish(WithRetryHint(call, answer.status()));
          return true;
        });
    absl::MutexLock lock(&state->mutex);
    state->wait_id = id;
    if (state->finished && id != 0) jobs->CancelWait(id);
  }

  void OnCancel() override {
    uint64_t id;
    {
      absl::MutexLock lock(&state_->mutex);
      id = state_->wait_id;
    }
    if (id != 0) jobs_->CancelWait(id);
    absl::MutexLock lock(&state_->mutex);
    state_->Finish(grpc::Status(grpc::StatusCode::CANCELLED,
                                "the worker cancelled the call"));
  }
  void OnDone() override {
    {
      absl::MutexLock lock(&state_->mutex);
      state_->reactor = nullptr;
    }
    delete this;
  }

 private:
  struct State {
    absl::Mutex mutex;
    LeaseReactor* reactor ABSL_GUARDED_BY(mutex) = nullptr;
    bool finished ABSL_GUARDED_BY(mutex) = false;
    uint64_t wait_id ABSL_GUARDED_BY(mutex) = 0;

    void Finish(const grpc::Status& status) {
      if (finished || reactor == nullptr) return;
      finished = true;
      reactor->Finish(status);
    }
  };

  JobManager* const jobs_;
  const std::shared_ptr<State> state_;
};

}  // namespace

grpc::ServerUnaryReactor* WorkerService::LeaseShard(
    grpc::CallbackServerContext* call,
    const worker::v1::LeaseShardRequest* request,
    worker::v1::LeaseShardResponse* response) {
  if (request->worker_id().empty() ||
      request->worker_id().size() > kMaxWorkerIdBytes) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(ToGrpcStatus(absl::InvalidArgumentError(
        absl::StrCat("worker_id: expected 1 to ", kMaxWorkerIdBytes,
                     " bytes, found ", request->worker_id().size()))));
    return reactor;
  }
  return new LeaseReactor(context_.jobs, call, *request, response);
}

// No disk: answered on the spot, so that a busy pool does not cost leases.
grpc::ServerUnaryReactor* WorkerService::RenewLease(
    grpc::CallbackServerContext* call,
    const worker::v1::RenewLeaseRequest* request,
    worker::v1::RenewLeaseResponse* response) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  absl::StatusOr<bool> cancelled =
      context_.jobs->Renew(LeaseOf(*request), request->instructions_done());
  if (cancelled.ok()) response->set_cancelled(*cancelled);
  reactor->Finish(ToGrpcStatus(cancelled.status()));
  return reactor;
}

grpc::ServerUnaryReactor* WorkerService::CompleteShard(
    grpc::CallbackServerContext* call,
    const worker::v1::CompleteShardRequest* request,
    worker::v1::CompleteShardResponse* response) {
  return RunOnPool(*context_.pool, call, [=]() -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(
        const bool finished,
        context_.jobs->CompleteShard(LeaseOf(*request), *request));
    response->set_job_finished(finished);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WorkerService::FailShard(
    grpc::CallbackServerContext* call,
    const worker::v1::FailShardRequest* request, google::protobuf::Empty*) {
  return RunOnPool(*context_.pool, call, [=] {
    return context_.jobs->FailShard(LeaseOf(*request),
                                    request->error().substr(0, kMaxErrorBytes),
                                    request->permanent(), request->released());
  });
}

grpc::ServerWriteReactor<worker::v1::ReadTraceResponse>*
WorkerService::ReadTrace(grpc::CallbackServerContext* call,
                         const worker::v1::ReadTraceRequest* request) {
  return NewBlobStream<worker::v1::ReadTraceResponse>(
      context_, call, request->offset(),
      [registry = context_.registry,
       id = request->trace_id()]() -> absl::StatusOr<BlobList> {
        PERFVEC_ASSIGN_OR_RETURN(storage::v1::TraceRecord record,
                                 registry->GetTrace(id));
        BlobList list;
        list.label = absl::StrCat("trace ", id);
        list.size_bytes = record.trace().size_bytes();
        list.chunk_size_bytes = record.chunk_size_bytes();
        list.digests.assign(record.chunk_sha256().begin(),
                            record.chunk_sha256().end());
        return list;
      },
      &context_.metrics->trace_read_bytes());
}

}  // namespace perfvec::server
