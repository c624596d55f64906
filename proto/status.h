// absl::Status to and from grpc::Status. The codes of both are the canonical
// ones, number by number; status.cc checks that at compile time.
//
// Any thread; no state.
//
//   if (!result.ok()) return ToGrpcStatus(result.status());
#ifndef PERFVEC_PROTO_STATUS_H_
#define PERFVEC_PROTO_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace perfvec {

// Trailing metadata beside RESOURCE_EXHAUSTED or UNAVAILABLE: milliseconds, in
// decimal, after which the call is worth repeating. Without it
// RESOURCE_EXHAUSTED is final (a quota, a size limit).
inline constexpr char kRetryAfterMetadata[] = "retry-after-ms";

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace perfvec

#endif  // PERFVEC_PROTO_STATUS_H_
