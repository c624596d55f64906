// deploy/proxy/nginx.conf, run: Debian's nginx in front of a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/client.h"
#include "server/security/tokens.h"
#include "tests/server/server_fixture.h"
#include "tests/server/test_certificates.h"
#include "tests/testing/processes.h"

namespace perfvec::server {
namespace {

constexpr char kNginx[] = "/usr/sbin/nginx";

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

class ProxyTest : public ServerTest {};

TEST_F(ProxyTest, NginxCarriesGrpcUploadsEventsAndJson) {
  if (access(kNginx, X_OK) != 0) {
    GTEST_SKIP() << "no " << kNginx << "; apt-get install nginx";
  }
  const auto add = [&](const std::string& id, Role role) {
    Token like;
    like.id = id;
    like.tenant = "default";
    like.role = role;
    return server::AddToken(root_ + "/tokens.json", like);
  };
  const auto token = add("uploader", Role::kUploader);
  ASSERT_TRUE(token.ok()) << token.status();
  options_.guard.tokens_file = root_ + "/tokens.json";
  options_.guard.audit.path = root_ + "/audit.jsonl";
  options_.http.listen = "127.0.0.1:0";
  options_.http.host_names = {"perfvec.example.org"};
  Start();

  TestAuthority ca("proxy CA");
  const KeyAndCertificate pair = ca.Sign("proxy");
  WriteFile(root_ + "/ca.pem", ca.pem());
  WriteFile(root_ + "/server.pem", pair.certificate);
  WriteFile(root_ + "/server.key", pair.key);
  const int port = FreePort();
  const std::string config = absl::StrReplaceAll(
      ReadFile(PERFVEC_SOURCE_DIR "/deploy/proxy/nginx.conf"),
      {{"127.0.0.1:7450", absl::StrCat("127.0.0.1:", server_->port())},
       {"127.0.0.1:7452", absl::StrCat("127.0.0.1:", server_->http_port())},
       {"listen 443", absl::StrCat("listen 127.0.0.1:", port)},
       {"/etc/perfvec/tls", root_},
       {"/run/", root_ + "/"},
       {"/var/log/nginx", root_}});
  // Its workers are another user where the test is root; its temporary files
  // go where that user may write.
  WriteFile(root_ + "/nginx.conf",
            absl::StrReplaceAll(
                config, {{"\nhttp {\n",
                          absl::StrCat("\nhttp {\n  client_body_temp_path ",
                                       root_, "/body;\n  proxy_temp_path ",
                                       root_, "/proxy;\n  fastcgi_temp_path ",
                                       root_, "/fastcgi;\n  uwsgi_temp_path ",
                                       root_, "/uwsgi;\n  scgi_temp_path ",
                                       root_, "/scgi;\n")}}));
  ASSERT_EQ(chmod(root_.c_str(), 0755), 0);
  auto nginx =
      testing::Process::Start({{kNginx, "-e", "stderr", "-c",
                                root_ + "/nginx.conf", "-g", "daemon off;"}});
  ASSERT_TRUE(nginx.ok()) << nginx.status();

  client::ClientOptions options;
  options.server = absl::StrCat("localhost:", port);
  options.tls_ca = root_ + "/ca.pem";
  options.token = *token;
  options.retry.max_attempts = 20;  // until nginx listens
  auto client = client::Client::Create(options);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto status = (*client)->GetServerStatus();
  ASSERT_TRUE(status.ok()) << status.status() << (*nginx)->Describe();

  // An upload of several MiB is a stream of the client's messages.
  const std::string trace = root_ + "/t.pvt";
  std::ofstream(trace, std::ios::binary) << MakePvt(7, 300'000);
  const auto uploaded = (*client)->UploadTrace(trace);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  v1::CreateProgramRequest create;
  create.set_name("through_the_proxy");
  create.set_trace_id(uploaded->trace_id());
  const auto created = (*client)->CreateProgram(create);
  ASSERT_TRUE(created.ok()) << created.status();
  // A stream of the server's; the first message comes at once.
  const auto watched = (*client)->WatchJob(
      created->jobs(0).job_id(), [](const v1::Job&) { return false; });
  EXPECT_TRUE(absl::IsCancelled(watched.status())) << watched.status();
  // Statuses of the server's guard come through.
  const absl::Status denied = (*client)->DeleteProgram("p", false);
  EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
  options.token = "pvs_wrong";
  auto stranger = client::Client::Create(options);
  ASSERT_TRUE(stranger.ok()) << stranger.status();
  EXPECT_TRUE(absl::IsUnauthenticated((*stranger)->GetServerStatus().status()));

  const auto curl =
      testing::RunCommand({{"/usr/bin/python3", "-c", R"(
import json, ssl, sys, urllib.request
port, ca, token = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
request = urllib.request.Request(
    "https://localhost:" + port + "/v1/programs/through_the_proxy",
    headers={"Authorization": "Bearer " + token, "Host": "perfvec.example.org"})
print(json.load(urllib.request.urlopen(request, context=context))["name"])
)",
                            absl::StrCat(port), root_ + "/ca.pem", *token}},
                          absl::Seconds(30));
  ASSERT_TRUE(curl.ok()) << curl.status();
  EXPECT_EQ(curl->out, "through_the_proxy\n") << curl->err;

  ASSERT_TRUE((*nginx)->Signal(SIGTERM).ok());
  ASSERT_TRUE((*nginx)->Wait(absl::Seconds(30)).ok());
  // The two logs meet: the id of an audited call is in nginx's.
  const std::string audit = ReadFile(root_ + "/audit.jsonl");
  const size_t at = audit.find("\"request_id\":\"");
  ASSERT_NE(at, std::string::npos) << audit;
  EXPECT_THAT(ReadFile(root_ + "/perfvec_access.log"),
              ::testing::HasSubstr(audit.substr(at + 14, 32)));
}

}  // namespace
}  // namespace perfvec::server
