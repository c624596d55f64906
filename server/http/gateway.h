// Answers HTTP requests with the calls of the server, over gRPC's in-process
// channel: one implementation, one set of limits, one set of metrics for both.
//
// Knows nothing of sockets. Any thread; `done` is called exactly once, on the
// caller's thread or one of gRPC's, and must not block. The gateway must
// outlive its calls: AwaitCalls before it goes.
//
//   Gateway gateway(server->InProcessChannel(arguments), hooks);
//   Request request{"GET", "/v1/programs/mcf"};
//   gateway.Handle(request, [](Response response) { ... });
#ifndef PERFVEC_SERVER_HTTP_GATEWAY_H_
#define PERFVEC_SERVER_HTTP_GATEWAY_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http/stream_call.h"
#include "server/http/transcode.h"

namespace perfvec::server::http {

struct Request {
  std::string method;
  std::string target;  // path and query, as sent
  std::string content_type;
  std::string body;
  // Who asks: the header Authorization, the id that the peer or we gave the
  // request, and where the peer is.
  std::string authorization, request_id, peer;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};
Response ErrorResponse(int http_status, const absl::Status& status,
                       int retry_after_ms = 0);
// With the status that belongs to the code.
Response ErrorResponse(const Outcome& outcome);
// The JSON of a message, and the headers that repeat what it says.
Response MessageResponse(const google::protobuf::Message& message);

class Gateway {
 public:
  struct Hooks {
    std::function<std::string()> metrics;  // the text of /metrics
    std::function<absl::Status()> ready;   // of /readyz
    // Whether the peer may make the call with this path of gRPC (or
    // "/metrics"). Empty: everybody may do everything.
    std::function<absl::Status(const std::string& path, const Request&)>
        authorize;
  };
  Gateway(std::shared_ptr<grpc::Channel> channel, Hooks hooks);

  // The row for a target; what has none is answered by Handle.
  Match Find(const Request& request) const;
  // To be asked before a body is read and before the two below.
  absl::Status Authorize(const Request& request, const Match& match) const;
  // Returns what cancels the call; empty if it is answered already.
  std::function<void()> Handle(const Request& request,
                               std::function<void(Response)> done);
  // For rows that are not unary; the first message of an upload is the
  // caller's to write.
  std::shared_ptr<StreamCall> StartStream(const Route& route,
                                          const Request& request);
  // Until none is under way, at most so long.
  void AwaitCalls(absl::Duration timeout = absl::InfiniteDuration()) {
    calls_.AwaitNone(timeout);
  }

 private:
  struct UnaryCall;
  // Tells the services behind the channel who asks.
  CallMetadata MetadataOf(const Request& request) const;
  Response HandleLocal(const Request& request, absl::string_view path,
                       const Match& match);

  GenericStub stub_;
  const Hooks hooks_;
  CallCount calls_;
};

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_GATEWAY_H_
