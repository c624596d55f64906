#include "server/security/tenants.h"

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/security/rpc_guard.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kDefaultTenant[] = "default";
constexpr bool kChanged = true;

const NamedThing kThings[] = {
    {"perfvec.v1.CreateProgramRequest", "name", NamedThing::kProgram, kChanged},
    {"perfvec.v1.CreateProgramRequest", "trace_id", NamedThing::kTrace},
    {"perfvec.v1.GetProgramRequest", "program", NamedThing::kProgram},
    {"perfvec.v1.ListProgramsRequest", "", NamedThing::kNothing},
    {"perfvec.v1.UpdateProgramRequest", "program", NamedThing::kProgram,
     kChanged},
    {"perfvec.v1.DeleteProgramRequest", "program", NamedThing::kProgram,
     kChanged},
    {"perfvec.v1.RepresentProgramRequest", "program", NamedThing::kProgram,
     kChanged},
    {"perfvec.v1.AnalyzeProgramRequest", "program", NamedThing::kProgram},
    {"perfvec.v1.AnalyzeProgramRequest", "architectures",
     NamedThing::kArchitecture},
    {"perfvec.v1.GetProgramPartsRequest", "program", NamedThing::kProgram},
    {"perfvec.v1.CreateArchitectureRequest", "architecture.name",
     NamedThing::kArchitecture, kChanged},
    {"perfvec.v1.GetArchitectureRequest", "architecture",
     NamedThing::kArchitecture},
    {"perfvec.v1.ListArchitecturesRequest", "", NamedThing::kNothing},
    {"perfvec.v1.UpdateArchitectureRequest", "architecture",
     NamedThing::kArchitecture, kChanged},
    {"perfvec.v1.DeleteArchitectureRequest", "architecture",
     NamedThing::kArchitecture, kChanged},
    {"perfvec.v1.LearnArchitectureRequest", "architecture.name",
     NamedThing::kArchitecture, kChanged},
    {"perfvec.v1.LearnArchitectureRequest", "runs.program",
     NamedThing::kProgram},
    {"perfvec.v1.ExploreDesignSpaceRequest", "programs.program",
     NamedThing::kProgram},
    {"perfvec.v1.ExploreDesignSpaceRequest", "samples.architecture",
     NamedThing::kArchitecture},
    // Whose content it is, the uploads decide.
    {"perfvec.v1.BeginUploadRequest", "", NamedThing::kNothing},
    {"perfvec.v1.GetUploadRequest", "upload_id", NamedThing::kUpload},
    {"perfvec.v1.WriteUploadRequest", "header.upload_id", NamedThing::kUpload,
     kChanged},
    {"perfvec.v1.FinishUploadRequest", "upload_id", NamedThing::kUpload,
     kChanged},
    {"perfvec.v1.AbortUploadRequest", "upload_id", NamedThing::kUpload,
     kChanged},
    {"perfvec.v1.GetTraceRequest", "trace_id", NamedThing::kTrace},
    {"perfvec.v1.PredictRequest", "program", NamedThing::kProgram},
    {"perfvec.v1.PredictRequest", "architecture", NamedThing::kArchitecture},
    {"perfvec.v1.PredictBatchRequest", "requests.program",
     NamedThing::kProgram},
    {"perfvec.v1.PredictBatchRequest", "requests.architecture",
     NamedThing::kArchitecture},
    {"perfvec.v1.PredictMatrixRequest", "programs", NamedThing::kProgram},
    {"perfvec.v1.PredictMatrixRequest", "architectures",
     NamedThing::kArchitecture},
    {"perfvec.v1.RankRequest", "program", NamedThing::kProgram},
    {"perfvec.v1.RankRequest", "architecture", NamedThing::kArchitecture},
    // Architectures for a program, programs for an architecture: the same rule.
    {"perfvec.v1.RankRequest", "candidates", NamedThing::kArchitecture},
    {"perfvec.v1.GetJobRequest", "job_id", NamedThing::kJob},
    {"perfvec.v1.ListJobsRequest", "", NamedThing::kNothing},
    {"perfvec.v1.CancelJobRequest", "job_id", NamedThing::kJob, kChanged},
    {"perfvec.v1.GetServerStatusRequest", "", NamedThing::kNothing},
};

struct Row {
  NamedThing thing;
  std::vector<const FieldDescriptor*> path;
};
using Rows =
    absl::flat_hash_map<const google::protobuf::Descriptor*, std::vector<Row>>;

const Rows& RowsByRequest() {
  static const auto* const kRows = [] {
    auto* rows = new Rows;
    for (const NamedThing& thing : kThings) {
      const auto* type = google::protobuf::DescriptorPool::generated_pool()
                             ->FindMessageTypeByName(thing.request);
      // Not in this program, so that no such request can come.
      if (type == nullptr) continue;
      std::vector<Row>& of = (*rows)[type];
      if (thing.what == NamedThing::kNothing) continue;
      Row row{thing, {}};
      for (absl::string_view name : absl::StrSplit(thing.field, '.')) {
        row.path.push_back(type->FindFieldByName(std::string(name)));
        type = row.path.back()->message_type();
      }
      of.push_back(std::move(row));
    }
    return rows;
  }();
  return *kRows;
}

// Calls `visit` with each text at the end of `path`, until it fails.
template <typename Visit>
absl::Status ForEachText(const Message& message,
                         absl::Span<const FieldDescriptor* const> path,
                         const Visit& visit) {
  const auto& reflection = *message.GetReflection();
  const FieldDescriptor* field = path[0];
  const bool last = path.size() == 1;
  std::string scratch;
  if (!field->is_repeated()) {
    return last ? visit(reflection.GetStringReference(message, field, &scratch))
                : ForEachText(reflection.GetMessage(message, field),
                              path.subspan(1), visit);
  }
  for (int i = 0, n = reflection.FieldSize(message, field); i < n; ++i) {
    PERFVEC_RETURN_IF_ERROR(
        last ? visit(reflection.GetRepeatedStringReference(message, field, i,
                                                           &scratch))
             : ForEachText(reflection.GetRepeatedMessage(message, field, i),
                           path.subspan(1), visit));
  }
  return absl::OkStatus();
}

const char* WordFor(NamedThing::What what) {
  return what == NamedThing::kProgram ? "program" : "architecture";
}

absl::Status NotTheirs(absl::string_view what, absl::string_view name,
                       const Scope& scope) {
  return absl::PermissionDeniedError(absl::StrCat(
      what, " '", name, "' is everybody's: the tenant '", scope.tenant(),
      "' changes only what is its own, with a name such as '", scope.tenant(),
      "~zlib'"));
}

}  // namespace

absl::Span<const NamedThing> NamedThings() { return kThings; }

Scope ScopeOf(const Token& token) {
  std::string tenant = token.tenant == kDefaultTenant ? "" : token.tenant;
  const bool all = token.role == Role::kAdmin ||
                   (tenant.empty() && token.role == Role::kOperator);
  return Scope(std::move(tenant), all);
}

absl::StatusOr<Scope> Tenants::Enter(const grpc::CallbackServerContext& call,
                                     const Message& request) const {
  const auto& metadata = call.client_metadata();
  const auto found = metadata.find(kAuthorizationMetadata);
  PERFVEC_ASSIGN_OR_RETURN(
      const Token token,
      guard_->Caller(
          found == metadata.end()
              ? absl::string_view()
              : absl::string_view(found->second.data(), found->second.size())));
  Scope scope = ScopeOf(token);
  PERFVEC_RETURN_IF_ERROR(Check(scope, request));
  return scope;
}

absl::Status Tenants::Check(const Scope& scope, const Message& request) const {
  if (scope.all()) return absl::OkStatus();
  const auto rows = RowsByRequest().find(request.GetDescriptor());
  if (rows == RowsByRequest().end()) {
    return absl::PermissionDeniedError(
        "this call is for admins, and operators of the tenant default");
  }
  for (const Row& row : rows->second) {
    PERFVEC_RETURN_IF_ERROR(
        ForEachText(request, row.path, [&](const std::string& name) {
          return CheckOne(scope, row.thing, name);
        }));
  }
  return absl::OkStatus();
}

absl::Status Tenants::CheckOne(const Scope& scope, const NamedThing& thing,
                               const std::string& name) const {
  // The service says what it expects of a name.
  if (name.empty()) return absl::OkStatus();
  switch (thing.what) {
    case NamedThing::kNothing:
      return absl::OkStatus();
    case NamedThing::kProgram:
    case NamedThing::kArchitecture: {
      const std::string shown = absl::CHexEscape(name.substr(0, 160));
      if (!scope.Sees(name)) {
        return absl::NotFoundError(
            absl::StrCat(WordFor(thing.what), " '", shown,
                         "': not found, or another tenant's"));
      }
      if (!thing.changed || scope.Owns(name)) return absl::OkStatus();
      return NotTheirs(WordFor(thing.what), shown, scope);
    }
    case NamedThing::kJob: {
      const absl::StatusOr<v1::Job> job = registry_->GetJob(name);
      // The service says so in the words below.
      if (absl::IsNotFound(job.status())) return absl::OkStatus();
      PERFVEC_RETURN_IF_ERROR(job.status());
      if (!scope.Sees(job->program_name())) {
        return absl::NotFoundError(absl::StrCat("job '", name, "': not found"));
      }
      if (!thing.changed || scope.Owns(job->program_name())) {
        return absl::OkStatus();
      }
      return NotTheirs("job", name, scope);
    }
    case NamedThing::kTrace: {
      PERFVEC_ASSIGN_OR_RETURN(const bool holds,
                               registry_->HoldsTrace(scope.tenant(), name));
      if (holds) return absl::OkStatus();
      return absl::NotFoundError(absl::StrCat("trace '", name, "': not found"));
    }
    case NamedThing::kUpload: {
      const absl::StatusOr<std::string> owner = owner_of_upload_(name);
      if (owner.ok() && *owner == scope.tenant()) return absl::OkStatus();
      // A repeated FinishUpload is answered with the trace.
      const size_t dash = name.find('-');
      PERFVEC_ASSIGN_OR_RETURN(
          const bool holds,
          registry_->HoldsTrace(scope.tenant(), name.substr(0, dash)));
      if (!owner.ok() && holds) return absl::OkStatus();
      return absl::NotFoundError(absl::StrCat(
          "no upload \"", absl::CHexEscape(name.substr(0, 100)),
          "\": it was finished, aborted or expired; begin again, what is there "
          "already is not asked for twice"));
    }
  }
  return absl::InternalError("a named thing of no kind");
}

}  // namespace perfvec::server
