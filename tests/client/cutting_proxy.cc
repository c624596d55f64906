#include "tests/client/cutting_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace perfvec::client {
namespace {

void Check(bool ok, const char* what) {
  if (ok) return;
  perror(what);
  abort();
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool WriteAll(int to, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t done =
        send(to, data, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (done <= 0) return false;
    data += done;
    size -= done;
  }
  return true;
}

}  // namespace

CuttingProxy::CuttingProxy(int server_port) : server_port_(server_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  Check(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0,
        "bind");
  Check(listen(listener_, 16) == 0, "listen");
  Check(
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0,
      "getsockname");
  port_ = ntohs(address.sin_port);
  accepter_ = std::thread([this] { Accept(); });
}

CuttingProxy::~CuttingProxy() {
  shutdown(listener_, SHUT_RDWR);
  {
    absl::MutexLock lock(&mutex_);
    held_ = false;
    for (const Connection& c : connections_) {
      shutdown(c.client, SHUT_RDWR);
      shutdown(c.server, SHUT_RDWR);
    }
  }
  accepter_.join();
  for (std::thread& forwarder : forwarders_) forwarder.join();
  close(listener_);
}

void CuttingProxy::CutAfter(int64_t budget, int64_t next_budget) {
  absl::MutexLock lock(&mutex_);
  budget_ = budget;
  next_budget_ = next_budget;
}

void CuttingProxy::Hold(bool hold) {
  absl::MutexLock lock(&mutex_);
  held_ = hold;
}

int CuttingProxy::cuts() const {
  absl::MutexLock lock(&mutex_);
  return cuts_;
}

void CuttingProxy::WaitForCut() {
  auto cut = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return cuts_ > 0; };
  absl::MutexLock lock(&mutex_, absl::Condition(&cut));
}

void CuttingProxy::Accept() {
  while (true) {
    Connection connection;
    connection.client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection.client < 0) return;
    connection.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(server_port_);
    if (connect(connection.server, reinterpret_cast<sockaddr*>(&address),
                sizeof address) != 0) {
      close(connection.client);
      close(connection.server);
      continue;
    }
    {
      absl::MutexLock lock(&mutex_);
      connections_.push_back(connection);
    }
    forwarders_.emplace_back([this, connection] { Forward(connection); });
  }
}

bool CuttingProxy::Spend(int64_t bytes) {
  auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !held_; };
  absl::MutexLock lock(&mutex_, absl::Condition(&free));
  if (budget_ < 0) return true;
  budget_ -= bytes;
  if (budget_ >= 0) return true;
  budget_ = next_budget_;
  ++cuts_;
  for (const Connection& c : connections_) {
    shutdown(c.client, SHUT_RDWR);
    shutdown(c.server, SHUT_RDWR);
  }
  return false;
}

void CuttingProxy::Forward(Connection connection) {
  pollfd ends[2] = {{connection.client, POLLIN, 0},
                    {connection.server, POLLIN, 0}};
  char buffer[4096];
  bool open = true;
  while (open && poll(ends, 2, -1) > 0) {
    for (int from = 0; from < 2 && open; ++from) {
      if (ends[from].revents == 0) continue;
      const ssize_t got = recv(ends[from].fd, buffer, sizeof buffer, 0);
      open = got > 0 && Spend(from == 0 ? got : 0) &&
             WriteAll(ends[1 - from].fd, buffer, got);
    }
  }
  absl::MutexLock lock(&mutex_);
  connections_.remove_if([&](const Connection& c) {
    return c.client == connection.client && c.server == connection.server;
  });
  close(connection.client);
  close(connection.server);
}

}  // namespace perfvec::client
