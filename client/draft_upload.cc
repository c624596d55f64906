#include "client/draft_upload.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/local_file.h"
#include "client/state.h"
#include "client/upload_stream.h"

namespace perfvec::client {
namespace {

// A smaller file is not worth a draft.
constexpr uint64_t kFirstBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxStreamBytes = uint64_t{256} << 20;

std::string RandomName() {
  std::random_device random;
  std::string name;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&name, absl::Hex(random(), absl::kZeroPad8));
  }
  return name;
}

}  // namespace

class DraftUpload::Sender {
 public:
  Sender(const Caller* caller, api::TraceService::Stub* stub, std::string path)
      : caller_(caller), stub_(stub), path_(std::move(path)) {}

  void Grown(uint64_t size_bytes) {
    absl::MutexLock lock(&mutex_);
    if (size_bytes < taken_bytes_) spoilt_ = true;
    size_bytes_ = size_bytes;
    if (thread_.joinable() || over_) return;
    auto file = LocalFile::Open(path_);
    over_ = !file.ok();  // UploadTrace will say so of the whole file
    if (over_) return;
    file_.emplace(*std::move(file));
    thread_ = std::thread([this] { Run(); });
  }

  std::string End(bool keep) {
    {
      absl::MutexLock lock(&mutex_);
      over_ = true;
      if (context_ != nullptr) context_->TryCancel();
    }
    if (thread_.joinable()) thread_.join();
    absl::MutexLock lock(&mutex_);
    if (!asked_) return "";
    if (keep && !spoilt_) {
      ended_ = true;
      return name_;
    }
    if (!ended_) Drop();
    ended_ = true;
    return "";
  }

  uint64_t committed_bytes() const {
    absl::MutexLock lock(&mutex_);
    return committed_bytes_;
  }

 private:
  void Drop() {
    if (upload_.upload_id().empty()) return;
    grpc::ClientContext context;
    caller_->Prepare(&context);
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(2)));
    api::AbortUploadRequest request;
    request.set_upload_id(upload_.upload_id());
    google::protobuf::Empty none;
    // Where this does not arrive, it expires.
    (void)stub_->AbortUpload(&context, request, &none);
  }

  // One call that End() can cancel.
  template <typename Call>
  Attempt Try(absl::Duration timeout, Call call) {
    grpc::ClientContext context;
    caller_->Prepare(&context);
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    {
      absl::MutexLock lock(&mutex_);
      if (over_) return {absl::CancelledError("ended"), std::nullopt};
      asked_ = true;
      context_ = &context;
    }
    Attempt attempt = call(context);
    absl::MutexLock lock(&mutex_);
    context_ = nullptr;
    return attempt;
  }

  Attempt Begin() {
    return Try(caller_->options().timeout, [&](grpc::ClientContext& context) {
      api::BeginUploadRequest request;
      request.set_draft(name_);
      return caller_->Outcome(stub_->BeginUpload(&context, request, &upload_),
                              context);
    });
  }

  Attempt Send(uint64_t end) {
    return Try(
        caller_->options().stall_timeout, [&](grpc::ClientContext& context) {
          const auto go_on = [](uint64_t) { return absl::OkStatus(); };
          api::Upload answer;
          StreamEnd ended =
              SendStream(*caller_, *stub_, context, *file_, upload_.upload_id(),
                         upload_.committed_size_bytes(), end, go_on, &answer);
          if (ended.attempt.status.ok()) upload_ = std::move(answer);
          // Of no use to try again: the file cannot be read, or has become
          // shorter.
          if (ended.local) ended.attempt.status = absl::CancelledError("file");
          return std::move(ended.attempt);
        });
  }

  // Waits for a whole piece behind `from`; gives the end of those that are
  // there, which then count as sent, or 0 once it is over.
  uint64_t AwaitPieces(uint64_t from, uint64_t piece_bytes) {
    auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return over_ || spoilt_ || size_bytes_ >= from + piece_bytes;
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&ready));
    if (over_ || spoilt_) return 0;
    const uint64_t most = std::max(kMaxStreamBytes, piece_bytes);
    const uint64_t bytes = std::min(size_bytes_ - from, most);
    const uint64_t end = from + bytes / piece_bytes * piece_bytes;
    taken_bytes_ = std::max(taken_bytes_, end);
    return end;
  }

  bool AwaitFirstBytes() {
    auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return over_ || size_bytes_ >= kFirstBytes;
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&ready));
    return !over_;
  }

  // False once it is over.
  bool Pause(absl::Duration pause) {
    absl::MutexLock lock(&mutex_);
    return !mutex_.AwaitWithTimeout(absl::Condition(&over_), pause);
  }

  void Run() {
    RetryPolicy policy = caller_->options().retry;
    policy.max_attempts = std::numeric_limits<int>::max();
    Backoff backoff(policy, absl::InfiniteFuture(), std::random_device{}());
    if (!AwaitFirstBytes()) return;
    bool begun = false;
    while (true) {
      Attempt attempt;
      if (!begun) {
        attempt = Begin();
      } else {
        const uint64_t from = upload_.committed_size_bytes();
        const uint64_t end = AwaitPieces(from, upload_.piece_size_bytes());
        if (end == 0) return;
        attempt = Send(end);
        if (upload_.committed_size_bytes() > from) {
          backoff.Progressed();
        } else if (attempt.status.ok()) {
          attempt.status = absl::UnavailableError("nothing was committed");
        }
      }
      begun = attempt.status.ok();
      // A server that knows of drafts says in what pieces it takes them.
      if (begun && upload_.piece_size_bytes() == 0) return;
      if (begun) {
        absl::MutexLock lock(&mutex_);
        committed_bytes_ = upload_.committed_size_bytes();
        continue;
      }
      if (!WorthResuming(attempt)) return;
      const auto pause = backoff.NextPause(attempt.retry_after, absl::Now());
      if (!pause || !Pause(*pause)) return;
    }
  }

  const Caller* const caller_;
  api::TraceService::Stub* const stub_;
  const std::string path_;
  const std::string name_ = RandomName();
  std::optional<LocalFile> file_;  // set before the thread begins
  api::Upload upload_;             // the thread's, while it runs
  mutable absl::Mutex mutex_;
  uint64_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t taken_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // sent, or about to be
  uint64_t committed_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;   // the server may know of it
  bool spoilt_ ABSL_GUARDED_BY(mutex_) = false;  // other bytes were sent
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // handed on, or dropped
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

DraftUpload::DraftUpload(const Client* client, std::string path)
    : sender_(std::make_unique<Sender>(&client->state_->caller,
                                       client->state_->traces.get(),
                                       std::move(path))) {}

DraftUpload::~DraftUpload() { sender_->End(/*keep=*/false); }

void DraftUpload::Grown(uint64_t size_bytes) { sender_->Grown(size_bytes); }

std::string DraftUpload::End() { return sender_->End(/*keep=*/true); }

uint64_t DraftUpload::committed_bytes() const {
  return sender_->committed_bytes();
}

}  // namespace perfvec::client
