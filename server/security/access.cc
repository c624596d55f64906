#include "server/security/access.h"

#include <iterator>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace perfvec::server {
namespace {

constexpr Role kAnyone = Role::kAnyone, kReader = Role::kReader,
               kUploader = Role::kUploader, kOperator = Role::kOperator,
               kAdmin = Role::kAdmin, kWorker = Role::kWorker;

// path, least role, workers too, audited, object
const Access kTable[] = {
    {"/perfvec.v1.ProgramService/CreateProgram", kUploader, false, true,
     "name"},
    {"/perfvec.v1.ProgramService/GetProgram", kReader, false, false, ""},
    {"/perfvec.v1.ProgramService/ListPrograms", kReader, false, false, ""},
    {"/perfvec.v1.ProgramService/UpdateProgram", kOperator, false, true,
     "program"},
    {"/perfvec.v1.ProgramService/DeleteProgram", kOperator, false, true,
     "program"},
    {"/perfvec.v1.ProgramService/RepresentProgram", kUploader, false, true,
     "program"},
    {"/perfvec.v1.AnalysisService/AnalyzeProgram", kReader, false, false, ""},
    {"/perfvec.v1.AnalysisService/GetProgramParts", kReader, false, false, ""},
    {"/perfvec.v1.ArchitectureService/CreateArchitecture", kOperator, false,
     true, "architecture.name"},
    {"/perfvec.v1.ArchitectureService/GetArchitecture", kReader, false, false,
     ""},
    {"/perfvec.v1.ArchitectureService/ListArchitectures", kReader, false, false,
     ""},
    {"/perfvec.v1.ArchitectureService/UpdateArchitecture", kOperator, false,
     true, "architecture"},
    {"/perfvec.v1.ArchitectureService/DeleteArchitecture", kOperator, false,
     true, "architecture"},
    {"/perfvec.v1.LearningService/LearnArchitecture", kOperator, false, true,
     "architecture.name"},
    {"/perfvec.v1.ExplorationService/ExploreDesignSpace", kReader, false, false,
     ""},
    {"/perfvec.v1.ModelService/CreateModel", kAdmin, false, true,
     "header.name"},
    {"/perfvec.v1.ModelService/GetModel", kReader, true, false, ""},
    {"/perfvec.v1.ModelService/ListModels", kReader, true, false, ""},
    {"/perfvec.v1.ModelService/UpdateModel", kAdmin, false, true, "model"},
    {"/perfvec.v1.ModelService/DeleteModel", kAdmin, false, true, "model"},
    {"/perfvec.v1.ModelService/ReadModelWeights", kReader, true, false, ""},
    {"/perfvec.v1.TraceService/BeginUpload", kUploader, false, true, "sha256"},
    {"/perfvec.v1.TraceService/GetUpload", kUploader, false, false, ""},
    {"/perfvec.v1.TraceService/WriteUpload", kUploader, false, true,
     "header.upload_id"},
    {"/perfvec.v1.TraceService/FinishUpload", kUploader, false, true,
     "upload_id"},
    {"/perfvec.v1.TraceService/AbortUpload", kUploader, false, true,
     "upload_id"},
    {"/perfvec.v1.TraceService/GetTrace", kReader, false, false, ""},
    {"/perfvec.v1.PredictionService/Predict", kReader, false, false, ""},
    {"/perfvec.v1.PredictionService/PredictBatch", kReader, false, false, ""},
    {"/perfvec.v1.PredictionService/PredictMatrix", kReader, false, false, ""},
    {"/perfvec.v1.PredictionService/Rank", kReader, false, false, ""},
    {"/perfvec.v1.JobService/GetJob", kReader, false, false, ""},
    {"/perfvec.v1.JobService/ListJobs", kReader, false, false, ""},
    {"/perfvec.v1.JobService/WatchJob", kReader, false, false, ""},
    {"/perfvec.v1.JobService/CancelJob", kOperator, false, true, "job_id"},
    {"/perfvec.v1.ServerService/GetServerStatus", kReader, false, false, ""},
    {"/perfvec.v1.ServerService/CreateBackup", kAdmin, false, true,
     "directory"},
    // Leases are asked for and renewed all the time and change no result.
    {"/perfvec.worker.v1.WorkerService/LeaseShard", kWorker, true, false, ""},
    {"/perfvec.worker.v1.WorkerService/RenewLease", kWorker, true, false, ""},
    {"/perfvec.worker.v1.WorkerService/CompleteShard", kWorker, true, true,
     "job_id"},
    {"/perfvec.worker.v1.WorkerService/FailShard", kWorker, true, true,
     "job_id"},
    {"/perfvec.worker.v1.WorkerService/ReadTrace", kWorker, true, false, ""},
    // gRPC's own.
    {"/grpc.health.v1.Health/Check", kAnyone, false, false, ""},
    {"/grpc.health.v1.Health/Watch", kAnyone, false, false, ""},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kReader,
     false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetTopChannels", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetServers", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetServer", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetServerSockets", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetChannel", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetSubchannel", kAdmin, false, false, ""},
    {"/grpc.channelz.v1.Channelz/GetSocket", kAdmin, false, false, ""},
    // Of HTTP alone; the web page holds no data and is for anyone.
    {"/metrics", kReader, false, false, ""},
};

constexpr absl::string_view kRoles[] = {"anyone",   "reader", "uploader",
                                        "operator", "admin",  "worker"};

}  // namespace

absl::Span<const Access> AccessTable() { return kTable; }

const Access* FindAccess(absl::string_view path) {
  static const auto* const kByPath = [] {
    auto* map = new absl::flat_hash_map<absl::string_view, const Access*>;
    for (const Access& access : kTable) map->emplace(access.path, &access);
    return map;
  }();
  const auto found = kByPath->find(path);
  return found == kByPath->end() ? nullptr : found->second;
}

bool Allows(const Access* access, Role role) {
  if (role == kAdmin) return true;
  if (access == nullptr) return false;
  if (access->least == kAnyone) return true;
  if (role == kWorker) return access->worker;
  return access->least != kWorker && role >= access->least;
}

absl::string_view RoleName(Role role) { return kRoles[static_cast<int>(role)]; }

absl::StatusOr<Role> ParseRole(absl::string_view name) {
  for (size_t i = 1; i < std::size(kRoles); ++i) {
    if (kRoles[i] == name) return static_cast<Role>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "role: expected reader, uploader, operator, admin or worker, found '",
      name, "'"));
}

}  // namespace perfvec::server
