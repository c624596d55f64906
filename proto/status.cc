#include "proto/status.h"

#include <string>

namespace perfvec {
namespace {

#define PERFVEC_SAME_CODE(ABSL, GRPC)                       \
  static_assert(static_cast<int>(absl::StatusCode::ABSL) == \
                static_cast<int>(grpc::StatusCode::GRPC))
PERFVEC_SAME_CODE(kOk, OK);
PERFVEC_SAME_CODE(kCancelled, CANCELLED);
PERFVEC_SAME_CODE(kUnknown, UNKNOWN);
PERFVEC_SAME_CODE(kInvalidArgument, INVALID_ARGUMENT);
PERFVEC_SAME_CODE(kDeadlineExceeded, DEADLINE_EXCEEDED);
PERFVEC_SAME_CODE(kNotFound, NOT_FOUND);
PERFVEC_SAME_CODE(kAlreadyExists, ALREADY_EXISTS);
PERFVEC_SAME_CODE(kPermissionDenied, PERMISSION_DENIED);
PERFVEC_SAME_CODE(kResourceExhausted, RESOURCE_EXHAUSTED);
PERFVEC_SAME_CODE(kFailedPrecondition, FAILED_PRECONDITION);
PERFVEC_SAME_CODE(kAborted, ABORTED);
PERFVEC_SAME_CODE(kOutOfRange, OUT_OF_RANGE);
PERFVEC_SAME_CODE(kUnimplemented, UNIMPLEMENTED);
PERFVEC_SAME_CODE(kInternal, INTERNAL);
PERFVEC_SAME_CODE(kUnavailable, UNAVAILABLE);
PERFVEC_SAME_CODE(kDataLoss, DATA_LOSS);
PERFVEC_SAME_CODE(kUnauthenticated, UNAUTHENTICATED);
#undef PERFVEC_SAME_CODE

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

}  // namespace perfvec
