#include "server/trace_service.h"

#include <xxhash.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/call.h"
#include "server/receive_stream.h"
#include "server/upload_manager.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

class WriteStream final : public ReceiveStream<v1::WriteUploadRequest> {
 public:
  WriteStream(const ServiceContext& context, grpc::CallbackServerContext* call,
              v1::Upload* response)
      : ReceiveStream(context, call),
        uploads_(context.uploads),
        gate_(context.gate),
        call_(call),
        response_(response) {}

 protected:
  absl::Status Handle(v1::WriteUploadRequest& request) override {
    if (request.has_header()) {
      if (writer_ != nullptr) {
        return absl::InvalidArgumentError(
            "WriteUpload: a second header; only the first message has one");
      }
      PERFVEC_RETURN_IF_ERROR(Enter(gate_, *call_, request).status());
      position_ = request.header().offset();
      PERFVEC_ASSIGN_OR_RETURN(
          writer_, uploads_->OpenWriter(request.header().upload_id(),
                                        request.header().offset()));
      return absl::OkStatus();
    }
    if (writer_ == nullptr || !request.has_data()) {
      return absl::InvalidArgumentError(
          "WriteUpload: expected a header first, then data");
    }
    const std::string& bytes = request.data().bytes();
    if (bytes.size() > kMaxDataBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("WriteUpload: at most ", kMaxDataBytes,
                       " bytes a message, found ", bytes.size()));
    }
    const uint64_t found = XXH3_64bits(bytes.data(), bytes.size());
    if (found != request.data().xxh3()) {
      return absl::DataLossError(absl::StrCat(
          "WriteUpload: the ", bytes.size(), " bytes at offset ", position_,
          " have XXH3 ", absl::Hex(found, absl::kZeroPad16),
          ", the message "
          "says ",
          absl::Hex(request.data().xxh3(), absl::kZeroPad16),
          "; send them again from the committed size"));
    }
    position_ += bytes.size();
    return writer_->Append(bytes);
  }

  absl::Status End() override {
    if (writer_ == nullptr) {
      return absl::InvalidArgumentError("WriteUpload: no header was sent");
    }
    const absl::Status closed = MoveTo(writer_->Close(), response_);
    writer_.reset();  // before the client hears of it
    return closed;
  }

  // Whole pieces that came before the cut need not be sent again.
  void Cut() override {
    if (writer_ != nullptr) (void)writer_->Close();
    writer_.reset();
  }

 private:
  UploadManager* const uploads_;
  const ScopeGate* const gate_;
  grpc::CallbackServerContext* const call_;
  v1::Upload* const response_;
  std::unique_ptr<UploadManager::Writer> writer_;
  uint64_t position_ = 0;
};

}  // namespace

grpc::ServerUnaryReactor* TraceService::BeginUpload(
    grpc::CallbackServerContext* call, const v1::BeginUploadRequest* request,
    v1::Upload* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope& scope) {
        UploadManager& uploads = *context_.uploads;
        const bool named =
            !request->sha256().empty() || request->draft().empty();
        return MoveTo(
            named ? uploads.Begin(request->sha256(), request->size_bytes(),
                                  request->draft(), scope)
                  : uploads.BeginDraft(request->draft(), scope),
            response);
      });
}

grpc::ServerUnaryReactor* TraceService::GetUpload(
    grpc::CallbackServerContext* call, const v1::GetUploadRequest* request,
    v1::Upload* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.uploads->Get(request->upload_id()), response);
      });
}

grpc::ServerReadReactor<v1::WriteUploadRequest>* TraceService::WriteUpload(
    grpc::CallbackServerContext* call, v1::Upload* response) {
  return (new WriteStream(context_, call, response))->Start();
}

grpc::ServerUnaryReactor* TraceService::FinishUpload(
    grpc::CallbackServerContext* call, const v1::FinishUploadRequest* request,
    v1::Trace* response) {
  return RunOnPool(
      *context_.bulk, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.uploads->Finish(request->upload_id()), response);
      });
}

grpc::ServerUnaryReactor* TraceService::AbortUpload(
    grpc::CallbackServerContext* call, const v1::AbortUploadRequest* request,
    google::protobuf::Empty*) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        absl::Status status = context_.uploads->Abort(request->upload_id());
        if (status.ok()) context_.collect_garbage();
        return status;
      });
}

grpc::ServerUnaryReactor* TraceService::GetTrace(
    grpc::CallbackServerContext* call, const v1::GetTraceRequest* request,
    v1::Trace* response) {
  return RunOnPool(
      *context_.pool, context_.gate, call, request, [=](const Scope&) {
        return MoveTo(context_.uploads->GetTrace(request->trace_id()),
                      response);
      });
}

}  // namespace perfvec::server
