// HTTP as it is misused: framing, pipelining, slowness, too much of everything,
// garbage; and the OpenAPI document against the live server.
#include <gmock/gmock.h>

#include <random>
#include <set>

#include "server/http/routes.h"
#include "tests/server/http_client.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class HttpLimitsTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.http.listen = "127.0.0.1:0";
  }
  HttpAnswer Exchange(const std::string& bytes) {
    HttpPeer peer(server_->http_port());
    peer.Send(bytes);
    peer.EndSending();
    return peer.Read();
  }
  int port() { return server_->http_port(); }
};

TEST_F(HttpLimitsTest, RequestsOnOneConnectionAreAnsweredInOrder) {
  Start();
  HttpPeer peer(port());
  std::string all;
  for (int i = 0; i < 20; ++i) {
    all += MakeHttpRequest("GET", absl::StrCat("/v1/programs/p", i));
    all += MakeHttpRequest("POST", "/v1/rank",
                           absl::StrCat(R"({"program": "q)", i, "\"}"),
                           {{"Content-Type", "application/json"}});
    all += MakeHttpRequest("GET", "/healthz");
  }
  peer.Send(all);
  for (int i = 0; i < 20; ++i) {
    HttpAnswer answer = peer.Read();
    EXPECT_EQ(answer.status, 404);
    EXPECT_THAT(answer.body, HasSubstr(absl::StrCat("p", i)));
    answer = peer.Read();
    EXPECT_EQ(answer.status, 404);
    EXPECT_THAT(answer.body, HasSubstr(absl::StrCat("q", i)));
    EXPECT_EQ(peer.Read().body, "ok\n");
  }
  peer.Send(MakeHttpRequest("GET", "/healthz", "", {{"Connection", "close"}}));
  EXPECT_EQ(peer.Read().Header("connection"), "close");
  EXPECT_EQ(peer.Read().status, 0);
  // HTTP/1.0 closes unless asked to stay.
  HttpPeer old(port());
  old.Send("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().body, "ok\n");
  EXPECT_EQ(old.Read().status, 0);
}

TEST_F(HttpLimitsTest, BodiesComeInChunksAndAfterContinue) {
  Start();
  HttpPeer peer(port());
  const std::string head =
      "POST /v1/rank HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json; charset=utf-8\r\n";
  peer.Send(head + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"pro\r\n");
  peer.Send("e\r\ngram\": \"abcd\"}\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_THAT(peer.Read().body, HasSubstr("abcd"));
  peer.Send(head + "Expect: 100-continue\r\nContent-Length: 19\r\n\r\n");
  EXPECT_EQ(peer.Read().status, 100);
  peer.Send("{\"program\": \"efgh\"}");
  EXPECT_THAT(peer.Read().body, HasSubstr("efgh"));
  // What is too large is refused before it is asked for.
  peer.Send(head + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_EQ(peer.Read().status, 413);
}

TEST_F(HttpLimitsTest, DoubtfulFramingIsRefusedAndEndsTheConnection) {
  Start();
  const std::string start = "POST /v1/rank HTTP/1.1\r\nHost: localhost\r\n";
  const std::string hidden = "\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n";
  for (const std::string& request : {
           start + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" +
               hidden,
           start + "Content-Length: 5\r\nContent-Length: 6\r\n" + hidden,
           start + "Content-Length: -1\r\n" + hidden,
           start + "Content-Length: 99999999999999999999\r\n" + hidden,
           start + "Transfer-Encoding: gzip\r\n" + hidden,
           start + "Transfer-Encoding: gzip, chunked\r\n" + hidden,
           start +
               "Content-Type: application/json\r\n"
               "Transfer-Encoding: chunked\r\n\r\nzz\r\n" +
               hidden,
           start + "Host: other\r\n\r\n",
           std::string("GET /healthz HTTP/1.1\r\n\r\n"),
           std::string("GET http://localhost/healthz HTTP/1.1\r\n"
                       "Host: localhost\r\n\r\n"),
           std::string("GET  /healthz HTTP/1.1\r\n\r\n"),
           std::string("GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n"),
           std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls"),
           std::string("get\r\n\r\n"),
       }) {
    HttpPeer peer(port());
    peer.Send(request);
    const HttpAnswer answer = peer.Read();
    EXPECT_EQ(answer.status, 400) << request << "\n" << answer.body;
    EXPECT_EQ(answer.Json()["error"]["status"], "INVALID_ARGUMENT") << request;
    EXPECT_EQ(peer.Read().status, 0) << request;
  }
  HttpPeer peer(port());
  peer.Send(start + "X: " + std::string(40'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(peer.Read().status, 431);
  HttpPeer packed(port());
  packed.Send(MakeHttpRequest("POST", "/v1/rank", "{}",
                              {{"Content-Encoding", "gzip"}}));
  EXPECT_EQ(packed.Read().status, 400);
  EXPECT_EQ(Ask(port(), "GET", "/healthz").status, 200);
}

TEST_F(HttpLimitsTest, OtherSitesMayNotCallThroughABrowser) {
  options_.http.host_names = {"perfvec.example"};
  Start();
  const auto with_host = [&](const std::string& host) {
    return Exchange("GET /healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
        .status;
  };
  for (const char* host : {"localhost:7452", "127.0.0.1", "[::1]:80",
                           "LOCALHOST", "perfvec.example:443"}) {
    EXPECT_EQ(with_host(host), 200) << host;
  }
  for (const char* host : {"evil.example", "127.0.0.1.evil.example", "10.0.0.1",
                           "localhost.evil.example:80", ""}) {
    EXPECT_EQ(with_host(host), 403) << host;
  }
  const auto from = [&](const std::string& origin) {
    return Ask(port(), "POST", "/v1/jobs/none:cancel", "", {{"Origin", origin}})
        .status;
  };
  EXPECT_EQ(from("http://localhost"), 404);
  EXPECT_EQ(from("http://evil.example"), 403);
  EXPECT_EQ(from("null"), 403);
}

TEST_F(HttpLimitsTest, WhoIsSlowIsCutOff) {
  options_.http.header_timeout = absl::Milliseconds(100);
  options_.http.body_timeout = absl::Milliseconds(100);
  options_.http.piece_timeout = absl::Milliseconds(100);
  options_.http.idle_timeout = absl::Milliseconds(200);
  Start();
  v1::Upload upload;
  ASSERT_TRUE(Begin(MakePvt(3), &upload).ok());
  for (const std::string& begun :
       {std::string(), std::string("GET /healthz HTTP/1.1\r\nHost: loc"),
        std::string("POST /v1/rank HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: 100\r\n\r\n{"),
        absl::StrCat("PUT /v1/uploads/", upload.upload_id(),
                     " HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
                     "Content-Length: 100000\r\n\r\nabc")}) {
    HttpPeer peer(port());
    peer.Send(begun);
    EXPECT_EQ(peer.Read().status, 0) << begun;  // returns: it was closed
  }
  // A reader that takes nothing of a large answer.
  options_.http.write_timeout = absl::Milliseconds(100);
  Start();
  HttpPeer deaf(port(), 4096);
  std::string many;
  for (int i = 0; i < 400; ++i) {
    many += MakeHttpRequest("GET", "/v1/openapi.json");
  }
  deaf.Send(many);
  while (Ask(port(), "GET", "/metrics")
             .body.find("perfvec_http_connections 1\n") == std::string::npos) {
  }
  EXPECT_EQ(Ask(port(), "GET", "/healthz").status, 200);
}

TEST_F(HttpLimitsTest, IdleConnectionsMakeRoomAndBusyOnesDoNot) {
  options_.http.max_connections = 4;
  Start();
  std::vector<std::unique_ptr<HttpPeer>> idle;
  for (int i = 0; i < 4; ++i) {
    idle.push_back(std::make_unique<HttpPeer>(port()));
    idle[i]->Send(MakeHttpRequest("GET", "/healthz"));
    EXPECT_EQ(idle[i]->Read().status, 200);
  }
  HttpPeer fifth(port());
  fifth.Send(MakeHttpRequest("GET", "/healthz"));
  EXPECT_EQ(fifth.Read().status, 200);
  // One of them is gone, the others are as they were.
  int gone = 0;
  for (const auto& one : idle) {
    one->Send(MakeHttpRequest("GET", "/healthz"));
    gone += one->Read().status == 0;
  }
  EXPECT_EQ(gone, 1);
  idle.clear();

  // Those that watch a job are busy.
  const v1::Job job = NewJob("p");
  std::vector<std::unique_ptr<HttpPeer>> busy;
  bool full = false;
  for (int i = 0; i < 12 && !full; ++i) {
    busy.push_back(std::make_unique<HttpPeer>(port()));
    busy.back()->Send(
        MakeHttpRequest("GET", "/v1/jobs/" + job.job_id() + ":watch"));
    std::string line;
    ASSERT_TRUE(busy.back()->Line(&line));
    full = line.find(" 503 ") != std::string::npos;
  }
  EXPECT_TRUE(full);
  EXPECT_GE(busy.size(), 4);
  busy.clear();
  // They left: their places are free again.
  while (Ask(port(), "GET", "/healthz").status != 200) {
  }
}

TEST_F(HttpLimitsTest, ADrainAnswersWhatIsOpenAndEndsStreams) {
  Start();
  const v1::Job job = NewJob("p");
  HttpPeer watcher(port());
  watcher.Send(MakeHttpRequest("GET", "/v1/jobs/" + job.job_id() + ":watch"));
  std::string line, event;
  while (watcher.Line(&line) && !line.empty()) {
  }
  ASSERT_TRUE(watcher.Chunk(&event));
  HttpPeer idle(port());
  idle.Send(MakeHttpRequest("GET", "/readyz"));
  EXPECT_EQ(idle.Read().status, 200);
  server_->Drain();
  EXPECT_EQ(idle.Read().status, 0);
  ASSERT_TRUE(watcher.Chunk(&event));
  EXPECT_THAT(event, HasSubstr("event: failed"));
  EXPECT_THAT(event, HasSubstr("UNAVAILABLE"));
  EXPECT_FALSE(watcher.Chunk(&event));
}

TEST_F(HttpLimitsTest, GarbageNeverBreaksIt) {
  Start();
  const uint32_t seed = std::random_device()();
  RecordProperty("seed", absl::StrCat(seed));
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  v1::Upload upload;
  ASSERT_TRUE(Begin(MakePvt(3), &upload).ok());
  std::vector<std::string> good;
  for (const http::Route& route : http::Routes()) {
    std::string path = route.path;
    const size_t open = path.find('{');
    if (open != std::string::npos) {
      path.replace(
          open, path.find('}') - open + 1,
          route.kind == http::RouteKind::kUpload ? upload.upload_id() : "name");
    }
    const std::string method = route.method;
    const bool body = method != "GET" && method != "DELETE";
    good.push_back(MakeHttpRequest(
        method, path + (body ? "" : "?pageSize=3&tags.a=b&program=p"),
        body ? R"({"program": "p", "runs": [{"timeNs": [1.5e3]}]})" : "",
        {{"Content-Type", "application/json"},
         {"Upload-Offset", "0"},
         {"Accept-Encoding", "gzip"}}));
  }
  for (int round = 0; round < 600; ++round) {
    std::string bytes = good[random() % good.size()];
    for (int edits = random() % 6; edits > 0; --edits) {
      const size_t at = random() % bytes.size();
      switch (random() % 5) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 20);
          break;
        case 2:
          bytes.insert(at, bytes.substr(random() % bytes.size(), 30));
          break;
        case 3:
          bytes.insert(
              at, std::string(random() % 300, "{[\"%\r\n:/"[random() % 9]));
          break;
        default:
          bytes.resize(at + 1);
      }
      if (bytes.empty()) bytes = "x";
    }
    HttpPeer peer(port());
    peer.Send(bytes);
    peer.EndSending();
    HttpAnswer answer;
    do {
      answer = peer.Read();
      EXPECT_NE(answer.status, 500) << bytes << "\n" << answer.body;
    } while (answer.status != 0 && answer.whole);
  }
  EXPECT_EQ(Ask(port(), "GET", "/readyz").status, 200);
}

// What of JSON schema the document uses. Empty: `value` is as `schema` says.
std::string Mismatch(const json& document, const json& schema,
                     const json& value, const std::string& where) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return Mismatch(document, document.at(json::json_pointer(ref.substr(1))),
                    value, where);
  }
  if (schema.contains("oneOf")) {
    for (const json& one : schema["oneOf"]) {
      if (Mismatch(document, one, value, where).empty()) return "";
    }
    return where + " is none of those it may be";
  }
  const std::string type = schema.value("type", "");
  const bool right = type.empty() || (type == "object" && value.is_object()) ||
                     (type == "array" && value.is_array()) ||
                     (type == "string" && value.is_string()) ||
                     (type == "boolean" && value.is_boolean()) ||
                     (type == "integer" && value.is_number_integer()) ||
                     (type == "number" && value.is_number());
  if (!right) return where + " is no " + type + ": " + value.dump();
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) ==
          schema["enum"].end()) {
    return where + " has no such value: " + value.dump();
  }
  std::string bad;
  for (const json& name : schema.value("required", json::array())) {
    if (!value.contains(name)) bad = where + " lacks " + name.dump();
  }
  if (value.is_object() && type == "object") {
    for (const auto& [name, item] : value.items()) {
      const json more = schema.value("additionalProperties", json(true));
      const std::string inside = where + "." + name;
      if (schema.contains("properties") &&
          schema["properties"].contains(name)) {
        bad += Mismatch(document, schema["properties"][name], item, inside);
      } else if (more.is_object()) {
        bad += Mismatch(document, more, item, inside);
      } else if (more == false) {
        bad += inside + " is not in the document; ";
      }
    }
  }
  if (value.is_array() && schema.contains("items")) {
    for (const json& item : value) {
      bad += Mismatch(document, schema["items"], item, where + "[]");
    }
  }
  return bad;
}

TEST_F(HttpLimitsTest, TheOpenApiDocumentSaysWhatTheServerDoes) {
  Start();
  const v1::Job job = NewJob("p");
  bool finished = false;
  while (!finished) {
    const auto lease = Lease("w");
    ASSERT_TRUE(Complete(lease.lease(), job.model_id(), &finished).ok());
  }
  v1::Upload upload;
  ASSERT_TRUE(Begin(MakePvt(3), &upload).ok());
  const json document = Ask(port(), "GET", "/v1/openapi.json").Json();
  EXPECT_EQ(document["openapi"], "3.0.3");
  const std::map<std::string, std::string> names = {
      {"{program}", "p"},
      {"{architecture}", "a0"},
      {"{model}", job.model_id()},
      {"{job_id}", job.job_id()},
      {"{upload_id}", upload.upload_id()},
      {"{trace_id}", job.trace_id()}};
  const std::map<std::string, json> bodies = {
      {"/v1/predict", {{"program", "p"}, {"architecture", "a0"}}},
      {"/v1/rank", {{"architecture", "a0"}}},
      {"/v1/architectures",
       {{"architecture", {{"name", "new"}, {"pricePerHour", 2}}}}},
      {"/v1/architectures:learn",
       {{"architecture", {{"name", "lab"}}},
        {"runs", {{{"program", "p"}, {"timeNs", {500, 510}}}}}}}};
  size_t operations = 0, answered = 0;
  std::set<std::string> ids;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      ++operations;
      SCOPED_TRACE(method + " " + path);
      EXPECT_TRUE(ids.insert(operation["operationId"]).second);
      std::string target = path;
      size_t in_path = 0;
      for (const auto& [name, value] : names) {
        const size_t at = target.find(name);
        if (at == std::string::npos) continue;
        target.replace(at, name.size(), value);
        ++in_path;
      }
      EXPECT_EQ(target.find('{'), std::string::npos);
      for (const json& parameter :
           operation.value("parameters", json::array())) {
        in_path -= parameter["in"] == "path";
      }
      EXPECT_EQ(in_path, 0);
      if (method == "get" && (path == "/v1/predict" || path == "/v1/rank")) {
        target +=
            path == "/v1/rank" ? "?program=p" : "?program=p&architecture=a0";
      }
      // Deletions last, elsewhere; a watch of an ended job ends.
      if (method == "delete") continue;
      const auto body = bodies.find(path);
      HttpAnswer answer = Ask(
          port(), absl::AsciiStrToUpper(method), target,
          method == "post" && body != bodies.end() ? body->second.dump() : "");
      EXPECT_NE(answer.status, 405);
      const bool ok = answer.status == 200;
      answered += ok;
      const json said = operation["responses"][ok ? "200" : "default"];
      const json content = said["content"];
      const std::string type = answer.Header("content-type");
      const std::string bare = type.substr(0, type.find(';'));
      ASSERT_TRUE(content.contains(bare)) << type << answer.body;
      if (bare != "application/json") continue;
      EXPECT_EQ(Mismatch(document, content[bare]["schema"], answer.Json(), ""),
                "")
          << answer.body;
    }
  }
  EXPECT_EQ(operations, http::Routes().size() + 4);
  EXPECT_GE(answered, operations / 2);
  // The check sees what is wrong.
  const json job_schema = {{"$ref", "#/components/schemas/Job"}};
  EXPECT_NE(Mismatch(document, job_schema, {{"shards", "3"}}, ""), "");
  EXPECT_NE(Mismatch(document, job_schema, {{"shard", 3}}, ""), "");
}

}  // namespace
}  // namespace perfvec::server
