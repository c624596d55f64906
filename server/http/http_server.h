// The HTTP listener: bounds, timeouts and connections around a Gateway.
//
// Owns its threads and sockets. A connection is one peer's sequence of
// requests, answered in order (keep-alive, pipelining). What a peer may use up
// is bounded: connections (the one idle for longest makes room for a new one),
// bytes of header and body, and the time for each part of a request, so that
// who sends or reads slowly is cut off. Start, then BeginDrain and Stop, each
// once; the destructor stops.
//
//   HttpOptions options;
//   options.listen = "127.0.0.1:7452";
//   auto http = HttpServer::Start(options, &gateway, &metrics);
//   ... (*http)->port() ...
#ifndef PERFVEC_SERVER_HTTP_HTTP_SERVER_H_
#define PERFVEC_SERVER_HTTP_HTTP_SERVER_H_

#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/call.h"
#include "server/http/gateway.h"
#include "server/metrics.h"

namespace perfvec::server::http {

struct HttpOptions {
  std::string listen;  // "HOST:PORT"; port 0: any
  // Names, beside loopback's, by which browsers may call a server that listens
  // on loopback: a defence against web sites that rebind their names to it.
  std::vector<std::string> host_names;
  // For each new connection; empty: no TLS.
  std::function<std::shared_ptr<boost::asio::ssl::context>()> tls;
  int threads = 2;
  size_t max_connections = 512;
  size_t max_header_bytes = 16 << 10;
  size_t max_body_bytes = kMaxMessageBytes;
  // From one request to the next, for a whole header, for a whole JSON body,
  // for a piece of an upload, and for a piece of an answer.
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration header_timeout = absl::Seconds(10);
  absl::Duration body_timeout = absl::Seconds(30);
  absl::Duration piece_timeout = absl::Seconds(30);
  absl::Duration write_timeout = absl::Seconds(60);
  // Of streams of events in which nothing happens.
  absl::Duration heartbeat = absl::Seconds(15);
};

class HttpServer {
 public:
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpOptions options,
                                                           Gateway* gateway,
                                                           Metrics* metrics);
  ~HttpServer();

  int port() const;
  size_t connections() const;
  // Every answer from now on ends its connection; idle ones are closed.
  void BeginDrain();
  // Closes everything. Calls of the gateway must have ended or be about to.
  void Stop();

 private:
  struct Parts;
  explicit HttpServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// "HOST:PORT", "[V6]:PORT" or "unix:..." that only this machine can reach.
bool IsLoopback(absl::string_view address);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_HTTP_SERVER_H_
