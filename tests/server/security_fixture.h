// A server with certificates, tokens and an audit log of its own, and clients
// that trust it.
#ifndef PERFVEC_TESTS_SERVER_SECURITY_FIXTURE_H_
#define PERFVEC_TESTS_SERVER_SECURITY_FIXTURE_H_

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "client/client.h"
#include "server/security/tokens.h"
#include "tests/server/server_fixture.h"
#include "tests/server/test_certificates.h"

namespace perfvec::server {

// One request over TLS; what came until the server closed, or why nothing did.
inline std::string AskTls(int port, const std::string& ca,
                          const std::string& headers,
                          const std::string& certificate = "",
                          const std::string& key = "",
                          const std::string& target = "/v1/status") {
  namespace net = boost::asio;
  boost::system::error_code error;
  net::ssl::context context(net::ssl::context::tls_client);
  context.add_certificate_authority(net::buffer(ca), error);
  context.set_verify_mode(net::ssl::verify_peer);
  if (!certificate.empty()) {
    context.use_certificate(net::buffer(certificate), net::ssl::context::pem,
                            error);
    context.use_private_key(net::buffer(key), net::ssl::context::pem, error);
  }
  net::io_context io;
  net::ssl::stream<net::ip::tcp::socket> stream(io, context);
  stream.next_layer().connect(
      {net::ip::make_address("127.0.0.1"), static_cast<uint16_t>(port)}, error);
  if (!error) stream.handshake(net::ssl::stream_base::client, error);
  if (!error) {
    net::write(stream,
               net::buffer(absl::StrCat("GET ", target,
                                        " HTTP/1.1\r\nHost: localhost\r\n"
                                        "Connection: close\r\n",
                                        headers, "\r\n")),
               error);
  }
  std::string answer;
  if (!error) net::read(stream, net::dynamic_buffer(answer), error);
  return answer.empty() ? "error: " + error.message() : answer;
}

class SecurityTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.http.listen = "127.0.0.1:0";
    tokens_ = root_ + "/tokens.json";
    audit_ = root_ + "/audit.jsonl";
  }
  void TearDown() override {
    client_.reset();
    ServerTest::TearDown();
  }
  void UseTls(const KeyAndCertificate& pair, bool client_ca = false) {
    WriteFile(root_ + "/ca.pem", ca_.pem());
    PutPair("server", pair);
    options_.tls.certificate = root_ + "/server.pem";
    options_.tls.key = root_ + "/server.key";
    if (client_ca) options_.tls.client_ca = root_ + "/ca.pem";
  }
  void PutPair(const std::string& name, const KeyAndCertificate& pair) {
    WriteFile(root_ + "/" + name + ".key", pair.key);
    WriteFile(root_ + "/" + name + ".pem", pair.certificate);
  }
  std::string AddToken(const std::string& id, Role role,
                       absl::Time expires = absl::InfiniteFuture()) {
    Token like;
    like.id = id;
    like.role = role;
    like.tenant = "default";
    like.expires = expires;
    auto token = server::AddToken(tokens_, like);
    EXPECT_TRUE(token.ok()) << token.status();
    return token.value_or("");
  }
  client::ClientOptions Options(const std::string& token = "",
                                const std::string& ca = "") {
    client::ClientOptions options;
    options.server = absl::StrCat("localhost:", server_->port());
    options.tls_ca = ca;
    options.token = token;
    options.retry.max_attempts = 1;
    options.timeout = absl::Seconds(20);
    return options;
  }
  // An upload asks again how far it has come.
  client::ClientOptions Patient(const std::string& token) {
    auto options = Options(token);
    options.retry.max_attempts = 5;
    return options;
  }
  absl::Status Status(const client::ClientOptions& options) {
    auto client = client::Client::Create(options);
    if (!client.ok()) return client.status();
    return (*client)->GetServerStatus().status();
  }
  absl::Status Delete(const client::ClientOptions& options,
                      const std::string& program) {
    auto client = client::Client::Create(options);
    if (!client.ok()) return client.status();
    return (*client)->DeleteProgram(program, false);
  }
  // What the server does on its own clock, it does now.
  template <typename Done>
  void Until(Done done) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    bool is_done = done();
    while (!is_done && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(20));
      is_done = done();
    }
    EXPECT_TRUE(is_done);
  }
  std::string AuditText() const {
    std::stringstream text;
    text << std::ifstream(audit_).rdbuf();
    return text.str();
  }
  absl::Status StartFails() { return ServerCore::Start(options_).status(); }

  TestAuthority ca_{"PerfVec test CA"};
  TestAuthority stranger_{"another CA"};
  std::string tokens_, audit_;
  std::unique_ptr<client::Client> client_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_TESTS_SERVER_SECURITY_FIXTURE_H_
