#include "server/http/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/http/connection.h"

namespace perfvec::server::http {
namespace {

namespace net = boost::asio;
using net::ip::tcp;

// For answers on their way when the server stops.
constexpr absl::Duration kLinger = absl::Seconds(1);
// After accept() fails, most likely for want of file descriptors.
constexpr std::chrono::milliseconds kAcceptPause(100);

constexpr absl::string_view kFull =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\n";

std::pair<std::string, std::string> SplitAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos) return {std::string(address), ""};
  absl::string_view host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  return {std::string(host), std::string(address.substr(colon + 1))};
}

}  // namespace

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host = SplitAddress(address).first;
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  boost::system::error_code error;
  const auto parsed = net::ip::make_address(host, error);
  return !error && parsed.is_loopback();
}

// In the order of construction; destroyed from the last to the first.
struct HttpServer::Parts {
  explicit Parts(HttpOptions o) : options(std::move(o)) {}

  const HttpOptions options;
  ConnectionContext context;
  prometheus::Family<prometheus::Counter>* answers = nullptr;
  prometheus::Counter* refused = nullptr;
  prometheus::Counter* evicted = nullptr;
  prometheus::Gauge* open = nullptr;
  absl::Mutex mutex;
  absl::flat_hash_map<Connection*, std::weak_ptr<Connection>> connections
      ABSL_GUARDED_BY(mutex);
  // Counts those whose destructor has not run.
  size_t alive ABSL_GUARDED_BY(mutex) = 0;

  net::io_context io;
  net::executor_work_guard<net::io_context::executor_type> work{
      io.get_executor()};
  tcp::acceptor acceptor{net::make_strand(io)};
  net::steady_timer pause{acceptor.get_executor()};
  std::vector<std::thread> threads;
  int port = 0;
  std::once_flag stopped;

  absl::Status Listen();
  void CountInto(Metrics* metrics);
  void Accept();
  void Admit(tcp::socket socket);
  bool MakeRoom();
  void CloseAll(bool only_if_idle);
  void Stop();
};

absl::Status HttpServer::Parts::Listen() {
  const auto [host, service] = SplitAddress(options.listen);
  boost::system::error_code error;
  const auto found =
      tcp::resolver(io).resolve(host, service, tcp::resolver::passive, error);
  if (error || found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--http-listen: expected HOST:PORT, found '",
                     options.listen, "': ", error.message()));
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen, ": ", error.message(),
                     "; is the port taken? Choose another with --http-listen"));
  }
  port = acceptor.local_endpoint().port();
  return absl::OkStatus();
}

void HttpServer::Parts::CountInto(Metrics* metrics) {
  auto& registry = *metrics->registry();
  answers = &prometheus::BuildCounter()
                 .Name("perfvec_http_requests_total")
                 .Help("HTTP requests that were answered, by status")
                 .Register(registry);
  refused = &prometheus::BuildCounter()
                 .Name("perfvec_http_connections_refused_total")
                 .Help("HTTP connections for which there was no room")
                 .Register(registry)
                 .Add({});
  evicted = &prometheus::BuildCounter()
                 .Name("perfvec_http_connections_evicted_total")
                 .Help("Idle HTTP connections that made room for new ones")
                 .Register(registry)
                 .Add({});
  open = &prometheus::BuildGauge()
              .Name("perfvec_http_connections")
              .Help("HTTP connections that are open now")
              .Register(registry)
              .Add({});
  context.count_answer = [this](int status) {
    answers->Add({{"code", absl::StrCat(status)}}).Increment();
  };
  context.remove = [this](Connection* connection) {
    open->Decrement();
    absl::MutexLock lock(&mutex);
    connections.erase(connection);
    --alive;
  };
}

void HttpServer::Parts::Accept() {
  acceptor.async_accept(
      net::make_strand(io),
      [this](const boost::system::error_code& error, tcp::socket socket) {
        if (error == net::error::operation_aborted) return;
        if (error) {
          pause.expires_after(kAcceptPause);
          pause.async_wait([this](const boost::system::error_code& stopped) {
            if (!stopped) Accept();
          });
          return;
        }
        Admit(std::move(socket));
        Accept();
      });
}

void HttpServer::Parts::Admit(tcp::socket socket) {
  if (!MakeRoom()) {
    refused->Increment();
    if (options.tls) return;
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    socket.send(net::buffer(kFull.data(), kFull.size()), 0, ignored);
    return;
  }
  auto connection = std::make_shared<Connection>(
      std::move(socket), options.tls ? options.tls() : nullptr, &context);
  open->Increment();
  {
    absl::MutexLock lock(&mutex);
    connections[connection.get()] = connection;
    ++alive;
  }
  connection->Start();
}

// Whether one more may come. Of those between two requests the one idle for
// longest goes; until it is gone there are more than the bound for a moment.
bool HttpServer::Parts::MakeRoom() {
  std::vector<std::pair<int64_t, std::shared_ptr<Connection>>> idle;
  {
    // What lock() gives may be the last reference: dropped after the mutex.
    absl::MutexLock lock(&mutex);
    if (alive < options.max_connections) return true;
    if (alive >= options.max_connections * 2) return false;
    for (const auto& [address, weak] : connections) {
      const int64_t since = address->idle_since();
      if (since != 0) idle.emplace_back(since, weak.lock());
    }
  }
  std::sort(idle.begin(), idle.end());
  for (const auto& [since, connection] : idle) {
    if (connection == nullptr || !connection->Evict()) continue;
    evicted->Increment();
    return true;
  }
  return false;
}

void HttpServer::Parts::CloseAll(bool only_if_idle) {
  std::vector<std::shared_ptr<Connection>> all;
  {
    absl::MutexLock lock(&mutex);
    for (const auto& [address, weak] : connections) {
      if (auto one = weak.lock()) all.push_back(std::move(one));
    }
  }
  for (const auto& connection : all) connection->Close(only_if_idle);
}

void HttpServer::Parts::Stop() {
  std::call_once(stopped, [this] {
    context.draining = true;
    net::post(acceptor.get_executor(), [this] {
      boost::system::error_code ignored;
      acceptor.close(ignored);
      pause.cancel();
    });
    CloseAll(true);
    {
      absl::MutexLock lock(&mutex);
      mutex.AwaitWithTimeout(absl::Condition(
                                 +[](size_t* n) { return *n == 0; }, &alive),
                             kLinger);
    }
    CloseAll(false);
    if (context.gateway != nullptr) context.gateway->AwaitCalls();
    work.reset();
    for (std::thread& thread : threads) thread.join();
  });
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    HttpOptions options, Gateway* gateway, Metrics* metrics) {
  auto parts = std::make_unique<Parts>(std::move(options));
  parts->context.options = &parts->options;
  parts->context.gateway = gateway;
  parts->context.on_loopback = IsLoopback(parts->options.listen);
  parts->CountInto(metrics);
  if (absl::Status status = parts->Listen(); !status.ok()) return status;
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(parts)));
  Parts& running = *server->parts_;
  running.Accept();
  for (int i = 0; i < running.options.threads; ++i) {
    running.threads.emplace_back([&running] { running.io.run(); });
  }
  return server;
}

HttpServer::HttpServer(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}
HttpServer::~HttpServer() { Stop(); }

int HttpServer::port() const { return parts_->port; }
size_t HttpServer::connections() const {
  absl::MutexLock lock(&parts_->mutex);
  return parts_->alive;
}
void HttpServer::BeginDrain() {
  parts_->context.draining = true;
  parts_->CloseAll(true);
}
void HttpServer::Stop() { parts_->Stop(); }

}  // namespace perfvec::server::http
