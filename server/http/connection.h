// One peer's connection, on a strand of the server's threads. For
// http_server.cc only; the methods are spread over connection.cc (requests and
// whole answers), upload.cc (bodies as streams) and answer_stream.cc (answers
// as streams).
//
// Everything runs on the strand; gRPC's threads come in through Post. Kept
// alive by its pending operation. At any time the connection is in one phase:
// waiting for a request, reading one, waiting for its call, or answering.
#ifndef PERFVEC_SERVER_HTTP_CONNECTION_H_
#define PERFVEC_SERVER_HTTP_CONNECTION_H_

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/optional.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/http/gateway.h"
#include "server/http/http_server.h"
#include "server/http/peer_stream.h"
#include "server/http/upload_body.h"

namespace perfvec::server::http {

class Connection;

// What all connections share.
struct ConnectionContext {
  const HttpOptions* options;
  Gateway* gateway;
  bool on_loopback;
  std::atomic<bool> draining{false};
  std::atomic<int64_t> clock{0};  // orders the beginnings of idleness
  std::function<void(int status)> count_answer;
  std::function<void(Connection*)> remove;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Error = boost::beast::error_code;

  // With `tls` the peer must speak TLS.
  Connection(boost::asio::ip::tcp::socket socket,
             std::shared_ptr<boost::asio::ssl::context> tls,
             ConnectionContext* context);
  ~Connection();
  void Start();
  // Any thread. With `only_if_idle` between two requests only.
  void Close(bool only_if_idle);
  // Closes it if it is between two requests; false: it is not.
  bool Evict();
  // When it became idle by the context's clock; 0: it is busy.
  int64_t idle_since() const { return idle_since_; }

 private:
  template <typename Body>
  using Parser = boost::beast::http::request_parser<Body>;
  using EmptyBody = boost::beast::http::empty_body;
  using StringBody = boost::beast::http::string_body;
  using BufferBody = boost::beast::http::buffer_body;

  // Runs `task` on the strand.
  void Post(std::function<void()> task);

  // connection.cc
  void AwaitRequest();
  void ReadHeader();
  void OnHeader(const Error& error);
  absl::Status CheckHeader();
  void SendContinue(std::function<void()> then);
  void ReadBody();
  void Dispatch();
  void RefuseRead(const Error& error);
  void Answer(Response response);
  void CloseGently();
  void EndSending();
  void DrainInput(size_t left);
  bool KeepAlive() const;

  // upload.cc
  void StartUpload();
  void ReadPiece();
  void OnPiece(const Error& error);
  void SendPiece(absl::string_view left);
  void RefuseUpload(const absl::Status& bad);
  void AwaitUploadEnd();
  void AnswerUpload();

  // answer_stream.cc
  void StartStream();
  void NextMessage();
  std::string Frame(const google::protobuf::Message& message, bool first);
  void OnMessage(const google::protobuf::Message* message,
                 const Outcome& outcome);
  void BeginStreamAnswer();
  void WriteChunk(std::string text, std::function<void()> then);
  void EndStream(const Outcome& outcome, bool first);
  void WriteLastChunk();
  void ArmHeartbeat();
  void WatchPeer();
  void WatchTlsPeer();

  ConnectionContext* const context_;
  const HttpOptions& options_;
  PeerStream stream_;
  boost::beast::flat_buffer buffer_;
  std::atomic<int64_t> idle_since_{0};
  bool closed_ = false;

  boost::optional<Parser<EmptyBody>> header_parser_;
  boost::optional<Parser<StringBody>> body_parser_;
  boost::optional<Parser<BufferBody>> upload_parser_;
  std::string peer_;  // "10.1.2.3:4567"
  Request request_;
  Match match_;
  bool head_ = false, keep_alive_ = false, accepts_gzip_ = false;
  bool body_unread_ = false;
  unsigned version_ = 11;
  std::string if_none_match_, expect_;
  UploadHeader upload_header_;
  std::unique_ptr<UploadBody> upload_body_;
  std::shared_ptr<boost::beast::http::response<StringBody>> response_;

  std::function<void()> cancel_;  // the unary call under way
  uint64_t watch_ = 0;            // grows with each answer, see WatchPeer

  // A streaming call, in either direction.
  std::shared_ptr<StreamCall> call_;
  std::string piece_, chunk_;
  bool reading_piece_ = false, sending_continue_ = false;
  bool upload_over_ = false, answered_ = false;
  boost::optional<Response> upload_answer_;
  bool stream_begun_ = false, writing_ = false;
  bool stream_failed_ = false;
  std::function<void()> after_write_;
  boost::asio::steady_timer heartbeat_, peer_watch_;
};

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_CONNECTION_H_
