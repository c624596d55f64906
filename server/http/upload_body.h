// What the body of a request becomes as messages of a client stream.
//
// One thread at a time. First() before the body; Next() for what has come, as
// long as something of it is left: it takes from the front, and gives null
// when it wants more than there is. End() when the body has ended.
//
//   auto body = MakeUploadBody(match, query, upload_offset, manifest_size);
//   absl::string_view piece = ...;
//   while (!piece.empty()) {
//     auto message = (*body)->Next(&piece);
//     ...
//   }
#ifndef PERFVEC_SERVER_HTTP_UPLOAD_BODY_H_
#define PERFVEC_SERVER_HTTP_UPLOAD_BODY_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/routes.h"
#include "server/http/transcode.h"

namespace perfvec::server::http {

class UploadBody {
 public:
  virtual ~UploadBody() = default;
  virtual MessagePtr First() = 0;  // null: it comes of the body
  virtual absl::StatusOr<MessagePtr> Next(absl::string_view* piece) = 0;
  virtual absl::Status End() const = 0;
};

// What of a request's header such bodies need.
struct UploadHeader {
  std::optional<uint64_t> upload_offset, manifest_size, content_length;
};

// Of a row of kUpload: bytes of a trace behind `upload_offset`. Of kModel:
// `manifest_size` bytes of manifest, then the weights; the query holds the
// other fields of CreateModelRequest.Header. INVALID_ARGUMENT: something is
// missing or wrong.
absl::StatusOr<std::unique_ptr<UploadBody>> MakeUploadBody(
    const Match& match, absl::string_view query, const UploadHeader& header);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_UPLOAD_BODY_H_
