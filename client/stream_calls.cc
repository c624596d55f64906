// The client's streams, but for uploads of traces: weights of a model, job
// watches, matrices.
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/local_file.h"
#include "client/state.h"

namespace perfvec::client {
namespace {

constexpr uint64_t kManifestLimitBytes = 3 << 20;  // fits one message
// A watch is opened anew this often, so that a connection that died without a
// word is noticed.
constexpr absl::Duration kWatchStream = absl::Minutes(2);

}  // namespace

absl::StatusOr<api::Model> Client::CreateModel(
    const std::string& directory, api::CreateModelRequest::Header header) {
  const Caller& caller = state_->caller;
  auto manifest =
      ReadWholeFile(directory + "/manifest.json", kManifestLimitBytes);
  if (!manifest.ok()) return manifest.status();
  auto weights = LocalFile::Open(directory + "/model.safetensors");
  if (!weights.ok()) return weights.status();
  header.set_manifest_json(*std::move(manifest));
  header.set_weights_size_bytes(weights->size_bytes());

  api::Model model;
  absl::Status local;
  const absl::Time deadline = absl::Now() + caller.options().stall_timeout;
  absl::Status status =
      caller.Run(Repeat::kSafe, deadline, [&](grpc::ClientContext& context) {
        auto writer = state_->models->CreateModel(&context, &model);
        api::CreateModelRequest message;
        *message.mutable_header() = header;
        bool open = writer->Write(message);
        for (uint64_t offset = 0; open && offset < weights->size_bytes();) {
          const size_t size = std::min<uint64_t>(
              kMessageDataBytes, weights->size_bytes() - offset);
          local = weights->Read(offset, size, message.mutable_weights());
          if (!local.ok()) {
            context.TryCancel();
            break;
          }
          open = writer->Write(message);
          offset += size;
        }
        writer->WritesDone();
        return caller.Outcome(writer->Finish(), context);
      });
  if (!local.ok()) return local;
  if (!status.ok()) return status;
  return model;
}

absl::StatusOr<api::Job> Client::WatchJob(
    const std::string& job_id,
    const std::function<bool(const api::Job&)>& on_change,
    CallOptions options) {
  const Caller& caller = state_->caller;
  const absl::Time deadline = options.timeout > absl::ZeroDuration()
                                  ? absl::Now() + options.timeout
                                  : absl::InfiniteFuture();
  api::GetJobRequest request;
  request.set_job_id(job_id);
  Backoff backoff = caller.NewBackoff(deadline);
  api::Job last;
  while (true) {
    grpc::ClientContext context;
    caller.Prepare(&context);
    context.set_deadline(
        absl::ToChronoTime(std::min(deadline, absl::Now() + kWatchStream)));
    auto reader = state_->jobs->WatchJob(&context, request);
    api::Job job;
    bool stopped = false;
    while (!stopped && reader->Read(&job)) {
      backoff.Progressed();
      const bool changed = job.revision() != last.revision() ||
                           job.instructions_done() != last.instructions_done();
      last = job;
      if (changed && !on_change(job)) {
        stopped = true;
        context.TryCancel();
      }
    }
    Attempt attempt = caller.Outcome(reader->Finish(), context);
    if (stopped) {
      return absl::CancelledError(
          absl::StrCat("the watch of job ", job_id, " was ended"));
    }
    if (JobEnded(last)) return last;
    const bool again = attempt.status.ok() ||
                       absl::IsUnavailable(attempt.status) ||
                       absl::IsDeadlineExceeded(attempt.status) ||
                       (absl::IsResourceExhausted(attempt.status) &&
                        attempt.retry_after.has_value());
    if (!again) return attempt.status;
    auto pause = backoff.NextPause(attempt.retry_after, absl::Now());
    if (!pause) {
      if (!attempt.status.ok()) return attempt.status;
      return absl::UnavailableError(absl::StrCat(
          "server ", caller.options().server, ": the watch of job ", job_id,
          " ends again and again before the job does"));
    }
    caller.Sleep(*pause);
  }
}

absl::Status Client::PredictMatrix(
    const api::PredictMatrixRequest& request,
    const std::function<absl::Status(const api::PredictMatrixResponse&)>&
        on_rows) {
  const Caller& caller = state_->caller;
  bool seen = false;
  absl::Status local;
  const absl::Time deadline = absl::Now() + caller.options().stall_timeout;
  absl::Status status =
      caller.Run(Repeat::kSafe, deadline, [&](grpc::ClientContext& context) {
        auto reader = state_->predictions->PredictMatrix(&context, request);
        api::PredictMatrixResponse rows;
        while (local.ok() && reader->Read(&rows)) {
          seen = true;
          local = on_rows(rows);
          if (!local.ok()) context.TryCancel();
        }
        Attempt attempt = caller.Outcome(reader->Finish(), context);
        if (!local.ok()) return Attempt{local, std::nullopt};
        if (seen && !attempt.status.ok()) {
          // Rows were handed out: repeating would hand them out twice. The
          // code is one that `Run` gives up on, the message the true one.
          if (absl::IsUnavailable(attempt.status)) {
            attempt.status = absl::AbortedError(absl::StrCat(
                "the answer broke off: ", attempt.status.message()));
          }
          attempt.retry_after.reset();
        }
        return attempt;
      });
  return status;
}

}  // namespace perfvec::client
