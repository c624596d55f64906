// JSON to messages and back, by the proto JSON mapping, and statuses to HTTP.
//
// Pure functions; any thread. Request messages come from the path, and from
// either the query or the JSON body; what contradicts or is unknown is
// INVALID_ARGUMENT with the name of the field. Answers print every field, also
// those with a default value; fields that are not set and `optional` or
// messages are left out. The same message gives the same bytes.
//
//   PERFVEC_ASSIGN_OR_RETURN(auto request, MakeRequest(match, query, body));
//   PERFVEC_ASSIGN_OR_RETURN(std::string json, ToJson(*response));
#ifndef PERFVEC_SERVER_HTTP_TRANSCODE_H_
#define PERFVEC_SERVER_HTTP_TRANSCODE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/routes.h"

namespace perfvec::server::http {

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// The call of a row, and "/perfvec.v1.Service/Method".
const google::protobuf::MethodDescriptor* FindCall(const Route& route);
std::string CallPath(const google::protobuf::MethodDescriptor& call);
MessagePtr NewMessage(const google::protobuf::Descriptor* type);

absl::StatusOr<MessagePtr> MakeRequest(const Match& match,
                                       absl::string_view query,
                                       absl::string_view body);
// The fields of `message`, or of its message field `root` if that is not empty.
absl::Status ParseQuery(absl::string_view query, const char* root,
                        google::protobuf::Message* message);
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message);

// As google/rpc/code.proto says.
int HttpStatus(absl::StatusCode code);
// {"error": {"code": 404, "status": "NOT_FOUND", "message": "..."}}
std::string ErrorJson(int http_status, const absl::Status& status);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_TRANSCODE_H_
