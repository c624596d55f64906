// TLS, tokens and the audit log of a whole server, over gRPC and over HTTP.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>

#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/server/http_client.h"
#include "tests/server/security_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// --- TLS -------------------------------------------------------------------

TEST_F(SecurityTest, TlsServesGrpcAndHttpToWhoTrustsItsAuthority) {
  UseTls(ca_.Sign("server"));
  Start();
  const std::string ca = root_ + "/ca.pem";
  EXPECT_TRUE(Status(Options("", ca)).ok()) << Status(Options("", ca));
  EXPECT_TRUE(absl::IsUnavailable(Status(Options())));
  WriteFile(root_ + "/wrong.pem", stranger_.pem());
  EXPECT_TRUE(absl::IsUnavailable(Status(Options("", root_ + "/wrong.pem"))));

  const int port = server_->http_port();
  EXPECT_THAT(AskTls(port, ca_.pem(), ""), HasSubstr("200 OK"));
  EXPECT_THAT(AskTls(port, stranger_.pem(), ""), HasSubstr("error: "));
  HttpPeer plain(port);
  EXPECT_TRUE(plain.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_EQ(plain.Read().status, 0);
  // The web page, whole, and larger than one TLS record.
  const std::string page = AskTls(port, ca_.pem(), "", "", "", "/app.js");
  EXPECT_THAT(page, HasSubstr("200 OK"));
  EXPECT_THAT(page, Not(HasSubstr("error: ")));
}

TEST_F(SecurityTest, MutualTlsTakesOnlyCertificatesOfItsAuthority) {
  UseTls(ca_.Sign("server"), true);
  PutPair("client", ca_.Sign("scheduler"));
  PutPair("stranger", stranger_.Sign("stranger"));
  Start();
  auto options = Options("", root_ + "/ca.pem");
  EXPECT_TRUE(absl::IsUnavailable(Status(options)));
  options.tls_certificate = root_ + "/client.pem";
  options.tls_key = root_ + "/client.key";
  EXPECT_TRUE(Status(options).ok()) << Status(options);
  options.tls_certificate = root_ + "/stranger.pem";
  options.tls_key = root_ + "/stranger.key";
  EXPECT_TRUE(absl::IsUnavailable(Status(options)));
  options.tls_key.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(Status(options)));

  const int port = server_->http_port();
  const KeyAndCertificate client = ca_.Sign("browser");
  const KeyAndCertificate wrong = stranger_.Sign("browser");
  EXPECT_THAT(AskTls(port, ca_.pem(), "", client.certificate, client.key),
              HasSubstr("200 OK"));
  EXPECT_THAT(AskTls(port, ca_.pem(), "", wrong.certificate, wrong.key),
              HasSubstr("error: "));
  EXPECT_THAT(AskTls(port, ca_.pem(), ""), HasSubstr("error: "));
}

TEST_F(SecurityTest, ACertificateIsReplacedWhileServing) {
  UseTls(ca_.Sign("first"));
  Start();
  const std::string ca = root_ + "/ca.pem";
  auto client = client::Client::Create(Options("", ca));
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE((*client)->GetServerStatus().ok());
  // A key alone that is not the certificate's is not taken.
  const KeyAndCertificate next = stranger_.Sign("second");
  WriteFile(root_ + "/server.key", next.key);
  WriteFile(root_ + "/server.pem", next.certificate);
  const int port = server_->http_port();
  Until([&] {
    return absl::StrContains(AskTls(port, stranger_.pem(), ""), "200 OK");
  });
  WriteFile(root_ + "/new_ca.pem", stranger_.pem());
  Until([&] { return Status(Options("", root_ + "/new_ca.pem")).ok(); });
  // Connections that were open go on.
  EXPECT_TRUE((*client)->GetServerStatus().ok());
  EXPECT_TRUE(absl::IsUnavailable(Status(Options("", ca))));
}

TEST_F(SecurityTest, FilesThatWillNotDoAreNamedAtTheStart) {
  const KeyAndCertificate pair = ca_.Sign("server");
  UseTls(pair);
  options_.tls.key = root_ + "/none.key";
  absl::Status status = StartFails();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("none.key"));

  options_.tls.key = root_ + "/server.key";
  WriteFile(root_ + "/server.key", ca_.Sign("other").key);
  status = StartFails();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("is not that of the certificate"));

  WriteFile(root_ + "/server.key", "no key");
  EXPECT_THAT(std::string(StartFails().message()), HasSubstr("no PEM"));

  PutPair("server", ca_.Sign("old", absl::Now() - absl::Hours(48),
                             absl::Now() - absl::Hours(24)));
  status = StartFails();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired on"));

  PutPair("server", pair);
  options_.tls.client_ca = root_ + "/server.key";
  EXPECT_THAT(std::string(StartFails().message()), HasSubstr("server.key"));
  options_.tls = {};
  options_.tls.certificate = root_ + "/server.pem";
  EXPECT_THAT(std::string(StartFails().message()), HasSubstr("--tls-key"));
}

TEST_F(SecurityTest, BeyondLoopbackNeedsTlsAndAuthenticationOrPlainWords) {
  const auto refused = [&](const std::string& what) {
    const absl::Status status = StartFails();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  };
  options_.listen = "0.0.0.0:0";
  refused("--allow-unprotected-beyond-loopback");
  UseTls(ca_.Sign("server"));
  refused("--allow-unprotected-beyond-loopback");  // who may call?
  const std::string token = AddToken("admin", Role::kAdmin);
  options_.guard.tokens_file = tokens_;
  options_.http.listen = "0.0.0.0:0";
  Start();
  EXPECT_TRUE(Status(Options(token, root_ + "/ca.pem")).ok());
  server_.reset();

  options_.metrics_listen = "0.0.0.0:0";
  refused("metrics are served");
  options_.metrics_listen = "";
  options_.tls = {};
  refused("in the clear");
  options_.allow_unprotected_beyond_loopback = true;
  refused("in the clear");  // not even then
  options_.guard = {};
  Start();
}

// --- Tokens ----------------------------------------------------------------

TEST_F(SecurityTest, TokensSayWhatACallerMayDoOverGrpcAndHttp) {
  const std::string reader = AddToken("reader", Role::kReader);
  const std::string admin = AddToken("admin", Role::kAdmin);
  const std::string working = AddToken("w", Role::kWorker);
  const std::string old =
      AddToken("old", Role::kAdmin, absl::Now() - absl::Seconds(1));
  options_.guard.tokens_file = tokens_;
  Start();
  EXPECT_TRUE(Status(Options(reader)).ok()) << Status(Options(reader));
  EXPECT_TRUE(absl::IsPermissionDenied(Delete(Options(reader), "p")));
  EXPECT_TRUE(absl::IsNotFound(Delete(Options(admin), "p")));
  EXPECT_TRUE(absl::IsUnauthenticated(Status(Options())));
  EXPECT_TRUE(absl::IsUnauthenticated(Status(Options("pvs_wrong"))));
  const absl::Status expired = Status(Options(old));
  EXPECT_TRUE(absl::IsUnauthenticated(expired));
  EXPECT_THAT(std::string(expired.message()), HasSubstr("expired on"));
  // A worker's calls are not a reader's, nor the other way round.
  const auto lease = [&](const std::string& token) {
    auto context = Context();
    context->AddMetadata("authorization", "Bearer " + token);
    worker::v1::LeaseShardRequest request;
    request.set_worker_id("w");
    worker::v1::LeaseShardResponse response;
    return workers_->LeaseShard(context.get(), request, &response);
  };
  EXPECT_EQ(lease(reader).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(lease(working).ok()) << lease(working).error_message();
  EXPECT_TRUE(absl::IsPermissionDenied(Status(Options(working))));

  const int port = server_->http_port();
  const auto ask = [&](const std::string& method, const std::string& target,
                       const std::string& header) {
    HttpPeer peer(port);
    peer.Send(absl::StrCat(method, " ", target,
                           " HTTP/1.1\r\nHost: localhost\r\n", header, "\r\n"));
    return peer.Read();
  };
  const std::string bearer = "Authorization: Bearer ";
  EXPECT_EQ(ask("GET", "/v1/status", bearer + reader + "\r\n").status, 200);
  EXPECT_EQ(
      ask("GET", "/v1/status", "Cookie: a=b; perfvec_token=" + reader + "\r\n")
          .status,
      200);
  HttpAnswer answer = ask("GET", "/v1/status", "");
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.Header("www-authenticate"), "Bearer");
  EXPECT_EQ(ask("GET", "/v1/status", bearer + old + "\r\n").status, 401);
  EXPECT_EQ(ask("GET", "/v1/status", bearer + "\xff\x01\r\n").status / 100, 4);
  EXPECT_EQ(ask("DELETE", "/v1/programs/p", bearer + reader + "\r\n").status,
            403);
  EXPECT_EQ(ask("DELETE", "/v1/programs/p", bearer + admin + "\r\n").status,
            404);
  EXPECT_EQ(ask("GET", "/metrics", "").status, 401);
  EXPECT_EQ(ask("GET", "/metrics", bearer + reader + "\r\n").status, 200);
  for (const char* open : {"/", "/healthz", "/readyz", "/v1/openapi.json"}) {
    EXPECT_EQ(ask("GET", open, "").status, 200) << open;
  }
  // A body is not read for a stranger.
  EXPECT_EQ(ask("POST", "/v1/programs",
                "Content-Type: application/json\r\nContent-Length: 9\r\n")
                .status,
            401);
}

// The table, at the doors: every method, no token and each role.
TEST_F(SecurityTest, EveryMethodIsEnforcedForEveryRole) {
  const Role roles[] = {Role::kReader, Role::kUploader, Role::kOperator,
                        Role::kAdmin, Role::kWorker};
  std::vector<std::string> tokens;
  for (Role role : roles) {
    tokens.push_back(AddToken(std::string(RoleName(role)), role));
  }
  options_.guard.tokens_file = tokens_;
  Start();
  grpc::GenericStub stub(channel_);
  // Not a message of any request: what is let in fails later, otherwise.
  const grpc::Slice slice("\xff\xff\xff\xff");
  const grpc::ByteBuffer garbage(&slice, 1);
  const auto call = [&](const std::string& path, const std::string& token) {
    auto context = Context();
    if (!token.empty()) {
      context->AddMetadata("authorization", "Bearer " + token);
    }
    grpc::CompletionQueue queue;
    auto reader = stub.PrepareUnaryCall(context.get(), path, garbage, &queue);
    reader->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    reader->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    return status.error_code();
  };
  for (const Access& access : AccessTable()) {
    const std::string path = access.path;
    if (!absl::StartsWith(path, "/perfvec.")) continue;
    EXPECT_EQ(call(path, ""), grpc::StatusCode::UNAUTHENTICATED) << path;
    for (size_t i = 0; i < std::size(roles); ++i) {
      const auto code = call(path, tokens[i]);
      EXPECT_NE(code, grpc::StatusCode::UNAUTHENTICATED) << path;
      EXPECT_EQ(code == grpc::StatusCode::PERMISSION_DENIED,
                !Allows(&access, roles[i]))
          << path << " " << RoleName(roles[i]) << " " << code;
    }
  }
}

TEST_F(SecurityTest, ARevokedTokenEndsItsCallsWhileConnected) {
  const std::string token = AddToken("leaver", Role::kAdmin);
  const std::string stays = AddToken("stays", Role::kAdmin);
  options_.guard.tokens_file = tokens_;
  Start();
  auto client = client::Client::Create(Patient(token));
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE((*client)->GetServerStatus().ok());

  // A job that no worker takes is watched for ever.
  client_ = *client::Client::Create(Patient(stays));
  const std::string trace = root_ + "/t.pvt";
  std::ofstream(trace, std::ios::binary) << MakePvt(7);
  const auto uploaded = client_->UploadTrace(trace);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  v1::CreateProgramRequest create;
  create.set_name("p");
  create.set_trace_id(uploaded->trace_id());
  const auto created = client_->CreateProgram(create);
  ASSERT_TRUE(created.ok()) << created.status();
  absl::Status watched;
  absl::Notification seen;
  std::thread watcher([&] {
    watched = (*client)
                  ->WatchJob(created->jobs(0).job_id(),
                             [&](const v1::Job&) {
                               if (!seen.HasBeenNotified()) seen.Notify();
                               return true;
                             })
                  .status();
  });
  seen.WaitForNotification();
  ASSERT_TRUE(RevokeToken(tokens_, "leaver").ok());
  watcher.join();
  EXPECT_TRUE(absl::IsUnauthenticated(watched)) << watched;
  EXPECT_TRUE(absl::IsUnauthenticated((*client)->GetServerStatus().status()));
  EXPECT_TRUE(client_->GetServerStatus().ok());
}

TEST_F(SecurityTest, ATokenIsReadAgainFromItsFileAndNeverSentInTheClear) {
  const std::string first = AddToken("first", Role::kReader);
  const std::string second = AddToken("second", Role::kReader);
  options_.guard.tokens_file = tokens_;
  Start();
  auto options = Options();
  options.token_file = root_ + "/token";
  EXPECT_TRUE(absl::IsNotFound(Status(options)));
  WriteFile(options.token_file, "two words\n");
  EXPECT_TRUE(absl::IsInvalidArgument(Status(options)));
  WriteFile(options.token_file, first + "\n");
  auto client = client::Client::Create(options);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->GetServerStatus().ok());
  WriteFile(options.token_file, second + "\n");
  ASSERT_TRUE(RevokeToken(tokens_, "first").ok());
  Until([&] {
    return !Status(Options(first)).ok() && (*client)->GetServerStatus().ok();
  });
  options.token = second;
  EXPECT_TRUE(absl::IsInvalidArgument(Status(options)));
  options.token_file.clear();
  options.server = "perfvec.example.org:7450";
  const absl::Status clear = Status(options);
  EXPECT_TRUE(absl::IsInvalidArgument(clear));
  EXPECT_THAT(std::string(clear.message()), HasSubstr("in the clear"));
  EXPECT_THAT(std::string(clear.message()), Not(HasSubstr(second)));
}

TEST_F(SecurityTest, NoSecretIsLogged) {
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  auto logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  logger->set_level(spdlog::level::trace);
  spdlog::set_default_logger(logger);
  const std::string reader = AddToken("reader", Role::kReader);
  options_.guard.tokens_file = tokens_;
  options_.guard.audit.path = audit_;
  Start();
  EXPECT_TRUE(Status(Options(reader)).ok());
  EXPECT_FALSE(Delete(Options(reader), "p").ok());
  EXPECT_FALSE(Status(Options("pvs_unknown_secret")).ok());
  HttpPeer peer(server_->http_port());
  peer.Send(
      absl::StrCat("DELETE /v1/programs/p HTTP/1.1\r\nHost: localhost\r\n"
                   "Authorization: Bearer ",
                   reader, "\r\n\r\n"));
  const HttpAnswer answer = peer.Read();
  EXPECT_EQ(answer.status, 403);
  std::ofstream(tokens_) << "{\"tokens\": [\"" << reader << "\"";
  Until([&] { return absl::StrContains(log.str(), "stay in force"); });
  server_.reset();
  spdlog::set_default_logger(before);
  const std::string all = log.str() + AuditText() + answer.body;
  EXPECT_THAT(all, Not(HasSubstr(reader.substr(4))));
  EXPECT_THAT(all, Not(HasSubstr("unknown_secret")));
  EXPECT_THAT(AuditText(), HasSubstr("PERMISSION_DENIED"));
}

// --- The audit log ---------------------------------------------------------

TEST_F(SecurityTest, ChangesAreAuditedWithWhoWhatAndOutcome) {
  const std::string admin = AddToken("admin", Role::kAdmin);
  options_.guard.tokens_file = tokens_;
  options_.guard.audit.path = audit_;
  Start();
  client_ = *client::Client::Create(Patient(admin));
  EXPECT_TRUE(client_->GetServerStatus().ok());
  const std::string trace = root_ + "/t.pvt";
  std::ofstream(trace, std::ios::binary) << MakePvt(7);
  const auto uploaded = client_->UploadTrace(trace);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  v1::CreateProgramRequest create;
  create.set_name("audited");
  create.set_trace_id(uploaded->trace_id());
  ASSERT_TRUE(client_->CreateProgram(create).ok());
  EXPECT_FALSE(client_->DeleteProgram("absent@1", false).ok());
  HttpPeer peer(server_->http_port());
  peer.Send(
      absl::StrCat("DELETE /v1/programs/audited HTTP/1.1\r\nHost: localhost\r\n"
                   "X-Request-Id: req-17\r\nAuthorization: Bearer ",
                   admin, "\r\n\r\n"));
  EXPECT_EQ(peer.Read().status, 200);
  server_.reset();

  std::map<std::string, nlohmann::json> by_call;
  for (absl::string_view line :
       absl::StrSplit(AuditText(), '\n', absl::SkipEmpty())) {
    auto record =
        nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    ASSERT_TRUE(record.is_object()) << line;
    EXPECT_EQ(record["token"], "admin") << line;
    EXPECT_EQ(record["tenant"], "default") << line;
    EXPECT_FALSE(record["request_id"].get<std::string>().empty()) << line;
    EXPECT_THAT(record["peer"].get<std::string>(), HasSubstr("127.0.0.1"))
        << line;
    by_call[absl::StrCat(record["method"].get<std::string>(), " ",
                         record["object"].get<std::string>())] = record;
  }
  EXPECT_EQ(by_call["ProgramService.CreateProgram audited"]["outcome"], "OK");
  EXPECT_EQ(by_call["ProgramService.DeleteProgram absent@1"]["outcome"],
            "NOT_FOUND");
  const auto& deleted = by_call["ProgramService.DeleteProgram audited"];
  EXPECT_EQ(deleted["outcome"], "OK");
  EXPECT_EQ(deleted["request_id"], "req-17");
  // Upload: begun, written, finished; reading is not audited.
  EXPECT_EQ(by_call.size(), 6) << AuditText();
}

TEST_F(SecurityTest, NothingIsChangedWhileTheAuditLogCannotBeWritten) {
  options_.guard.audit.path = audit_;
  options_.guard.audit.max_bytes = 1;
  options_.guard.audit.files = 2;
  Start();
  EXPECT_TRUE(absl::IsNotFound(Delete(Options(), "a")));
  ASSERT_TRUE(std::filesystem::create_directories(audit_ + ".1/full"));
  EXPECT_TRUE(absl::IsNotFound(Delete(Options(), "b")));  // this shows it
  const absl::Status refused = Delete(Options(), "c");
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("audit log"));
  EXPECT_TRUE(Status(Options()).ok());  // reading goes on
  std::filesystem::remove_all(audit_ + ".1");
  Until([&] { return absl::IsNotFound(Delete(Options(), "d")); });
}

}  // namespace
}  // namespace perfvec::server
