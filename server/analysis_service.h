// AnalysisService: where a program's time goes, from the vectors of its parts.
//
// Owned by ServerCore; gRPC calls it from its own threads. Work runs on the
// pool: it reads up to 2 MiB of vectors from the registry. See
// proto/perfvec/v1/analysis_service.proto for the contract.
//
//   AnalysisService service(context);
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_ANALYSIS_SERVICE_H_
#define PERFVEC_SERVER_ANALYSIS_SERVICE_H_

#include "perfvec/v1/analysis_service.grpc.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

inline constexpr int kMaxAnalyzedArchitectures = 16;
inline constexpr int kMaxPhases = 64;
// Tried where the request names no number.
inline constexpr int kMostChosenPhases = 10;

class AnalysisService final : public v1::AnalysisService::CallbackService {
 public:
  explicit AnalysisService(ServiceContext context)
      : context_(std::move(context)) {}

  grpc::ServerUnaryReactor* AnalyzeProgram(
      grpc::CallbackServerContext* call,
      const v1::AnalyzeProgramRequest* request,
      v1::AnalyzeProgramResponse* response) override;
  grpc::ServerUnaryReactor* GetProgramParts(
      grpc::CallbackServerContext* call,
      const v1::GetProgramPartsRequest* request,
      v1::ProgramParts* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_ANALYSIS_SERVICE_H_
