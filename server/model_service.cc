#include "server/model_service.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/blob_stream.h"
#include "server/call.h"
#include "server/model_import.h"
#include "server/predictor.h"
#include "server/receive_stream.h"
#include "storage/registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

class CreateStream final : public ReceiveStream<v1::CreateModelRequest> {
 public:
  CreateStream(const ServiceContext& context, grpc::CallbackServerContext* call,
               v1::Model* response)
      : ReceiveStream(context, call), context_(context), response_(response) {}

 protected:
  absl::Status Handle(v1::CreateModelRequest& request) override {
    if (request.has_header()) return Open(*request.mutable_header());
    if (directory_.empty()) {
      return absl::InvalidArgumentError(
          "CreateModel: expected a header first, then weights");
    }
    const std::string& bytes = request.weights();
    received_ += bytes.size();
    if (bytes.size() > kMaxDataBytes ||
        received_ > header_.weights_size_bytes()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "CreateModel: expected ", header_.weights_size_bytes(),
          " bytes of weights in messages of at most ", kMaxDataBytes,
          ", found one of ", bytes.size(), " that leads to ", received_));
    }
    weights_.write(bytes.data(), bytes.size());
    return Written();
  }

  absl::Status End() override {
    if (directory_.empty()) {
      return absl::InvalidArgumentError("CreateModel: no header was sent");
    }
    if (received_ != header_.weights_size_bytes()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "CreateModel: the header declares ", header_.weights_size_bytes(),
          " bytes of weights, ", received_, " came"));
    }
    weights_.close();
    PERFVEC_RETURN_IF_ERROR(Written());
    ModelImport import;
    import.directory = directory_;
    import.name = header_.name();
    import.tags.insert(header_.tags().begin(), header_.tags().end());
    import.aliases.assign(header_.aliases().begin(), header_.aliases().end());
    import.create_architectures = header_.create_architectures();
    return MoveTo(ImportModel(context_, std::move(import)), response_);
  }
  void Cut() override {}

 private:
  ~CreateStream() override {
    std::error_code ignored;  // what stays is removed at the next start
    if (!directory_.empty()) {
      std::filesystem::remove_all(directory_, ignored);
    }
  }

  absl::Status Open(v1::CreateModelRequest::Header& header) {
    if (!directory_.empty()) {
      return absl::InvalidArgumentError("CreateModel: a second header");
    }
    if (header.weights_size_bytes() > kMaxWeightsBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("weights_size_bytes: at most ", kMaxWeightsBytes,
                       ", found ", header.weights_size_bytes()));
    }
    std::string path =
        absl::StrCat(context_.temporary_directory, "/model-XXXXXX");
    if (mkdtemp(path.data()) == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot make ", path));
    }
    directory_ = path;
    header_ = std::move(header);
    std::ofstream manifest(directory_ + "/manifest.json");
    manifest << header_.manifest_json();
    manifest.close();
    weights_.open(directory_ + "/model.safetensors", std::ios::binary);
    if (!manifest) weights_.setstate(std::ios::failbit);
    return Written();
  }
  absl::Status Written() {
    if (weights_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write under ", directory_, "; is the disk full?"));
  }

  const ServiceContext context_;
  v1::Model* const response_;
  std::string directory_;
  v1::CreateModelRequest::Header header_;
  std::ofstream weights_;
  uint64_t received_ = 0;
};

}  // namespace

grpc::ServerReadReactor<v1::CreateModelRequest>* ModelService::CreateModel(
    grpc::CallbackServerContext* call, v1::Model* response) {
  return (new CreateStream(context_, call, response))->Start();
}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* call, const v1::GetModelRequest* request,
    v1::Model* response) {
  return RunOnPool(*context_.pool, call, [=] {
    return MoveTo(context_.registry->GetModel(request->model()), response);
  });
}

grpc::ServerUnaryReactor* ModelService::ListModels(
    grpc::CallbackServerContext* call, const v1::ListModelsRequest* request,
    v1::ListModelsResponse* response) {
  return RunOnPool(*context_.pool, call, [=]() -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(auto page,
                             context_.registry->ListModels(request->page()));
    for (v1::Model& model : page.items) {
      model.clear_manifest_json();
      *response->add_models() = std::move(model);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ModelService::UpdateModel(
    grpc::CallbackServerContext* call, const v1::UpdateModelRequest* request,
    v1::Model* response) {
  return RunOnPool(*context_.pool, call, [=]() -> absl::Status {
    absl::MutexLock lock(&context_.names->For("models"));
    PERFVEC_ASSIGN_OR_RETURN(
        *response,
        context_.registry->UpdateModel(request->model(), request->update()));
    return context_.predictor->AddModel(*response);
  });
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(
    grpc::CallbackServerContext* call, const v1::DeleteModelRequest* request,
    google::protobuf::Empty*) {
  return RunOnPool(*context_.pool, call, [=]() -> absl::Status {
    {
      absl::MutexLock lock(&context_.names->For("models"));
      PERFVEC_ASSIGN_OR_RETURN(
          v1::Model deleted, context_.registry->DeleteModel(request->model()));
      context_.predictor->RemoveModel(deleted.model_id());
    }
    context_.collect_garbage();
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::ReadModelWeightsResponse>*
ModelService::ReadModelWeights(grpc::CallbackServerContext* call,
                               const v1::ReadModelWeightsRequest* request) {
  return NewBlobStream<v1::ReadModelWeightsResponse>(
      context_, call, /*offset=*/0,
      [registry = context_.registry,
       ref = request->model()]() -> absl::StatusOr<BlobList> {
        PERFVEC_ASSIGN_OR_RETURN(v1::Model model, registry->GetModel(ref));
        BlobList list;
        list.label = absl::StrCat("the weights of model ", model.name(), "@",
                                  model.version());
        list.size_bytes = model.weights_size_bytes();
        PERFVEC_ASSIGN_OR_RETURN(
            list.digests, registry->GetModelWeightsChunks(model.model_id()));
        return list;
      });
}

}  // namespace perfvec::server
