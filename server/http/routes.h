// The table of the HTTP API: which method and path is which call of perfvec.v1.
//
// One row a call. The gateway, the OpenAPI document and the tests all read this
// table, so that a call is exposed, described and tested by adding its row.
// Immutable; any thread.
//
// A path template is made of literal segments and "{field}"; the last segment
// may end with ":verb". A field of a template is a string field of the request
// message. A request that has no body (GET, DELETE) takes the other fields from
// the query: "pageSize=10&tags.suite=spec"; with `query_root` the names are
// those of the message in that field. Others take them from the JSON body.
//
//   Match match = MatchRoute("GET", "/v1/programs/mcf@3");
//   if (match.route != nullptr) ... match.route->rpc, match.fields ...
#ifndef PERFVEC_SERVER_HTTP_ROUTES_H_
#define PERFVEC_SERVER_HTTP_ROUTES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace perfvec::server::http {

enum class RouteKind {
  kUnary,
  kEvents,     // a stream of messages as server-sent events
  kJsonArray,  // a stream of messages as one JSON array
  kBytes,      // a stream of bytes, as it is
  kUpload,     // a stream of bytes from the client
  kModel,      // a manifest and weights from the client
};

struct Route {
  const char* method;
  const char* path;
  const char* rpc;  // "ProgramService.GetProgram"
  RouteKind kind;
  const char* summary;
  const char* query_root = "";
};

absl::Span<const Route> Routes();

struct Match {
  const Route* route = nullptr;
  std::vector<std::pair<std::string, std::string>> fields;  // decoded
  // Without a route: the methods that the path takes ("GET, HEAD"), or empty.
  std::string allowed;
};
// `path` is without its query and not yet decoded. HEAD is answered as GET is.
Match MatchRoute(absl::string_view method, absl::string_view path);

bool IsUtf8(absl::string_view text);
// Undoes %XX (and '+' in a query); false: broken, or no valid UTF-8.
bool PercentDecode(absl::string_view text, bool plus_is_space,
                   std::string* decoded);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_ROUTES_H_
