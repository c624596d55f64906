// The OpenAPI 3.0 document of the HTTP API, made of the table of routes and the
// descriptors of the messages, so that it cannot differ from what is served.
// Made once; any thread.
#ifndef PERFVEC_SERVER_HTTP_OPENAPI_H_
#define PERFVEC_SERVER_HTTP_OPENAPI_H_

#include <string>

namespace perfvec::server::http {

const std::string& OpenApiJson();

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_OPENAPI_H_
