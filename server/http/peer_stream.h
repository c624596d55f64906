// A TCP connection with or without TLS on it, as one stream of Boost.Asio:
// where the connection reads and writes does not matter to the code that does.
//
// On the strand of its socket. Timeouts, cancel() and close() act on the socket
// below, so they end TLS operations too.
//
//   PeerStream stream(std::move(socket), context);  // null context: plain
//   stream.AsyncHandshake([](const Error& error) { ... });
//   boost::beast::http::async_read(stream, buffer, parser, handler);
#ifndef PERFVEC_SERVER_HTTP_PEER_STREAM_H_
#define PERFVEC_SERVER_HTTP_PEER_STREAM_H_

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace perfvec::server::http {

class PeerStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;

  PeerStream(boost::asio::ip::tcp::socket socket,
             std::shared_ptr<boost::asio::ssl::context> context)
      : context_(std::move(context)), tcp_(std::move(socket)) {
    if (context_ != nullptr) tls_.emplace(tcp_, *context_);
  }

  executor_type get_executor() noexcept { return tcp_.get_executor(); }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  bool encrypted() const { return tls_.has_value(); }

  template <typename Duration>
  void expires_after(Duration duration) {
    tcp_.expires_after(duration);
  }
  void expires_never() { tcp_.expires_never(); }
  void cancel() { tcp_.cancel(); }
  void close() { tcp_.close(); }

  // With TLS only.
  template <typename Handler>
  void AsyncHandshake(Handler handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server,
                          std::move(handler));
  }
  template <typename Handler>
  void AsyncShutdown(Handler handler) {
    tls_->async_shutdown(std::move(handler));
  }

  // Past TLS, for bytes that are thrown away.
  template <typename Buffers, typename Handler>
  void AsyncReadRaw(const Buffers& buffers, Handler handler) {
    tcp_.async_read_some(buffers, std::move(handler));
  }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

  // Whether the peer has ended its side. With TLS that is not seen by waiting
  // for the socket: the peer's farewell stays in it unread.
  bool PeerLeft() {
    tcp_info info = {};
    socklen_t size = sizeof(info);
    return getsockopt(socket().native_handle(), IPPROTO_TCP, TCP_INFO, &info,
                      &size) != 0 ||
           info.tcpi_state != TCP_ESTABLISHED;
  }

 private:
  const std::shared_ptr<boost::asio::ssl::context> context_;
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_PEER_STREAM_H_
