#include "server/http/connection.h"

#include <xxhash.h>

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/log.h"
#include "proto/request_id.h"
#include "server/http/compress.h"
#include "spdlog/spdlog.h"

namespace perfvec::server::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace bhttp = beast::http;

constexpr size_t kBufferBytes = 64 << 10;
constexpr size_t kMinGzipBytes = 1024;
// What is still taken in from a peer that has been answered before it had sent
// everything: a socket closed with unread bytes would take the answer along.
constexpr size_t kMaxDrainBytes = 1 << 20;
constexpr std::chrono::seconds kDrainTime(2);
// A peer that takes a large answer more slowly than this is cut off.
constexpr size_t kMinAnswerBytesPerSecond = 64 << 10;

absl::string_view View(beast::string_view text) {
  return {text.data(), text.size()};
}

// Without the port.
absl::string_view HostName(absl::string_view host) {
  if (absl::StartsWith(host, "[")) {
    return host.substr(0, host.find(']') + 1);
  }
  return host.substr(0, host.find(':'));
}

bool IsLoopbackName(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  std::string bare(host);
  if (absl::StartsWith(bare, "[") && absl::EndsWith(bare, "]")) {
    bare = bare.substr(1, bare.size() - 2);
  }
  boost::system::error_code error;
  const auto address = net::ip::make_address(bare, error);
  return !error && address.is_loopback();
}

// The web page keeps its token where streams of events find it, too; other
// sites' pages cannot make a browser send it (SameSite=Strict).
std::string CookieToken(absl::string_view cookies) {
  for (absl::string_view cookie : absl::StrSplit(cookies, ';')) {
    cookie = absl::StripAsciiWhitespace(cookie);
    if (absl::ConsumePrefix(&cookie, "perfvec_token=")) {
      return absl::StrCat("Bearer ", cookie);
    }
  }
  return "";
}

bool MatchesEtag(absl::string_view header, absl::string_view etag) {
  for (absl::string_view item : absl::StrSplit(header, ',')) {
    item = absl::StripAsciiWhitespace(item);
    if (item == "*" || item == etag) return true;
  }
  return false;
}

}  // namespace

Connection::Connection(net::ip::tcp::socket socket,
                       std::shared_ptr<net::ssl::context> tls,
                       ConnectionContext* context)
    : context_(context),
      options_(*context->options),
      stream_(std::move(socket), std::move(tls)),
      buffer_(kBufferBytes),
      heartbeat_(stream_.get_executor()),
      peer_watch_(stream_.get_executor()) {}

Connection::~Connection() { context_->remove(this); }

void Connection::Post(std::function<void()> task) {
  net::post(stream_.get_executor(), std::move(task));
}

void Connection::Start() {
  Post([self = shared_from_this()] {
    boost::system::error_code ignored;
    self->stream_.socket().set_option(net::ip::tcp::no_delay(true), ignored);
    const auto peer = self->stream_.socket().remote_endpoint(ignored);
    if (!ignored) {
      self->peer_ = absl::StrCat(peer.address().to_string(), ":", peer.port());
    }
    if (!self->stream_.encrypted()) {
      self->AwaitRequest();
      return;
    }
    self->stream_.expires_after(
        absl::ToChronoMilliseconds(self->options_.header_timeout));
    self->stream_.AsyncHandshake([self](const Error& error) {
      if (error) {
        self->stream_.close();
      } else {
        self->AwaitRequest();
      }
    });
  });
}

void Connection::Close(bool only_if_idle) {
  Post([self = shared_from_this(), only_if_idle] {
    if (only_if_idle && self->idle_since_ == 0) return;
    self->closed_ = true;
    if (self->call_ != nullptr) self->call_->Cancel();
    if (self->cancel_) std::exchange(self->cancel_, nullptr)();
    self->heartbeat_.cancel();
    self->peer_watch_.cancel();
    self->stream_.close();
  });
}

bool Connection::Evict() {
  if (idle_since_.exchange(0) == 0) return false;
  Close(false);
  return true;
}

bool Connection::KeepAlive() const {
  return keep_alive_ && !body_unread_ && !context_->draining;
}

void Connection::AwaitRequest() {
  header_parser_.emplace();
  body_parser_.reset();
  upload_parser_.reset();
  call_.reset();
  request_ = Request();
  match_ = Match();
  keep_alive_ = true;
  body_unread_ = false;
  if (buffer_.size() > 0) {  // the next request is here already
    ReadHeader();
    return;
  }
  if (context_->draining) {
    CloseGently();
    return;
  }
  idle_since_ = ++context_->clock;
  stream_.expires_after(absl::ToChronoMilliseconds(options_.idle_timeout));
  stream_.async_read_some(
      buffer_.prepare(4096),
      [self = shared_from_this()](const Error& error, size_t bytes) {
        self->idle_since_ = 0;
        if (error) {
          self->stream_.close();
          return;
        }
        self->buffer_.commit(bytes);
        self->ReadHeader();
      });
}

void Connection::ReadHeader() {
  header_parser_->header_limit(options_.max_header_bytes);
  // Judged in OnHeader. Boost 1.74 takes "none" for a limit of nothing.
  header_parser_->body_limit(std::numeric_limits<uint64_t>::max());
  stream_.expires_after(absl::ToChronoMilliseconds(options_.header_timeout));
  bhttp::async_read_header(
      stream_, buffer_, *header_parser_,
      [self = shared_from_this()](const Error& error, size_t) {
        self->OnHeader(error);
      });
}

void Connection::OnHeader(const Error& error) {
  if (error) {
    RefuseRead(error);
    return;
  }
  const auto& header = header_parser_->get();
  request_.method = std::string(header.method_string());
  request_.target = std::string(header.target());
  request_.content_type = std::string(header[bhttp::field::content_type]);
  request_.authorization = std::string(header[bhttp::field::authorization]);
  if (request_.authorization.empty()) {
    request_.authorization = CookieToken(View(header[bhttp::field::cookie]));
  }
  request_.request_id = RequestId(View(header["X-Request-Id"]));
  request_.peer = peer_;
  head_ = request_.method == "HEAD";
  version_ = header.version();
  keep_alive_ = header_parser_->keep_alive();
  accepts_gzip_ = AcceptsGzip(View(header[bhttp::field::accept_encoding]));
  if_none_match_ = std::string(header[bhttp::field::if_none_match]);
  expect_ = std::string(header[bhttp::field::expect]);
  const auto length = header_parser_->content_length();
  body_unread_ = header_parser_->chunked() || (length && *length > 0);
  if (absl::Status bad = CheckHeader(); !bad.ok()) {
    // Where a body ends is in doubt once its framing is.
    keep_alive_ = keep_alive_ && !absl::IsInvalidArgument(bad);
    Answer(ErrorResponse({bad, 0}));
    return;
  }
  match_ = context_->gateway->Find(request_);
  if (absl::Status bad = context_->gateway->Authorize(request_, match_);
      !bad.ok()) {
    Answer(ErrorResponse({bad, absl::IsResourceExhausted(bad) ? 1000 : 0}));
    return;
  }
  if (match_.route == nullptr) {
    Dispatch();
  } else if (context_->draining) {
    Answer(ErrorResponse(
        {absl::UnavailableError("the server is shutting down"), 1000}));
  } else if (match_.route->kind == RouteKind::kUpload ||
             match_.route->kind == RouteKind::kModel) {
    StartUpload();
  } else if (!body_unread_) {
    Dispatch();
  } else if (length && *length > options_.max_body_bytes) {
    RefuseRead(bhttp::error::body_limit);
  } else if (!absl::EqualsIgnoreCase(
                 absl::StripAsciiWhitespace(request_.content_type.substr(
                     0, request_.content_type.find(';'))),
                 "application/json")) {
    Answer(ErrorResponse(415,
                         absl::InvalidArgumentError(absl::StrCat(
                             "expected Content-Type: application/json, found '",
                             request_.content_type, "'"))));
  } else {
    SendContinue([self = shared_from_this()] { self->ReadBody(); });
  }
}

absl::Status Connection::CheckHeader() {
  const auto& header = header_parser_->get();
  if (version_ != 10 && version_ != 11) {
    return absl::InvalidArgumentError("expected HTTP/1.0 or 1.1");
  }
  if (!absl::StartsWith(request_.target, "/")) {
    return absl::InvalidArgumentError("expected a target that begins with '/'");
  }
  const auto coding = header[bhttp::field::transfer_encoding];
  if (header.count(bhttp::field::transfer_encoding) > 0 &&
      (!header_parser_->chunked() ||
       !absl::EqualsIgnoreCase(View(coding), "chunked"))) {
    return absl::InvalidArgumentError(
        "expected no Transfer-Encoding but chunked");
  }
  const auto encoding = View(header[bhttp::field::content_encoding]);
  if (!encoding.empty() && !absl::EqualsIgnoreCase(encoding, "identity")) {
    return absl::InvalidArgumentError(
        "bodies with Content-Encoding are not "
        "taken; send it as it is");
  }
  const size_t hosts = header.count(bhttp::field::host);
  if (hosts > 1 || (hosts == 0 && version_ == 11)) {
    return absl::InvalidArgumentError("expected one Host header");
  }
  const absl::string_view host = View(header[bhttp::field::host]);
  if (hosts == 1 && context_->on_loopback && !IsLoopbackName(HostName(host)) &&
      std::none_of(options_.host_names.begin(), options_.host_names.end(),
                   [&](const std::string& name) {
                     return absl::EqualsIgnoreCase(name, HostName(host));
                   })) {
    return absl::PermissionDeniedError(
        absl::StrCat("Host '", host,
                     "' is no name of this machine's loopback; allow it "
                     "with --http-host-name"));
  }
  const absl::string_view origin = View(header[bhttp::field::origin]);
  const bool reads = request_.method == "GET" || head_;
  if (!reads && !origin.empty() && origin != absl::StrCat("http://", host) &&
      origin != absl::StrCat("https://", host)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "a page of ", origin, " may not change what ", host, " keeps"));
  }
  upload_header_ = UploadHeader();
  if (const auto length = header_parser_->content_length()) {
    upload_header_.content_length = *length;
  }
  for (const auto& [name, number] :
       {std::make_pair("Upload-Offset", &upload_header_.upload_offset),
        std::make_pair("Manifest-Size", &upload_header_.manifest_size)}) {
    const absl::string_view text = View(header[name]);
    if (text.empty()) continue;
    if (!absl::SimpleAtoi(text, &number->emplace())) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": expected a number of bytes, found '", text, "'"));
    }
  }
  return absl::OkStatus();
}

void Connection::SendContinue(std::function<void()> then) {
  if (!absl::EqualsIgnoreCase(expect_, "100-continue") || version_ != 11) {
    then();
    return;
  }
  static constexpr absl::string_view kContinue =
      "HTTP/1.1 100 Continue\r\n\r\n";
  stream_.expires_after(absl::ToChronoMilliseconds(options_.write_timeout));
  net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()),
                   [self = shared_from_this(), then = std::move(then)](
                       const Error& error, size_t) {
                     if (error) {
                       self->stream_.close();
                     } else {
                       then();
                     }
                   });
}

void Connection::ReadBody() {
  body_parser_.emplace(std::move(*header_parser_));
  body_parser_->body_limit(options_.max_body_bytes);
  stream_.expires_after(absl::ToChronoMilliseconds(options_.body_timeout));
  bhttp::async_read(stream_, buffer_, *body_parser_,
                    [self = shared_from_this()](const Error& error, size_t) {
                      if (error) {
                        self->RefuseRead(error);
                        return;
                      }
                      self->body_unread_ = false;
                      self->request_.body =
                          std::move(self->body_parser_->get().body());
                      self->Dispatch();
                    });
}

void Connection::Dispatch() {
  stream_.expires_never();
  const bool streams =
      match_.route != nullptr && match_.route->kind != RouteKind::kUnary;
  if (streams) {
    StartStream();
    return;
  }
  cancel_ = context_->gateway->Handle(
      request_, [self = shared_from_this()](Response response) {
        auto shared = std::make_shared<Response>(std::move(response));
        self->Post([self, shared] { self->Answer(std::move(*shared)); });
      });
  if (cancel_) WatchPeer();
}

void Connection::RefuseRead(const Error& error) {
  const bool speaks =
      error != bhttp::error::end_of_stream &&
      error != bhttp::error::partial_message &&
      error.category() ==
          bhttp::make_error_code(bhttp::error::bad_method).category();
  if (!speaks) {
    stream_.close();
    return;
  }
  keep_alive_ = false;
  if (error == bhttp::error::header_limit) {
    Answer(ErrorResponse(431, absl::InvalidArgumentError(absl::StrCat(
                                  "a header of more than ",
                                  options_.max_header_bytes, " bytes"))));
  } else if (error == bhttp::error::body_limit) {
    Answer(ErrorResponse(
        413, absl::InvalidArgumentError(absl::StrCat(
                 "a body of more than ", options_.max_body_bytes, " bytes"))));
  } else {
    Answer(ErrorResponse({absl::InvalidArgumentError(absl::StrCat(
                              "not a request of HTTP: ", error.message())),
                          0}));
  }
}

void Connection::Answer(Response from) {
  cancel_ = nullptr;
  ++watch_;
  if (closed_) return;
  auto response = std::make_shared<bhttp::response<StringBody>>();
  const bool reads = request_.method == "GET" || head_;
  if (reads && from.status == 200) {
    const std::string etag = absl::StrCat(
        "W/\"", absl::Hex(XXH3_64bits(from.body.data(), from.body.size())),
        "\"");
    response->set(bhttp::field::etag, etag);
    response->set(bhttp::field::cache_control, request_.authorization.empty()
                                                   ? "no-cache"
                                                   : "private, no-cache");
    response->set(bhttp::field::vary, "Accept-Encoding");
    if (MatchesEtag(if_none_match_, etag)) {
      from.status = 304;
      from.body.clear();
    }
  } else {
    response->set(bhttp::field::cache_control, "no-store");
  }
  if (accepts_gzip_ && from.body.size() >= kMinGzipBytes) {
    std::string packed = Gzip(from.body);
    if (!packed.empty()) {
      from.body = std::move(packed);
      response->set(bhttp::field::content_encoding, "gzip");
    }
  }
  response->version(version_ == 10 ? 10 : 11);
  response->result(static_cast<unsigned>(from.status));
  if (from.status == 499) response->reason("Client Closed Request");
  response->set("X-Content-Type-Options", "nosniff");
  if (!request_.request_id.empty()) {
    response->set("X-Request-Id", request_.request_id);
  }
  for (const auto& [name, value] : from.headers) response->set(name, value);
  response->keep_alive(KeepAlive());
  if (from.status != 304) {
    response->set(bhttp::field::content_type, from.content_type);
    response->content_length(from.body.size());
    if (!head_) response->body() = std::move(from.body);
  }
  context_->count_answer(from.status);
  if (spdlog::should_log(spdlog::level::debug)) {
    LogScope scope(request_.request_id);
    spdlog::debug("HTTP {} {} from {}: {}", request_.method, request_.target,
                  peer_, from.status);
  }
  stream_.expires_after(
      absl::ToChronoMilliseconds(options_.write_timeout) +
      std::chrono::seconds(response->body().size() / kMinAnswerBytesPerSecond));
  bhttp::async_write(
      stream_, *response,
      [self = shared_from_this(), response](const Error& error, size_t) {
        if (error) {
          self->stream_.close();
        } else if (response->keep_alive()) {
          self->AwaitRequest();
        } else {
          self->CloseGently();
        }
      });
}

void Connection::CloseGently() {
  if (!stream_.encrypted()) {
    EndSending();
    return;
  }
  // Says farewell and waits for the peer's, which a peer that is still sending
  // its body does not give.
  stream_.expires_after(kDrainTime);
  stream_.AsyncShutdown(
      [self = shared_from_this()](const Error&) { self->EndSending(); });
}

void Connection::EndSending() {
  boost::system::error_code error;
  stream_.socket().shutdown(net::ip::tcp::socket::shutdown_send, error);
  if (error) {
    stream_.close();
    return;
  }
  stream_.expires_after(kDrainTime);
  DrainInput(kMaxDrainBytes);
}

void Connection::DrainInput(size_t left) {
  buffer_.clear();
  // What TLS would make of it does not matter any more.
  stream_.AsyncReadRaw(
      buffer_.prepare(kBufferBytes / 2),
      [self = shared_from_this(), left](const Error& error, size_t bytes) {
        if (error || bytes >= left) {
          self->stream_.close();
        } else {
          self->DrainInput(left - bytes);
        }
      });
}

}  // namespace perfvec::server::http
