// The id by which the log lines of client, server and worker about one request
// are found again: gRPC metadata "x-request-id", HTTP header X-Request-Id.
//
// 1 to 64 of letters, digits, '-', '_' and '.', so that it can stand in any log
// and in any metadata as it is. Any thread.
//
//   context.AddMetadata(kRequestIdMetadata, NewRequestId());
#ifndef PERFVEC_PROTO_REQUEST_ID_H_
#define PERFVEC_PROTO_REQUEST_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace perfvec {

inline constexpr char kRequestIdMetadata[] = "x-request-id";

bool IsRequestId(absl::string_view text);
// 16 hexadecimal digits at random.
std::string NewRequestId();
// What was sent, if it is an id; else a new one.
std::string RequestId(absl::string_view sent);

}  // namespace perfvec

#endif  // PERFVEC_PROTO_REQUEST_ID_H_
