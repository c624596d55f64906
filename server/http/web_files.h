// The files of server/web/, compiled into the server (web_files.cc is written
// by cmake/EmbedFiles.cmake). Immutable; any thread.
//
//   const WebFile* file = FindWebFile("/app.js");  // null: none
#ifndef PERFVEC_SERVER_HTTP_WEB_FILES_H_
#define PERFVEC_SERVER_HTTP_WEB_FILES_H_

#include "absl/strings/string_view.h"

namespace perfvec::server::http {

struct WebFile {
  absl::string_view path;  // "/app.js"; index.html is "/"
  absl::string_view content_type;
  absl::string_view content;
};
const WebFile* FindWebFile(absl::string_view path);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_WEB_FILES_H_
