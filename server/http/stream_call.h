// A streaming call over the in-process channel, one operation at a time.
//
// Any thread; handlers run on gRPC's threads and must not block. At most one
// Write and one Read are under way. Read hands over the next answer, or null
// and how the call ended; after that no further Read. The call keeps itself
// alive until it has ended, which Cancel hastens; whoever drops a call before
// it ended must Cancel it.
//
//   auto call = StreamCall::Start(stub, CallPath(method), {}, response_type,
//                                 &count);
//   call->WriteLast(std::move(request));
//   call->Read([](const google::protobuf::Message* next, Outcome outcome) {});
#ifndef PERFVEC_SERVER_HTTP_STREAM_CALL_H_
#define PERFVEC_SERVER_HTTP_STREAM_CALL_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/http/transcode.h"

namespace perfvec::server::http {

using GenericStub = grpc::TemplatedGenericStub<google::protobuf::MessageLite,
                                               google::protobuf::MessageLite>;

using CallMetadata = std::vector<std::pair<std::string, std::string>>;

// How a call ended.
struct Outcome {
  absl::Status status;
  int retry_after_ms = 0;  // 0: no hint
};
Outcome MakeOutcome(const grpc::Status& status,
                    const grpc::ClientContext& context);

// Calls under way, so that the end can wait for them. Any thread.
class CallCount {
 public:
  void Begin() {
    absl::MutexLock lock(&mutex_);
    ++calls_;
  }
  void End() {
    absl::MutexLock lock(&mutex_);
    --calls_;
  }
  void AwaitNone(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](int* calls) { return *calls == 0; }, &calls_),
        timeout);
  }

 private:
  absl::Mutex mutex_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

class StreamCall final
    : public grpc::ClientBidiReactor<google::protobuf::MessageLite,
                                     google::protobuf::MessageLite> {
 public:
  using ReadHandler =
      std::function<void(const google::protobuf::Message*, const Outcome&)>;

  static std::shared_ptr<StreamCall> Start(
      GenericStub& stub, const std::string& path, const CallMetadata& metadata,
      const google::protobuf::Descriptor* response, CallCount* count);

  // `done(false)`: the call has ended, Read says why.
  void Write(MessagePtr message, std::function<void(bool)> done);
  void WriteLast(MessagePtr message);
  void WritesDone();
  void Read(ReadHandler handler);
  void Cancel();

 private:
  explicit StreamCall(const google::protobuf::Descriptor* response,
                      CallCount* count)
      : count_(count), answer_(NewMessage(response)) {}

  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void LetEnd();

  CallCount* const count_;
  grpc::ClientContext context_;
  MessagePtr request_, answer_;
  std::shared_ptr<StreamCall> self_;  // until OnDone
  absl::Mutex mutex_;
  std::function<void(bool)> on_write_ ABSL_GUARDED_BY(mutex_);
  ReadHandler on_read_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = true;  // gRPC must not end it yet
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  Outcome outcome_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_STREAM_CALL_H_
