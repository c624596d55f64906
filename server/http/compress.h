// gzip for answers. Pure functions; any thread.
//
//   if (AcceptsGzip(header)) body = Gzip(body);
#ifndef PERFVEC_SERVER_HTTP_COMPRESS_H_
#define PERFVEC_SERVER_HTTP_COMPRESS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace perfvec::server::http {

// Whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3).
bool AcceptsGzip(absl::string_view accept_encoding);
// Empty if zlib has no memory.
std::string Gzip(absl::string_view text);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_COMPRESS_H_
