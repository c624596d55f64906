#include "server/architecture_service.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/call.h"
#include "server/predictor.h"
#include "storage/registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

constexpr int kMaxFactorRows = 64;  // as resources.proto says

// What predictions take from a vector beside its values: intervals and flag.
absl::Status CheckSpread(const std::string& name,
                         const v1::ArchitectureVector& vector, int64_t width) {
  const auto& factors = vector.uncertainty().factors();
  if (factors.size() % width != 0 || factors.size() > kMaxFactorRows * width) {
    return absl::InvalidArgumentError(
        absl::StrCat("architecture ", name, ": its uncertainty has ",
                     factors.size(), " elements, expected rows of ", width,
                     ", ", kMaxFactorRows, " at most"));
  }
  for (double f : factors) {
    if (std::isfinite(f)) continue;
    return absl::InvalidArgumentError(absl::StrCat("architecture ", name,
                                                   ": its uncertainty has ", f,
                                                   ", expected numbers"));
  }
  const double noise = vector.learned().noise();
  if (!(noise >= 0) || !std::isfinite(noise)) {
    return absl::InvalidArgumentError(
        absl::StrCat("architecture ", name, ": learned with a noise of ", noise,
                     ", expected a number from 0 on"));
  }
  return absl::OkStatus();
}

absl::Status CheckVectors(const v1::Architecture& architecture,
                          storage::Registry& registry) {
  for (const v1::ArchitectureVector& vector : architecture.vectors()) {
    PERFVEC_ASSIGN_OR_RETURN(v1::Model model,
                             registry.GetModel(vector.model_id()));
    if (vector.model_id() != model.model_id()) {
      return absl::InvalidArgumentError(
          absl::StrCat("architecture ", architecture.name(),
                       ": a vector names its model \"", vector.model_id(),
                       "\", expected a model id such as ", model.model_id()));
    }
    if (vector.values_size() != model.width()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "architecture ", architecture.name(), ": its vector has ",
          vector.values_size(), " elements, model ", model.name(), " expects ",
          model.width()));
    }
    for (int i = 0; i < vector.values_size(); ++i) {
      if (!std::isfinite(vector.values(i))) {
        return absl::InvalidArgumentError(absl::StrCat(
            "architecture ", architecture.name(), ": element ", i,
            " of its vector is ", vector.values(i), ", expected a number"));
      }
    }
    PERFVEC_RETURN_IF_ERROR(
        CheckSpread(architecture.name(), vector, model.width()));
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* ArchitectureService::CreateArchitecture(
    grpc::CallbackServerContext* call,
    const v1::CreateArchitectureRequest* request, v1::Architecture* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope&) -> absl::Status {
        const v1::Architecture& draft = request->architecture();
        PERFVEC_RETURN_IF_ERROR(CheckVectors(draft, *context_.registry));
        absl::MutexLock lock(&context_.names->For(draft.name()));
        PERFVEC_ASSIGN_OR_RETURN(*response,
                                 context_.registry->CreateArchitecture(draft));
        return context_.predictor->AddArchitecture(*response);
      });
}

grpc::ServerUnaryReactor* ArchitectureService::GetArchitecture(
    grpc::CallbackServerContext* call,
    const v1::GetArchitectureRequest* request, v1::Architecture* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(
            context_.registry->GetArchitecture(request->architecture()),
            response);
      });
}

grpc::ServerUnaryReactor* ArchitectureService::ListArchitectures(
    grpc::CallbackServerContext* call,
    const v1::ListArchitecturesRequest* request,
    v1::ListArchitecturesResponse* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request,
      [=](const Scope& scope) -> absl::Status {
        PERFVEC_ASSIGN_OR_RETURN(
            auto page, context_.registry->ListArchitectures(request->page(),
                                                            scope.viewer()));
        for (v1::Architecture& architecture : page.items) {
          architecture.clear_vectors();
          *response->add_architectures() = std::move(architecture);
        }
        response->set_next_page_token(std::move(page.next_page_token));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ArchitectureService::UpdateArchitecture(
    grpc::CallbackServerContext* call,
    const v1::UpdateArchitectureRequest* request, v1::Architecture* response) {
  return RunOnPool(*context_.pool, context_.gate, call, request,
                   [=](const Scope&) -> absl::Status {
                     absl::MutexLock lock(&context_.names->For(
                         RefName(request->architecture())));
                     PERFVEC_ASSIGN_OR_RETURN(
                         *response, context_.registry->UpdateArchitecture(
                                        request->architecture(), *request));
                     return context_.predictor->AddArchitecture(*response);
                   });
}

grpc::ServerUnaryReactor* ArchitectureService::DeleteArchitecture(
    grpc::CallbackServerContext* call,
    const v1::DeleteArchitectureRequest* request, google::protobuf::Empty*) {
  return RunOnPool(*context_.pool, context_.gate, call, request,
                   [=](const Scope&) -> absl::Status {
                     absl::MutexLock lock(&context_.names->For(
                         RefName(request->architecture())));
                     PERFVEC_ASSIGN_OR_RETURN(
                         std::vector<v1::Architecture> deleted,
                         context_.registry->DeleteArchitecture(
                             request->architecture(), request->all_versions()));
                     for (const v1::Architecture& architecture : deleted) {
                       context_.predictor->RemoveArchitecture(
                           architecture.name(), architecture.version());
                     }
                     return absl::OkStatus();
                   });
}

}  // namespace perfvec::server
