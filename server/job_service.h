// JobService and ServerService: shells over the jobs and the registry.
//
// Owned by ServerCore; gRPC calls them from its own threads. A watcher that
// reads slowly sees the latest state only: one message is on its way, and one
// is kept, whatever happens meanwhile.
//
//   JobService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_JOB_SERVICE_H_
#define PERFVEC_SERVER_JOB_SERVICE_H_

#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "perfvec/v1/job_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

class JobService final : public v1::JobService::CallbackService {
 public:
  explicit JobService(ServiceContext context);
  ~JobService() override;

  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* call,
                                   const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* call,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerWriteReactor<v1::Job>* WatchJob(
      grpc::CallbackServerContext* call,
      const v1::GetJobRequest* request) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* call,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  // Ends the watches whose time is up at `now`.
  void EndWatches(absl::Time now, const absl::Status& status);

 private:
  class WatchReactor;
  struct Watches;  // the open ones
  const ServiceContext context_;
  const std::shared_ptr<Watches> watches_;
};

class ServerService final : public v1::ServerService::CallbackService {
 public:
  ServerService(ServiceContext context, std::string version);

  grpc::ServerUnaryReactor* GetServerStatus(
      grpc::CallbackServerContext* call,
      const v1::GetServerStatusRequest* request,
      v1::ServerStatus* response) override;
  grpc::ServerUnaryReactor* CreateBackup(
      grpc::CallbackServerContext* call, const v1::CreateBackupRequest* request,
      v1::CreateBackupResponse* response) override;

 private:
  const ServiceContext context_;
  const std::string version_;
  const absl::Time start_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_JOB_SERVICE_H_
