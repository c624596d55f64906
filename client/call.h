// How the client makes one call: deadline, attempts, pauses. Internal to
// client/; any thread.
//
//   auto job = caller.Unary(*jobs_stub, &JobService::StubInterface::GetJob,
//                           request, Repeat::kSafe, options);
#ifndef PERFVEC_CLIENT_CALL_H_
#define PERFVEC_CLIENT_CALL_H_

#include <grpcpp/client_context.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/client.h"
#include "proto/status.h"

namespace perfvec::client {

class Caller {
 public:
  explicit Caller(ClientOptions options);

  const ClientOptions& options() const { return options_; }

  // The end of a call that begins now.
  absl::Time Deadline(const CallOptions& call) const;
  Backoff NewBackoff(absl::Time deadline) const;
  void Sleep(absl::Duration pause) const;

  // What every call carries.
  void Prepare(grpc::ClientContext* context) const;

  // Attempts until one succeeds or `Backoff` gives up.
  absl::Status Run(
      Repeat repeat, absl::Time deadline,
      const std::function<Attempt(grpc::ClientContext&)>& attempt) const;

  // The outcome of a finished call: names the server where it was not reached.
  Attempt Outcome(const grpc::Status& status,
                  const grpc::ClientContext& context) const;

  template <typename Interface, typename Stub, typename Request,
            typename Response>
  absl::StatusOr<Response> Unary(
      Stub& stub,
      grpc::Status (Interface::*method)(grpc::ClientContext*, const Request&,
                                        Response*),
      const Request& request, Repeat repeat, const CallOptions& call) const {
    Response response;
    absl::Status status =
        Run(repeat, Deadline(call), [&](grpc::ClientContext& context) {
          return Outcome((stub.*method)(&context, request, &response), context);
        });
    if (!status.ok()) return status;
    return response;
  }

 private:
  const ClientOptions options_;
};

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_CALL_H_
