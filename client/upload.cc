// Client::UploadTrace: hash, begin, send from where the server's copy ends,
// finish.
//
// BeginUpload is also the way back after a cut: for the same content it gives
// the same upload, with what the server has committed of it, or the trace.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/local_file.h"
#include "client/state.h"
#include "client/upload_stream.h"

namespace perfvec::client {
namespace {

using Stage = UploadProgress::Stage;

absl::Status Interrupted(const LocalFile& file) {
  return absl::CancelledError(
      absl::StrCat("upload of ", file.path(),
                   " interrupted; the same call goes on where it ended"));
}

}  // namespace

absl::StatusOr<api::Trace> Client::UploadTrace(const std::string& path,
                                               const UploadOptions& options) {
  const Caller& caller = state_->caller;
  auto file = LocalFile::Open(path);
  if (!file.ok()) return file.status();
  const uint64_t size_bytes = file->size_bytes();
  auto report = [&](Stage stage, uint64_t done_bytes) {
    return !options.progress ||
           options.progress({stage, done_bytes, size_bytes});
  };

  auto sha256 = Sha256(
      *file, [&](uint64_t done) { return report(Stage::kHashing, done); });
  if (!sha256.ok()) return sha256.status();
  api::BeginUploadRequest begin;
  begin.set_sha256(*sha256);
  begin.set_size_bytes(size_bytes);
  begin.set_draft(options.draft);

  Backoff backoff = caller.NewBackoff(absl::InfiniteFuture());
  uint64_t committed_before = 0;
  absl::Time finish_by = absl::InfiniteFuture();  // once it was tried
  while (true) {
    auto upload =
        caller.Unary(*state_->traces, &api::TraceService::Stub::BeginUpload,
                     begin, Repeat::kSafe, CallOptions());
    if (!upload.ok()) return upload.status();
    if (upload->has_trace()) return upload->trace();
    if (upload->committed_size_bytes() > size_bytes) {
      return absl::InternalError(absl::StrCat(
          "upload ", upload->upload_id(), " of ", path, ": expected at most ",
          size_bytes, " committed bytes, found ",
          upload->committed_size_bytes()));
    }
    if (upload->committed_size_bytes() > committed_before) {
      backoff.Progressed();
    }
    committed_before = upload->committed_size_bytes();  // less: it expired

    Attempt attempt;
    if (upload->committed_size_bytes() < size_bytes) {
      grpc::ClientContext context;
      caller.Prepare(&context);
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + caller.options().stall_timeout));
      const uint64_t from = upload->committed_size_bytes();
      api::Upload committed;
      StreamEnd end = SendStream(
          caller, *state_->traces, context, *file, upload->upload_id(), from,
          std::min(size_bytes,
                   from + std::max<uint64_t>(options.stream_size_bytes, 1)),
          [&](uint64_t sent) {
            return report(Stage::kSending, sent) ? absl::OkStatus()
                                                 : Interrupted(*file);
          },
          &committed);
      attempt = std::move(end.attempt);
      if (end.local) return attempt.status;
      if (attempt.status.ok()) {
        // The next begin says what was committed. A server that commits
        // nothing is not asked for ever.
        if (backoff.NextPause(std::nullopt, absl::Now())) continue;
        return absl::InternalError(absl::StrCat(
            "upload of ", path, ": the server accepts bytes at offset ",
            committed_before, " but commits none"));
      }
    } else {
      if (!report(Stage::kFinishing, size_bytes)) return Interrupted(*file);
      api::FinishUploadRequest finish;
      finish.set_upload_id(upload->upload_id());
      api::Trace trace;
      grpc::ClientContext context;
      caller.Prepare(&context);
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + caller.options().stall_timeout));
      attempt = caller.Outcome(
          state_->traces->FinishUpload(&context, finish, &trace), context);
      if (attempt.status.ok()) return trace;
      // Damage that shows only in the whole is in the file.
      if (absl::IsDataLoss(attempt.status)) return attempt.status;
      // The server is there and asks for patience: another client's call
      // finishes the same upload, which takes as long as reading the file.
      finish_by =
          std::min(finish_by, absl::Now() + caller.options().stall_timeout);
      if (attempt.retry_after && absl::Now() < finish_by) backoff.Progressed();
    }
    if (!WorthResuming(attempt)) return attempt.status;
    auto pause = backoff.NextPause(attempt.retry_after, absl::Now());
    if (!pause) return attempt.status;
    caller.Sleep(*pause);
  }
}

}  // namespace perfvec::client
