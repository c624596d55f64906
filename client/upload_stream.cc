#define XXH_INLINE_ALL
#include "client/upload_stream.h"

#include <xxhash.h>

#include <algorithm>

#include "client/state.h"

namespace perfvec::client {

StreamEnd SendStream(const Caller& caller, api::TraceService::Stub& stub,
                     grpc::ClientContext& context, const LocalFile& file,
                     const std::string& upload_id, uint64_t offset,
                     uint64_t end,
                     const std::function<absl::Status(uint64_t)>& go_on,
                     api::Upload* committed) {
  auto writer = stub.WriteUpload(&context, committed);
  api::WriteUploadRequest message;
  message.mutable_header()->set_upload_id(upload_id);
  message.mutable_header()->set_offset(offset);
  bool open = writer->Write(message);

  absl::Status local;
  while (open && local.ok() && offset < end) {
    const size_t size = std::min<uint64_t>(kMessageDataBytes, end - offset);
    std::string* bytes = message.mutable_data()->mutable_bytes();
    local = file.Read(offset, size, bytes);
    if (!local.ok()) break;
    message.mutable_data()->set_xxh3(XXH3_64bits(bytes->data(), size));
    open = writer->Write(message);
    if (!open) break;
    offset += size;
    local = go_on(offset);
  }
  // A clean end even when we stop early: the server commits what came.
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!local.ok()) return {{local, std::nullopt}, true};
  return {caller.Outcome(status, context)};
}

bool WorthResuming(const Attempt& attempt) {
  switch (attempt.status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
      return true;
    case absl::StatusCode::kResourceExhausted:
      return attempt.retry_after.has_value();
    default:
      return false;
  }
}

}  // namespace perfvec::client
