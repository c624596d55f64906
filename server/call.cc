#include "server/call.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "proto/log.h"
#include "proto/request_id.h"
#include "proto/status.h"

namespace perfvec::server {
namespace {

// Long enough for a queue to move, short enough not to idle.
constexpr char kRetryAfterMs[] = "500";

}  // namespace

absl::Time CallDeadline(const grpc::CallbackServerContext& context,
                        absl::Duration limit) {
  return std::min(absl::FromChrono(context.deadline()), absl::Now() + limit);
}

grpc::Status WithRetryHint(grpc::CallbackServerContext* context,
                           const absl::Status& status) {
  if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) {
    context->AddTrailingMetadata("retry-after-ms", kRetryAfterMs);
  }
  return ToGrpcStatus(status);
}

absl::Status CheckAlive(const grpc::CallbackServerContext& context,
                        absl::Time deadline) {
  if (context.IsCancelled()) {
    return absl::CancelledError("the client cancelled the call");
  }
  if (absl::Now() >= deadline) {
    return absl::DeadlineExceededError(
        "the deadline passed while the call waited for its turn");
  }
  return absl::OkStatus();
}

absl::string_view RequestIdOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kRequestIdMetadata);
  return found == metadata.end()
             ? absl::string_view()
             : absl::string_view(found->second.data(), found->second.size());
}

grpc::ServerUnaryReactor* RunOnPool(
    Executor& pool, const ScopeGate* gate, grpc::CallbackServerContext* context,
    const google::protobuf::Message* request,
    absl::AnyInvocable<absl::Status(const Scope&)> work) {
  return RunOnPool(pool, context,
                   [gate, context, request, work = std::move(work)]() mutable {
                     const absl::StatusOr<Scope> scope =
                         Enter(gate, *context, *request);
                     return scope.ok() ? work(*scope) : scope.status();
                   });
}

grpc::ServerUnaryReactor* RunOnPool(Executor& pool,
                                    grpc::CallbackServerContext* context,
                                    absl::AnyInvocable<absl::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::Time deadline = CallDeadline(*context, kMaxUnaryTime);
  absl::Status admitted = pool.Submit(
      [context, reactor, deadline, work = std::move(work)]() mutable {
        absl::Status status = CheckAlive(*context, deadline);
        if (status.ok()) {
          LogScope scope(RequestIdOf(*context));
          status = work();
        }
        reactor->Finish(WithRetryHint(context, status));
      });
  if (!admitted.ok()) reactor->Finish(WithRetryHint(context, admitted));
  return reactor;
}

}  // namespace perfvec::server
