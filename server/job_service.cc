#include "server/job_service.h"

#include <grpcpp/alarm.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/status.h"
#include "server/call.h"
#include "server/job_manager.h"
#include "server/times.h"
#include "storage/backup.h"
#include "storage/registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {

// The state is shared by the reactor, which goes when the call is done, and the
// watch callback, which may be running just then.
class JobService::WatchReactor : public grpc::ServerWriteReactor<v1::Job> {
 public:
  struct State {
    absl::Mutex mutex;
    WatchReactor* reactor ABSL_GUARDED_BY(mutex) = nullptr;  // null: done
    v1::Job writing ABSL_GUARDED_BY(mutex);
    std::optional<v1::Job> latest ABSL_GUARDED_BY(mutex);
    bool write_pending ABSL_GUARDED_BY(mutex) = false;
    bool finished ABSL_GUARDED_BY(mutex) = false;
    uint64_t watch_id ABSL_GUARDED_BY(mutex) = 0;
    absl::Time deadline ABSL_GUARDED_BY(mutex);

    // The three below: with the mutex held; gRPC queues, it does not call back
    // on this thread.
    void Offer(v1::Job job) {
      if (reactor == nullptr || finished) return;
      // Changes may be told out of order.
      const v1::Job& before = latest ? *latest : writing;
      if (job.revision() < before.revision()) return;
      latest = std::move(job);
      if (!write_pending) WriteLatest();
    }
    void WriteLatest() {
      writing = *std::move(latest);
      latest.reset();
      write_pending = true;
      reactor->StartWrite(&writing);
    }
    void Finish(const grpc::Status& status) {
      if (finished || reactor == nullptr) return;
      finished = true;
      reactor->Finish(status);
    }
  };

  WatchReactor(const ServiceContext& context, std::shared_ptr<Watches> watches,
               grpc::CallbackServerContext* call,
               const v1::GetJobRequest* request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override {
    absl::MutexLock lock(&state_->mutex);
    state_->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
  }
  void OnDone() override;

 private:
  static void Begin(JobManager* jobs, const std::shared_ptr<State>& state,
                    grpc::CallbackServerContext* call,
                    const std::string& job_id);

  JobManager* const jobs_;
  const std::shared_ptr<Watches> watches_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

struct JobService::Watches {
  absl::Mutex mutex;
  std::set<std::shared_ptr<WatchReactor::State>> open ABSL_GUARDED_BY(mutex);
};

JobService::WatchReactor::WatchReactor(const ServiceContext& context,
                                       std::shared_ptr<Watches> watches,
                                       grpc::CallbackServerContext* call,
                                       const v1::GetJobRequest* request)
    : jobs_(context.jobs), watches_(std::move(watches)) {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->reactor = this;
    state_->deadline = CallDeadline(*call, kMaxStreamTime);
  }
  {
    absl::MutexLock lock(&watches_->mutex);
    watches_->open.insert(state_);
  }
  // Here, at the price of a look into the registry on gRPC's thread: when the
  // pool's turn comes, the call may be gone, and who made it with it.
  absl::Status admitted = Enter(context.gate, *call, *request).status();
  if (admitted.ok()) {
    admitted = context.pool->Submit(
        [jobs = jobs_, state = state_, call, job_id = request->job_id()] {
          Begin(jobs, state, call, job_id);
        });
  }
  if (!admitted.ok()) {
    absl::MutexLock lock(&state_->mutex);
    state_->Finish(WithRetryHint(call, admitted));
  }
}

// The call may end at any time, and the reactor and the context with it: they
// are there while the state says so under its mutex.
void JobService::WatchReactor::Begin(JobManager* jobs,
                                     const std::shared_ptr<State>& state,
                                     grpc::CallbackServerContext* call,
                                     const std::string& job_id) {
  // First listen, then look: no change is missed.
  absl::StatusOr<uint64_t> id =
      jobs->Watch(job_id, [state](const v1::Job& job) {
        absl::MutexLock lock(&state->mutex);
        state->Offer(job);
      });
  absl::StatusOr<v1::Job> job =
      id.ok() ? jobs->GetJob(job_id) : absl::StatusOr<v1::Job>(id.status());
  absl::MutexLock lock(&state->mutex);
  const bool gone = state->reactor == nullptr || state->finished;
  if (id.ok() && (gone || !job.ok())) jobs->Unwatch(*id);
  if (gone) return;
  if (!job.ok()) {
    state->Finish(WithRetryHint(call, job.status()));
    return;
  }
  state->watch_id = *id;
  state->Offer(*std::move(job));
}

void JobService::WatchReactor::OnWriteDone(bool ok) {
  absl::MutexLock lock(&state_->mutex);
  state_->write_pending = false;
  if (!ok) {
    state_->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "client left"));
  } else if (state_->latest) {
    if (!state_->finished) state_->WriteLatest();
  } else if (IsFinished(state_->writing.state())) {
    state_->Finish(grpc::Status::OK);
  }
}

void JobService::WatchReactor::OnDone() {
  uint64_t id;
  {
    absl::MutexLock lock(&state_->mutex);
    state_->reactor = nullptr;
    id = state_->watch_id;
  }
  if (id != 0) jobs_->Unwatch(id);
  {
    absl::MutexLock lock(&watches_->mutex);
    watches_->open.erase(state_);
  }
  delete this;
}

JobService::JobService(ServiceContext context)
    : context_(std::move(context)), watches_(std::make_shared<Watches>()) {}
JobService::~JobService() = default;

grpc::ServerUnaryReactor* JobService::GetJob(grpc::CallbackServerContext* call,
                                             const v1::GetJobRequest* request,
                                             v1::Job* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.jobs->GetJob(request->job_id()), response);
      });
}

grpc::ServerUnaryReactor* JobService::ListJobs(
    grpc::CallbackServerContext* call, const v1::ListJobsRequest* request,
    v1::ListJobsResponse* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope& scope) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(
            auto page, context_.registry->ListJobs(*request, scope.viewer()));
        for (v1::Job& job : page.items) {
          context_.jobs->AddProgress(&job);
          *response->add_jobs() = std::move(job);
        }
        response->set_next_page_token(std::move(page.next_page_token));
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<v1::Job>* JobService::WatchJob(
    grpc::CallbackServerContext* call, const v1::GetJobRequest* request) {
  return new WatchReactor(context_, watches_, call, request);
}

grpc::ServerUnaryReactor* JobService::CancelJob(
    grpc::CallbackServerContext* call, const v1::CancelJobRequest* request,
    v1::Job* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.jobs->CancelJob(request->job_id()), response);
      });
}

void JobService::EndWatches(absl::Time now, const absl::Status& status) {
  std::set<std::shared_ptr<WatchReactor::State>> open;
  {
    absl::MutexLock lock(&watches_->mutex);
    open = watches_->open;
  }
  for (const auto& state : open) {
    absl::MutexLock lock(&state->mutex);
    if (state->deadline <= now) state->Finish(ToGrpcStatus(status));
  }
}

ServerService::ServerService(ServiceContext context, std::string version)
    : context_(std::move(context)),
      version_(std::move(version)),
      start_(absl::Now()) {}

grpc::ServerUnaryReactor* ServerService::GetServerStatus(
    grpc::CallbackServerContext* call,
    const v1::GetServerStatusRequest* request, v1::ServerStatus* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(storage::Registry::Counts counts,
                                 context_.registry->GetCounts());
        const JobQueue::Stats queue = context_.jobs->GetStats();
        response->set_version(version_);
        *response->mutable_uptime() = ToProtoDuration(absl::Now() - start_);
        response->set_programs(counts.programs);
        response->set_architectures(counts.architectures);
        response->set_models(counts.models);
        response->set_jobs_queued(queue.jobs - queue.jobs_running);
        response->set_jobs_running(queue.jobs_running);
        response->set_workers(queue.workers);
        response->set_trace_bytes(counts.trace_bytes);
        absl::StatusOr<v1::Model> model = context_.registry->GetModel("");
        if (model.ok()) response->set_default_model_id(model->model_id());
        return absl::OkStatus();
      });
}

// A client names the place, so only places under one directory are taken.
grpc::ServerUnaryReactor* ServerService::CreateBackup(
    grpc::CallbackServerContext* call, const v1::CreateBackupRequest* request,
    v1::CreateBackupResponse* response) {
  return RunOnPool(
      *context_.bulk, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        namespace fs = std::filesystem;
        std::error_code error;
        const fs::path root =
            fs::absolute(context_.backup_root, error).lexically_normal();
        const fs::path path =
            (root / fs::path(request->directory())).lexically_normal();
        const fs::path below = path.lexically_relative(root);
        if (below.empty() || below == "." || *below.begin() == "..") {
          return absl::InvalidArgumentError(absl::StrCat(
              "directory: expected a name or a path under ", root.string(),
              " (the server's --backup-root), found \"",
              absl::CHexEscape(request->directory()), "\""));
        }
        fs::create_directories(path.parent_path(), error);
        PERFVEC_ASSIGN_OR_RETURN(
            const storage::BackupSummary summary,
            storage::CreateBackup(*context_.registry, *context_.chunks,
                                  path.string()));
        response->set_directory(path.string());
        response->set_files(summary.files);
        response->set_size_bytes(summary.size_bytes);
        return absl::OkStatus();
      });
}

}  // namespace perfvec::server
