#include "server/request_log.h"

#include <grpcpp/server_context.h>

#include <string>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "proto/log.h"
#include "proto/request_id.h"
#include "proto/status.h"
#include "server/security/access.h"
#include "server/security/rpc_guard.h"
#include "spdlog/spdlog.h"

namespace perfvec::server {
namespace {

using grpc::experimental::InterceptionHookPoints;

bool IsServersFault(absl::StatusCode code) {
  return code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kInternal ||
         code == absl::StatusCode::kUnavailable ||
         code == absl::StatusCode::kDataLoss;
}

class RequestInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit RequestInterceptor(grpc::experimental::ServerRpcInfo* info)
      : method_(info->method()),
        context_(info->server_context()),
        level_(LevelOf(method_)) {}
  // A call that ends without a status was given up by its client.
  ~RequestInterceptor() override {
    if (!ended_) End(absl::CancelledError("the client left"));
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* calls) override {
    if (calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      Begin(*calls->GetRecvInitialMetadata());
    }
    if (!id_.empty() &&
        calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      calls->GetSendInitialMetadata()->emplace(kRequestIdMetadata, id_);
    }
    if (calls->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      const absl::Status outcome = FromGrpcStatus(calls->GetSendStatus());
      if (peer_.empty() && IsServersFault(outcome.code())) {
        peer_ = context_->peer();
      }
      End(outcome);
    }
    calls->Proceed();
  }

 private:
  // A call that succeeds unlogged needs no id but the one it brought.
  static spdlog::level::level_enum LevelOf(const char* method) {
    const Access* access = FindAccess(method);
    // A job has thousands of shards.
    return access != nullptr && access->audited && !access->worker
               ? spdlog::level::info
               : spdlog::level::debug;
  }

  void Begin(std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
    const auto sent = metadata.find(kRequestIdMetadata);
    if (sent != metadata.end()) {
      id_ = RequestId({sent->second.data(), sent->second.size()});
      metadata.erase(kRequestIdMetadata);
    } else if (spdlog::should_log(level_)) {
      id_ = NewRequestId();
    }
    // Both live as long as the call.
    if (!id_.empty()) metadata.emplace(kRequestIdMetadata, id_);
    if (spdlog::should_log(level_)) peer_ = PeerOf(metadata);
  }

  std::string PeerOf(
      const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) const {
    std::string peer = context_->peer();
    const auto from = metadata.find(kPeerMetadata);
    // The in-process channel's, which has no name; every socket has one.
    if (peer == "unknown" && from != metadata.end()) {
      peer.assign(from->second.data(), from->second.size());
    }
    return peer;
  }

  void End(const absl::Status& outcome) {
    ended_ = true;
    const auto level =
        IsServersFault(outcome.code()) ? spdlog::level::warn : level_;
    if (!spdlog::should_log(level)) return;
    if (id_.empty()) id_ = NewRequestId();
    absl::string_view name = method_;
    absl::ConsumePrefix(&name, "/perfvec.v1.");
    absl::ConsumePrefix(&name, "/perfvec.worker.v1.");
    LogScope scope(id_);
    spdlog::log(level, "{} from {}: {}, {:.1f} ms", std::string(name), peer_,
                outcome.ToString(),
                absl::ToDoubleMilliseconds(absl::Now() - start_));
  }

  const char* const method_;
  grpc::ServerContextBase* const context_;
  const spdlog::level::level_enum level_;  // of a call that succeeds
  const absl::Time start_ = absl::Now();
  std::string id_, peer_;
  bool ended_ = false;
};

}  // namespace

grpc::experimental::Interceptor* RequestLogFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new RequestInterceptor(info);
}

}  // namespace perfvec::server
