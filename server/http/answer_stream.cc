// Connection: the messages of a streaming call as a chunked answer.
//
// The next message is asked for when the one before has been sent, so that a
// slow reader holds the call back and nothing piles up. An error before the
// first message is an ordinary answer; a later one is an event, or the cut of
// an answer that would otherwise look whole.
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/http/connection.h"

namespace perfvec::server::http {
namespace {

namespace net = boost::asio;
using google::protobuf::Message;

// How soon a TLS peer's leaving is noticed.
constexpr std::chrono::milliseconds kTlsPeerWatch(250);

const char* ContentType(RouteKind kind) {
  switch (kind) {
    case RouteKind::kEvents:
      return "text/event-stream";
    case RouteKind::kBytes:
      return "application/octet-stream";
    default:
      return "application/json";
  }
}

}  // namespace

void Connection::StartStream() {
  if (version_ != 11) {
    Answer(ErrorResponse(
        {absl::InvalidArgumentError("a stream needs HTTP/1.1"), 0}));
    return;
  }
  const size_t mark = request_.target.find('?');
  absl::StatusOr<MessagePtr> made = MakeRequest(
      match_, mark == std::string::npos ? "" : request_.target.substr(mark + 1),
      request_.body);
  if (!made.ok()) {
    Answer(ErrorResponse({made.status(), 0}));
    return;
  }
  if (head_) {
    Response response;
    response.content_type = ContentType(match_.route->kind);
    Answer(std::move(response));
    return;
  }
  stream_begun_ = stream_failed_ = writing_ = false;
  after_write_ = nullptr;
  if (match_.route->kind == RouteKind::kEvents) {
    keep_alive_ = false;  // the peer's leaving is what ends most of them
    WatchPeer();
  }
  call_ = context_->gateway->StartStream(*match_.route, request_);
  call_->WriteLast(*std::move(made));
  NextMessage();
}

void Connection::NextMessage() {
  if (closed_) return;
  call_->Read([self = shared_from_this(), call = call_](
                  const Message* message, const Outcome& outcome) {
    // The message stays until the next Read.
    self->Post(
        [self, call, message, outcome] { self->OnMessage(message, outcome); });
  });
}

void Connection::OnMessage(const Message* message, const Outcome& outcome) {
  if (closed_) return;
  if (message == nullptr && !outcome.status.ok() && !stream_begun_) {
    Answer(ErrorResponse(outcome));
    return;
  }
  const bool first = !stream_begun_;
  if (first) BeginStreamAnswer();
  if (message == nullptr) {
    EndStream(outcome, first);
    return;
  }
  WriteChunk(Frame(*message, first),
             [self = shared_from_this()] { self->NextMessage(); });
}

std::string Connection::Frame(const Message& message, bool first) {
  if (match_.route->kind == RouteKind::kBytes) {
    const auto* field = message.GetDescriptor()->FindFieldByName("data");
    return message.GetReflection()->GetString(message, field);
  }
  absl::StatusOr<std::string> json = ToJson(message);
  if (!json.ok()) {
    stream_failed_ = true;
    return "";
  }
  if (match_.route->kind == RouteKind::kEvents) {
    return absl::StrCat("data: ", *json, "\n\n");
  }
  return absl::StrCat(first ? "[" : ",\n", *json);
}

void Connection::BeginStreamAnswer() {
  context_->count_answer(200);
  stream_begun_ = true;
  // Goes out with the first chunk.
  chunk_ = absl::StrCat(
      "HTTP/1.1 200 OK\r\nContent-Type: ", ContentType(match_.route->kind),
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
      "X-Request-Id: ", request_.request_id, "\r\n",
      KeepAlive() ? "" : "Connection: close\r\n",
      "Transfer-Encoding: chunked\r\n\r\n");
  if (match_.route->kind == RouteKind::kEvents) ArmHeartbeat();
}

// One at a time; what comes during a heartbeat's is sent after it.
void Connection::WriteChunk(std::string text, std::function<void()> then) {
  if (writing_) {
    after_write_ = [self = shared_from_this(), text = std::move(text),
                    then = std::move(then)]() mutable {
      self->WriteChunk(std::move(text), std::move(then));
    };
    return;
  }
  if (stream_failed_) {
    Close(false);
    return;
  }
  if (!text.empty()) {
    absl::StrAppend(&chunk_, absl::Hex(text.size()), "\r\n", text, "\r\n");
  }
  writing_ = true;
  stream_.expires_after(absl::ToChronoMilliseconds(options_.write_timeout));
  net::async_write(stream_, net::buffer(chunk_),
                   [self = shared_from_this(), then = std::move(then)](
                       const Error& error, size_t) {
                     self->writing_ = false;
                     self->chunk_.clear();
                     self->stream_.expires_never();
                     if (error) {
                       self->Close(false);
                       return;
                     }
                     if (then) then();
                     if (self->after_write_)
                       std::exchange(self->after_write_, nullptr)();
                   });
}

void Connection::EndStream(const Outcome& outcome, bool first) {
  stream_begun_ = false;
  std::string tail;
  if (match_.route->kind == RouteKind::kEvents) {
    tail = outcome.status.ok()
               ? std::string("event: end\ndata: {}\n\n")
               : absl::StrCat("event: failed\ndata: ",
                              ErrorJson(HttpStatus(outcome.status.code()),
                                        outcome.status),
                              "\n\n");
  } else if (!outcome.status.ok()) {
    Close(false);
    return;
  } else if (match_.route->kind == RouteKind::kJsonArray) {
    tail = first ? "[]\n" : "]\n";
  }
  heartbeat_.cancel();
  WriteChunk(std::move(tail),
             [self = shared_from_this()] { self->WriteLastChunk(); });
}

void Connection::WriteLastChunk() {
  chunk_ = "0\r\n\r\n";
  WriteChunk("", [self = shared_from_this()] {
    if (self->KeepAlive()) {
      self->AwaitRequest();
    } else {
      self->CloseGently();
    }
  });
}

void Connection::ArmHeartbeat() {
  heartbeat_.expires_after(absl::ToChronoMilliseconds(options_.heartbeat));
  heartbeat_.async_wait([self = shared_from_this()](const Error& error) {
    // It may have been on its way when the stream ended.
    if (error || self->closed_ || !self->stream_begun_) return;
    if (!self->writing_) self->WriteChunk(": still here\n\n", nullptr);
    self->ArmHeartbeat();
  });
}

// A peer that leaves before it is answered, or while a stream is quiet, is
// noticed at once, and its call cancelled.
void Connection::WatchPeer() {
  if (stream_.encrypted()) {
    WatchTlsPeer();
    return;
  }
  stream_.socket().async_wait(
      net::ip::tcp::socket::wait_read,
      [self = shared_from_this(), watch = watch_](const Error& error) {
        boost::system::error_code ignored;
        if (error || self->watch_ != watch ||
            self->stream_.socket().available(ignored) > 0) {
          return;
        }
        if (self->stream_.PeerLeft()) {
          self->Close(false);
        } else {  // told of bytes that had been read by then
          self->WatchPeer();
        }
      });
}

void Connection::WatchTlsPeer() {
  peer_watch_.expires_after(kTlsPeerWatch);
  peer_watch_.async_wait(
      [self = shared_from_this(), watch = watch_](const Error& error) {
        if (error || self->closed_ || self->watch_ != watch) return;
        if (self->stream_.PeerLeft()) {
          self->Close(false);
        } else {
          self->WatchTlsPeer();
        }
      });
}

}  // namespace perfvec::server::http
