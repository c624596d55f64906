#include "server/program_service.h"

#include <set>
#include <string>
#include <utility>

#include "proto/log.h"
#include "server/call.h"
#include "server/job_manager.h"
#include "server/predictor.h"
#include "storage/registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {

grpc::ServerUnaryReactor* ProgramService::CreateProgram(
    grpc::CallbackServerContext* call, const v1::CreateProgramRequest* request,
    v1::CreateProgramResponse* response) {
  return RunOnPool(*context_.pool, context_.gate, call, request,
                   [=](const Scope&) { return Create(*request, response); });
}

absl::Status ProgramService::Create(const v1::CreateProgramRequest& request,
                                    v1::CreateProgramResponse* response) {
  storage::Registry& registry = *context_.registry;
  PERFVEC_ASSIGN_OR_RETURN(storage::v1::TraceRecord trace,
                           registry.GetTrace(request.trace_id()));
  std::vector<v1::Job> drafts;
  if (!request.skip_represent()) {
    std::set<std::string> model_ids;
    std::vector<std::string> refs(request.models().begin(),
                                  request.models().end());
    const bool by_default = refs.empty();
    if (by_default) refs.push_back("");
    for (const std::string& ref : refs) {
      absl::StatusOr<v1::Model> model = registry.GetModel(ref);
      if (by_default && absl::IsNotFound(model.status())) break;
      PERFVEC_RETURN_IF_ERROR(model.status());
      if (!model_ids.insert(model->model_id()).second) continue;
      PERFVEC_ASSIGN_OR_RETURN(
          v1::Job job, context_.jobs->Plan(trace, *model, request.parts()));
      job.set_request_id(std::string(LogScope::CurrentRequestId()));
      drafts.push_back(std::move(job));
    }
  }
  v1::Program draft;
  draft.set_name(request.name());
  draft.set_trace_id(request.trace_id());
  *draft.mutable_tags() = request.tags();
  *draft.mutable_aliases() = request.aliases();
  absl::MutexLock lock(&context_.names->For(request.name()));
  PERFVEC_ASSIGN_OR_RETURN(
      storage::CreatedProgram created,
      registry.CreateProgram(std::move(draft), std::move(drafts),
                             request.has_parts()));
  PERFVEC_RETURN_IF_ERROR(context_.predictor->AddProgram(created.program));
  for (v1::Job& job : created.jobs) {
    PERFVEC_RETURN_IF_ERROR(context_.jobs->Admit(job));
    *response->add_jobs() = std::move(job);
  }
  *response->mutable_program() = std::move(created.program);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ProgramService::GetProgram(
    grpc::CallbackServerContext* call, const v1::GetProgramRequest* request,
    v1::Program* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.registry->GetProgram(request->program()),
                      response);
      });
}

grpc::ServerUnaryReactor* ProgramService::ListPrograms(
    grpc::CallbackServerContext* call, const v1::ListProgramsRequest* request,
    v1::ListProgramsResponse* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope& scope) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(
            auto page,
            context_.registry->ListPrograms(request->page(), scope.viewer()));
        for (v1::Program& program : page.items) {
          *response->add_programs() = std::move(program);
        }
        response->set_next_page_token(std::move(page.next_page_token));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ProgramService::UpdateProgram(
    grpc::CallbackServerContext* call, const v1::UpdateProgramRequest* request,
    v1::Program* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        absl::MutexLock lock(&context_.names->For(RefName(request->program())));
        PERFVEC_ASSIGN_OR_RETURN(
            *response, context_.registry->UpdateProgram(request->program(),
                                                        request->update()));
        return context_.predictor->AddProgram(*response);
      });
}

grpc::ServerUnaryReactor* ProgramService::DeleteProgram(
    grpc::CallbackServerContext* call, const v1::DeleteProgramRequest* request,
    google::protobuf::Empty*) {
  return RunOnPool(*context_.pool, context_.gate, call, request,
                   [=](const Scope&) -> absl::Status {
                     {
                       absl::MutexLock lock(
                           &context_.names->For(RefName(request->program())));
                       PERFVEC_ASSIGN_OR_RETURN(
                           std::vector<v1::Program> deleted,
                           context_.registry->DeleteProgram(
                               request->program(), request->all_versions()));
                       for (const v1::Program& program : deleted) {
                         context_.predictor->RemoveProgram(program.name(),
                                                           program.version());
                       }
                       context_.jobs->ProgramsDeleted(deleted);
                     }
                     context_.collect_garbage();
                     return absl::OkStatus();
                   });
}

grpc::ServerUnaryReactor* ProgramService::RepresentProgram(
    grpc::CallbackServerContext* call,
    const v1::RepresentProgramRequest* request, v1::Job* response) {
  return RunOnPool(*context_.pool, context_.gate, call, request,
                   [=](const Scope&) { return Represent(*request, response); });
}

absl::Status ProgramService::Represent(
    const v1::RepresentProgramRequest& request, v1::Job* response) {
  storage::Registry& registry = *context_.registry;
  PERFVEC_ASSIGN_OR_RETURN(v1::Program program,
                           registry.GetProgram(request.program()));
  PERFVEC_ASSIGN_OR_RETURN(v1::Model model, registry.GetModel(request.model()));
  PERFVEC_ASSIGN_OR_RETURN(storage::v1::TraceRecord trace,
                           registry.GetTrace(program.trace_id()));
  PERFVEC_ASSIGN_OR_RETURN(v1::Job draft,
                           context_.jobs->Plan(trace, model, request.parts()));
  draft.set_request_id(std::string(LogScope::CurrentRequestId()));
  draft.set_program_name(program.name());
  draft.set_program_version(program.version());
  PERFVEC_ASSIGN_OR_RETURN(
      *response, registry.CreateJob(std::move(draft), request.has_parts()));
  PERFVEC_RETURN_IF_ERROR(context_.jobs->Admit(*response));
  context_.jobs->AddProgress(response);
  return absl::OkStatus();
}

}  // namespace perfvec::server
