// What the service shells share: a unary call whose work runs on the pool, with
// its deadline, and the retry hint of refused calls.
//
// Any thread. The reactor belongs to gRPC; it is finished exactly once, by
// RunOnPool or by the task it submits.
//
//   return RunOnPool(pool, gate, context, request, [=](const Scope&) {
//     return MoveTo(registry->GetJob(request->job_id()), response);
//   });
#ifndef PERFVEC_SERVER_CALL_H_
#define PERFVEC_SERVER_CALL_H_

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/executor.h"
#include "server/security/scope.h"

namespace perfvec::server {

// For calls that come without a deadline.
inline constexpr absl::Duration kMaxUnaryTime = absl::Minutes(2);
inline constexpr absl::Duration kMaxStreamTime = absl::Hours(24);

// Largest message either side may send.
inline constexpr int kMaxMessageBytes = 8 << 20;
inline constexpr size_t kMaxDataBytes = 1 << 20;  // in one piece of a stream

// When the call must end: the client's deadline, or `limit` from now.
absl::Time CallDeadline(const grpc::CallbackServerContext& context,
                        absl::Duration limit);

// RESOURCE_EXHAUSTED and UNAVAILABLE carry the trailing metadata
// "retry-after-ms"; call before Finish.
grpc::Status WithRetryHint(grpc::CallbackServerContext* context,
                           const absl::Status& status);

// OK, or why work on a call should not begin (any more).
absl::Status CheckAlive(const grpc::CallbackServerContext& context,
                        absl::Time deadline);

// The call's id; ServerCore gives every call one. Stays as long as the call.
absl::string_view RequestIdOf(const grpc::CallbackServerContext& context);

// Runs `work` on the pool and finishes the call with what it returns, once
// `gate` (null: none) lets the caller in; with what the caller may see.
grpc::ServerUnaryReactor* RunOnPool(
    Executor& pool, const ScopeGate* gate, grpc::CallbackServerContext* context,
    const google::protobuf::Message* request,
    absl::AnyInvocable<absl::Status(const Scope&)> work);
// Of a call that names nothing with an owner.
grpc::ServerUnaryReactor* RunOnPool(Executor& pool,
                                    grpc::CallbackServerContext* context,
                                    absl::AnyInvocable<absl::Status()> work);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_CALL_H_
