#include "client/cli/exit_code.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

constexpr char kJobFailedPayload[] = "perfvec/job_failed";

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.GetPayload(kJobFailedPayload)) return ExitCode::kJobFailed;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kSuccess;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return ExitCode::kInvalid;
    case absl::StatusCode::kDataLoss:
      return ExitCode::kDataLoss;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return ExitCode::kRefused;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitCode::kPermission;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kExhausted;
    case absl::StatusCode::kUnavailable:
      return ExitCode::kUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kDeadline;
    case absl::StatusCode::kCancelled:
      return ExitCode::kInterrupted;
    default:
      return ExitCode::kInternal;
  }
}

absl::Status JobFailedError(const perfvec::v1::Job& job) {
  const bool cancelled = job.state() == perfvec::v1::JOB_STATE_CANCELLED;
  absl::Status status = absl::AbortedError(absl::StrCat(
      "job ", job.job_id(), " for ", job.program_name(), "@",
      job.program_version(), cancelled ? " was cancelled" : " failed",
      job.error().empty() ? "" : ": ", job.error()));
  status.SetPayload(kJobFailedPayload, absl::Cord(job.job_id()));
  return status;
}

}  // namespace perfvec::client::cli
