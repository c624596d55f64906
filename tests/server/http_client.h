// A blocking HTTP client for tests that sends exactly the bytes it is given, so
// that wrong requests can be sent as well as right ones.
//
//   HttpPeer peer(server_->http_port());
//   peer.Send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
//   HttpAnswer answer = peer.Read();   // status 0: the server closed
//   answer = Ask(port, "GET", "/v1/status");
#ifndef PERFVEC_TESTS_SERVER_HTTP_CLIENT_H_
#define PERFVEC_TESTS_SERVER_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::server {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool whole = false;  // the body ended as its framing says

  nlohmann::json Json() const {
    return nlohmann::json::parse(body, nullptr, false);
  }
  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class HttpPeer {
 public:
  explicit HttpPeer(int port, int receive_buffer = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                 sizeof(receive_buffer));
    }
    timeval limit = {30, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address),
                           sizeof(address)) == 0;
  }
  ~HttpPeer() { ::close(socket_); }
  HttpPeer(const HttpPeer&) = delete;

  bool connected() const { return connected_; }
  // False: the server has closed.
  bool Send(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t sent =
          ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += sent;
    }
    return true;
  }
  void EndSending() { ::shutdown(socket_, SHUT_WR); }

  // The next answer; of a stream without an end what came until the server
  // closed.
  HttpAnswer Read(bool to_head = false) {
    HttpAnswer answer;
    std::string line;
    if (!Line(&line)) return answer;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 2));
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &answer.status)) {
      return answer;
    }
    while (Line(&line) && !line.empty()) {
      const std::vector<std::string> sides =
          absl::StrSplit(line, absl::MaxSplits(':', 1));
      if (sides.size() == 2) {
        answer.headers[absl::AsciiStrToLower(sides[0])] =
            std::string(absl::StripAsciiWhitespace(sides[1]));
      }
    }
    if (answer.status == 100) return answer;
    uint64_t length = 0;
    if (to_head || answer.status == 304) {
      answer.whole = true;
    } else if (answer.Header("transfer-encoding") == "chunked") {
      answer.whole = Chunks(&answer.body);
    } else if (absl::SimpleAtoi(answer.Header("content-length"), &length)) {
      answer.whole = Take(length, &answer.body);
    }
    return answer;
  }
  // One line, without its end; false: the server closed.
  bool Line(std::string* line) {
    for (;;) {
      const size_t end = buffer_.find("\r\n");
      if (end != std::string::npos) {
        *line = buffer_.substr(0, end);
        buffer_.erase(0, end + 2);
        return true;
      }
      if (!Receive()) return false;
    }
  }
  // Blocks until there is one; of a chunked stream of events.
  bool Chunk(std::string* chunk) {
    std::string line;
    uint64_t size = 0;
    chunk->clear();
    return Line(&line) && absl::SimpleHexAtoi(line, &size) &&
           Take(size, chunk) && Line(&line) && size > 0;
  }

 private:
  bool Receive() {
    char bytes[65536];
    const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (got <= 0) return false;
    buffer_.append(bytes, got);
    return true;
  }
  bool Take(uint64_t size, std::string* bytes) {
    while (buffer_.size() < size) {
      if (!Receive()) {
        *bytes += buffer_;
        return false;
      }
    }
    bytes->append(buffer_, 0, size);
    buffer_.erase(0, size);
    return true;
  }
  bool Chunks(std::string* body) {
    std::string line;
    for (;;) {
      uint64_t size = 0;
      if (!Line(&line) || !absl::SimpleHexAtoi(line, &size) ||
          !Take(size, body) || !Line(&line)) {
        return false;
      }
      if (size == 0) return true;
    }
  }

  int socket_;
  bool connected_ = false;
  std::string buffer_;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

inline std::string MakeHttpRequest(const std::string& method,
                                   const std::string& target,
                                   const std::string& body = "",
                                   const HttpHeaders& headers = {}) {
  std::string text =
      absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: localhost\r\n");
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  if (!body.empty()) {
    absl::StrAppend(&text, "Content-Length: ", body.size(), "\r\n");
  }
  return absl::StrCat(text, "\r\n", body);
}

// On a connection of its own; a body goes as JSON.
inline HttpAnswer Ask(int port, const std::string& method,
                      const std::string& target, const std::string& body = "",
                      HttpHeaders headers = {}) {
  HttpPeer peer(port);
  if (!body.empty()) headers.emplace_back("Content-Type", "application/json");
  peer.Send(MakeHttpRequest(method, target, body, headers));
  return peer.Read(method == "HEAD");
}

}  // namespace perfvec::server

#endif  // PERFVEC_TESTS_SERVER_HTTP_CLIENT_H_
