#include "server/http/gateway.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "perfvec/v1/trace_service.pb.h"
#include "server/http/kubernetes.h"
#include "server/http/openapi.h"
#include "server/http/web_files.h"
#include "server/security/rpc_guard.h"

namespace perfvec::server::http {
namespace {

absl::string_view PathOf(absl::string_view target) {
  return target.substr(0, target.find('?'));
}
absl::string_view QueryOf(absl::string_view target) {
  const size_t mark = target.find('?');
  return mark == target.npos ? "" : target.substr(mark + 1);
}

Response TextResponse(int status, std::string body) {
  Response response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

// Kubernetes' extender, by POST /v1/rank.
std::function<void()> HandleExtender(Gateway& gateway, const Request& request,
                                     std::function<void(Response)> done) {
  absl::StatusOr<ExtenderCall> parsed =
      ParseExtenderCall(PathOf(request.target), request.body);
  if (!parsed.ok()) {
    done(ErrorResponse({parsed.status(), 0}));
    return nullptr;
  }
  if (parsed->program.empty()) {
    Response response;
    response.body = ExtenderAnswer(*parsed, "");
    done(std::move(response));
    return nullptr;
  }
  Request rank = request;
  rank.target = "/v1/rank";
  rank.content_type = "application/json";
  rank.body = RankBody(*parsed);
  auto call = std::make_shared<ExtenderCall>(*std::move(parsed));
  return gateway.Handle(
      rank, [call, done = std::move(done)](Response response) {
        // Who may not ask is told so; what is not known keeps no pod waiting.
        if (response.status != 401 && response.status != 403) {
          response.body = ExtenderAnswer(
              *call, response.status == 200 ? response.body : "");
          response.status = 200;
          response.headers.clear();
        }
        done(std::move(response));
      });
}

}  // namespace

Response ErrorResponse(int http_status, const absl::Status& status,
                       int retry_after_ms) {
  Response response;
  response.status = http_status;
  response.body = ErrorJson(http_status, status);
  if (retry_after_ms > 0) {
    response.headers.emplace_back("Retry-After",
                                  absl::StrCat((retry_after_ms + 999) / 1000));
  }
  return response;
}

Response ErrorResponse(const Outcome& outcome) {
  Response response = ErrorResponse(HttpStatus(outcome.status.code()),
                                    outcome.status, outcome.retry_after_ms);
  if (response.status == 401) {
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
  }
  return response;
}

Response MessageResponse(const google::protobuf::Message& message) {
  absl::StatusOr<std::string> json = ToJson(message);
  if (!json.ok()) return ErrorResponse({json.status(), 0});
  Response response;
  response.body = *std::move(json);
  if (message.GetDescriptor() == v1::Upload::descriptor()) {
    const auto& upload = static_cast<const v1::Upload&>(message);
    response.headers.emplace_back("Upload-Offset",
                                  absl::StrCat(upload.committed_size_bytes()));
    response.headers.emplace_back("Upload-Length",
                                  absl::StrCat(upload.size_bytes()));
  }
  return response;
}

struct Gateway::UnaryCall {
  grpc::ClientContext context;
  MessagePtr request, response;
  std::function<void(Response)> done;
};

Gateway::Gateway(std::shared_ptr<grpc::Channel> channel, Hooks hooks)
    : stub_(std::move(channel)), hooks_(std::move(hooks)) {}

Match Gateway::Find(const Request& request) const {
  const absl::string_view path = PathOf(request.target);
  // The extender's calls are Rank, and are read and admitted as it is.
  return MatchRoute(
      request.method,
      request.method == "POST" && IsExtenderPath(path) ? "/v1/rank" : path);
}

absl::Status Gateway::Authorize(const Request& request,
                                const Match& match) const {
  if (!hooks_.authorize) return absl::OkStatus();
  if (match.route != nullptr) {
    return hooks_.authorize(CallPath(*FindCall(*match.route)), request);
  }
  const absl::string_view path = PathOf(request.target);
  return path == "/metrics" ? hooks_.authorize("/metrics", request)
                            : absl::OkStatus();
}

CallMetadata Gateway::MetadataOf(const Request& request) const {
  CallMetadata metadata;
  metadata.emplace_back(kRequestIdMetadata, request.request_id);
  metadata.emplace_back(kPeerMetadata, request.peer);
  if (!hooks_.authorize) return metadata;
  // gRPC aborts the process for other bytes.
  if (!request.authorization.empty() &&
      std::all_of(request.authorization.begin(), request.authorization.end(),
                  absl::ascii_isprint)) {
    metadata.emplace_back(kAuthorizationMetadata, request.authorization);
  }
  return metadata;
}

std::function<void()> Gateway::Handle(const Request& request,
                                      std::function<void(Response)> done) {
  const absl::string_view path = PathOf(request.target);
  const Match match = MatchRoute(request.method, path);
  if (match.route == nullptr && request.method == "POST" &&
      IsExtenderPath(path)) {
    return HandleExtender(*this, request, std::move(done));
  }
  if (match.route == nullptr) {
    done(HandleLocal(request, path, match));
    return nullptr;
  }
  absl::StatusOr<MessagePtr> made =
      MakeRequest(match, QueryOf(request.target), request.body);
  if (!made.ok()) {
    done(ErrorResponse({made.status(), 0}));
    return nullptr;
  }
  const auto* method = FindCall(*match.route);
  auto call = std::make_shared<UnaryCall>();
  call->request = *std::move(made);
  call->response = NewMessage(method->output_type());
  call->done = std::move(done);
  for (const auto& [key, value] : MetadataOf(request)) {
    call->context.AddMetadata(key, value);
  }
  calls_.Begin();
  stub_.UnaryCall(&call->context, CallPath(*method), {}, call->request.get(),
                  call->response.get(), [this, call](grpc::Status status) {
                    call->done(status.ok() ? MessageResponse(*call->response)
                                           : ErrorResponse(MakeOutcome(
                                                 status, call->context)));
                    call->done = nullptr;
                    calls_.End();
                  });
  return [call] { call->context.TryCancel(); };
}

std::shared_ptr<StreamCall> Gateway::StartStream(const Route& route,
                                                 const Request& request) {
  const auto* method = FindCall(route);
  return StreamCall::Start(stub_, CallPath(*method), MetadataOf(request),
                           method->output_type(), &calls_);
}

Response Gateway::HandleLocal(const Request& request, absl::string_view path,
                              const Match& match) {
  const bool get = request.method == "GET" || request.method == "HEAD";
  const WebFile* file = FindWebFile(path);
  const bool known = file != nullptr || path == "/healthz" ||
                     path == "/readyz" || path == "/metrics" ||
                     path == "/v1/openapi.json";
  if (!match.allowed.empty() || (known && !get)) {
    const std::string allowed = known ? "GET, HEAD" : match.allowed;
    Response response = ErrorResponse(
        405, absl::UnimplementedError(absl::StrCat(
                 path, " takes ", allowed, "; found ", request.method)));
    response.headers.emplace_back("Allow", allowed);
    return response;
  }
  if (path == "/healthz") return TextResponse(200, "ok\n");
  if (path == "/readyz") {
    const absl::Status ready = hooks_.ready();
    return ready.ok() ? TextResponse(200, "ready\n")
                      : ErrorResponse({ready, 1000});
  }
  if (path == "/metrics") {
    Response response = TextResponse(200, hooks_.metrics());
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }
  Response response;
  if (path == "/v1/openapi.json") {
    response.body = OpenApiJson();
    return response;
  }
  if (file != nullptr) {
    response.content_type = std::string(file->content_type);
    response.body = std::string(file->content);
    response.headers.emplace_back("Content-Security-Policy",
                                  "default-src 'self'; img-src 'self' data:; "
                                  "frame-ancestors 'none'; base-uri 'none'");
    return response;
  }
  return ErrorResponse(
      {absl::NotFoundError(absl::StrCat(
           "no such path: ", path, "; /v1/openapi.json lists what there is")),
       0});
}

}  // namespace perfvec::server::http
