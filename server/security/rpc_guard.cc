#include "server/security/rpc_guard.h"

#include <google/protobuf/message.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/server_context.h>

#include <map>

#include "absl/strings/str_split.h"
#include "proto/status.h"

namespace perfvec::server {
namespace {

using grpc::experimental::InterceptionHookPoints;
using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

absl::string_view Find(const Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end()
             ? absl::string_view()
             : absl::string_view(found->second.data(), found->second.size());
}

std::string CommonName(const grpc::AuthContext* context) {
  if (context == nullptr) return "";
  const auto names = context->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  return names.empty() ? "" : std::string(names[0].data(), names[0].size());
}

// "architecture.name" of a message; empty where a part is not set.
std::string TextAt(const google::protobuf::Message* message,
                   absl::string_view path) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const auto* field = message->GetDescriptor()->FindFieldByName(names[i]);
    if (field == nullptr) return "";
    if (i + 1 == names.size()) {
      return message->GetReflection()->GetString(*message, field);
    }
    message = &message->GetReflection()->GetMessage(*message, field);
  }
  return "";
}

class AuditInterceptor final : public grpc::experimental::Interceptor {
 public:
  AuditInterceptor(Guard* guard, const Access* access,
                   grpc::ServerContextBase* context)
      : guard_(guard), access_(*access), context_(context) {}
  // A call that ends without a status was given up by its client.
  ~AuditInterceptor() override { End(absl::CancelledError("the client left")); }

  void Intercept(grpc::experimental::InterceptorBatchMethods* calls) override {
    if (calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      Begin(*calls->GetRecvInitialMetadata());
    }
    if (calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_MESSAGE) &&
        !named_ && calls->GetRecvMessage() != nullptr) {
      named_ = true;
      // Messages derive from this class alone, so the address is the same.
      object_ = TextAt(static_cast<const google::protobuf::Message*>(
                           calls->GetRecvMessage()),
                       access_.object);
    }
    if (calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      End(FromGrpcStatus(calls->GetSendStatus()));
    }
    calls->Proceed();
  }

 private:
  void Begin(const Metadata& metadata) {
    authorization_ = std::string(Find(metadata, kAuthorizationMetadata));
    origin_.request_id = RequestId(Find(metadata, kRequestIdMetadata));
    origin_.peer = context_->peer();
    // The in-process channel's, which has no name; every socket has one.
    if (origin_.peer == "unknown") {
      origin_.peer = std::string(Find(metadata, kPeerMetadata));
    } else {
      origin_.certificate = CommonName(context_->auth_context().get());
    }
  }
  void End(const absl::Status& outcome) {
    if (ended_) return;
    ended_ = true;
    guard_->Audit(access_, authorization_, origin_, object_, outcome);
  }

  Guard* const guard_;
  const Access& access_;
  grpc::ServerContextBase* const context_;
  std::string authorization_, object_;
  CallOrigin origin_;
  bool named_ = false, ended_ = false;
};

}  // namespace

grpc::Status RpcGuard::Process(const InputMetadata& metadata,
                               grpc::AuthContext* context, OutputMetadata*,
                               OutputMetadata*) {
  CallOrigin origin;
  if (guard_->audits()) {
    origin.request_id = RequestId(Find(metadata, kRequestIdMetadata));
    origin.certificate = CommonName(context);
  }
  return ToGrpcStatus(guard_->Authorize(
      Find(metadata, ":path"), Find(metadata, kAuthorizationMetadata), origin));
}

grpc::experimental::Interceptor* AuditFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  const Access* access = FindAccess(info->method());
  if (access == nullptr || !access->audited) return nullptr;
  return new AuditInterceptor(guard_, access, info->server_context());
}

}  // namespace perfvec::server
