#include "client/call.h"

#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/request_id.h"

namespace perfvec::client {
namespace {

// Milliseconds after which the server asks to be called again.
std::optional<absl::Duration> RetryHint(const grpc::ClientContext& context) {
  for (const char* key : {kRetryAfterMetadata, "grpc-retry-pushback-ms"}) {
    const auto& metadata = context.GetServerTrailingMetadata();
    auto found = metadata.find(key);
    int64_t milliseconds;
    if (found != metadata.end() &&
        absl::SimpleAtoi(
            absl::string_view(found->second.data(), found->second.size()),
            &milliseconds) &&
        milliseconds >= 0) {
      return absl::Milliseconds(milliseconds);
    }
  }
  return std::nullopt;
}

}  // namespace

Caller::Caller(ClientOptions options)
    : options_([&] {
        if (options.request_id.empty()) options.request_id = NewRequestId();
        return std::move(options);
      }()) {}

void Caller::Prepare(grpc::ClientContext* context) const {
  context->AddMetadata(kRequestIdMetadata, options_.request_id);
}

absl::Time Caller::Deadline(const CallOptions& call) const {
  return absl::Now() + (call.timeout > absl::ZeroDuration() ? call.timeout
                                                            : options_.timeout);
}

Backoff Caller::NewBackoff(absl::Time deadline) const {
  return Backoff(options_.retry, deadline, std::random_device{}());
}

void Caller::Sleep(absl::Duration pause) const {
  if (options_.sleep) {
    options_.sleep(pause);
  } else {
    absl::SleepFor(pause);
  }
}

absl::Status Caller::Run(
    Repeat repeat, absl::Time deadline,
    const std::function<Attempt(grpc::ClientContext&)>& attempt) const {
  Backoff backoff = NewBackoff(deadline);
  while (true) {
    grpc::ClientContext context;
    Prepare(&context);
    if (deadline != absl::InfiniteFuture()) {
      context.set_deadline(absl::ToChronoTime(deadline));
    }
    Attempt outcome = attempt(context);
    if (outcome.status.ok()) return outcome.status;
    auto pause = backoff.Next(outcome, repeat, absl::Now());
    if (!pause) return outcome.status;
    Sleep(*pause);
  }
}

Attempt Caller::Outcome(const grpc::Status& status,
                        const grpc::ClientContext& context) const {
  Attempt outcome{FromGrpcStatus(status), std::nullopt};
  if (status.ok()) return outcome;
  outcome.retry_after = RetryHint(context);
  if (absl::IsUnavailable(outcome.status) ||
      absl::IsDeadlineExceeded(outcome.status)) {
    outcome.status = absl::Status(outcome.status.code(),
                                  absl::StrCat("server ", options_.server, ": ",
                                               outcome.status.message()));
  }
  return outcome;
}

}  // namespace perfvec::client
