// JSON over HTTP: every call, against the same server's gRPC.
#include <gmock/gmock.h>
#include <zlib.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "server/http/routes.h"
#include "server/http/transcode.h"
#include "tests/server/http_client.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class HttpTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.http.listen = "127.0.0.1:0";
    Start();
  }
  HttpAnswer Get(const std::string& target, HttpHeaders headers = {}) {
    return Ask(server_->http_port(), "GET", target, "", std::move(headers));
  }
  HttpAnswer Post(const std::string& target, const json& body = nullptr) {
    return Ask(server_->http_port(), "POST", target,
               body.is_null() ? "" : body.dump());
  }
  HttpAnswer Put(const std::string& target, const std::string& offset,
                 const std::string& bytes) {
    HttpPeer peer(server_->http_port());
    peer.Send(
        MakeHttpRequest("PUT", target, bytes, {{"Upload-Offset", offset}}));
    return peer.Read();
  }
  static void ExpectError(const HttpAnswer& answer, int status,
                          const std::string& code, const std::string& word) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_EQ(answer.Header("content-type"), "application/json");
    const json error = answer.Json()["error"];
    EXPECT_EQ(error["code"], status);
    EXPECT_EQ(error["status"], code);
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(word));
  }
  // Represents `name` by completing its shards.
  void Represent(const std::string& name) {
    const v1::Job job = NewJob(name);
    bool finished = false;
    while (!finished) {
      const auto lease = Lease("w");
      ASSERT_TRUE(lease.has_lease());
      ASSERT_TRUE(Complete(lease.lease(), job.model_id(), &finished).ok());
    }
  }
};

TEST(HttpRoutesTest, EveryPublicCallHasARow) {
  std::multiset<std::string> rows;
  for (const http::Route& route : http::Routes()) {
    ASSERT_NE(http::FindCall(route), nullptr) << route.rpc;
    rows.insert(route.rpc);
  }
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  size_t calls = 0;
  for (const char* service :
       {"ProgramService", "ArchitectureService", "ModelService", "TraceService",
        "PredictionService", "JobService", "ServerService", "LearningService",
        "ExplorationService", "AnalysisService"}) {
    const auto* found =
        pool->FindServiceByName(absl::StrCat("perfvec.v1.", service));
    ASSERT_NE(found, nullptr) << service;
    for (int i = 0; i < found->method_count(); ++i, ++calls) {
      const std::string call =
          absl::StrCat(service, ".", found->method(i)->name());
      EXPECT_GE(rows.count(call), 1) << call;
    }
  }
  EXPECT_GT(calls, 30);
}

TEST(HttpRoutesTest, PathsAreTakenApart) {
  auto match = http::MatchRoute("POST", "/v1/programs/a%40b@3:represent");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.route->rpc, std::string("ProgramService.RepresentProgram"));
  EXPECT_EQ(match.fields[0].second, "a@b@3");
  EXPECT_EQ(http::MatchRoute("PUT", "/v1/programs").allowed, "GET, HEAD, POST");
  EXPECT_NE(http::MatchRoute("HEAD", "/v1/programs").route, nullptr);
  for (const char* path :
       {"", "/", "/v1", "/v1/programs/", "/v1/programs/a/b", "/v1/programs/a:b",
        "/v1/programs/%zz", "/v1/programs/%ff", "/v1/programs/%4"}) {
    EXPECT_EQ(http::MatchRoute("GET", path).route, nullptr) << path;
  }
}

TEST_F(HttpTest, ATraceGoesInAndARankingComesOut) {
  const std::string trace = MakePvt(7);
  HttpAnswer answer =
      Post("/v1/uploads", {{"sha256", HexSha256(trace)},
                           {"sizeBytes", absl::StrCat(trace.size())}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Header("upload-offset"), "0");
  const std::string upload = absl::StrCat(
      "/v1/uploads/", answer.Json()["uploadId"].get<std::string>());

  // The first half; then a wrong offset; then the rest.
  const size_t half = trace.size() / 2;
  answer = Put(upload, "0", trace.substr(0, half));
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::string committed = answer.Header("upload-offset");
  EXPECT_EQ(committed, answer.Json()["committedSizeBytes"]);
  EXPECT_NE(committed, "0");
  ExpectError(Put(upload, absl::StrCat(trace.size() - 1), "x"), 409, "ABORTED",
              "offset");
  HttpPeer peer(server_->http_port());
  peer.Send(MakeHttpRequest("HEAD", upload));
  answer = peer.Read(true);
  EXPECT_EQ(answer.Header("upload-offset"), committed);
  EXPECT_EQ(answer.Header("upload-length"), absl::StrCat(trace.size()));
  // Chunked, on the same connection.
  peer.Send(absl::StrCat("PUT ", upload,
                         " HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: ",
                         committed, "\r\nTransfer-Encoding: chunked\r\n\r\n"));
  size_t from;
  ASSERT_TRUE(absl::SimpleAtoi(committed, &from));
  for (size_t at = from; at < trace.size(); at += 1000) {
    const std::string chunk = trace.substr(at, 1000);
    peer.Send(absl::StrCat(absl::Hex(chunk.size()), "\r\n", chunk, "\r\n"));
  }
  peer.Send("0\r\n\r\n");
  answer = peer.Read();
  EXPECT_EQ(answer.Header("upload-offset"), absl::StrCat(trace.size()))
      << answer.body;
  answer = Post(upload + ":finish");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::string trace_id = answer.Json()["traceId"];
  EXPECT_EQ(trace_id, HexSha256(trace));
  EXPECT_EQ(Get("/v1/traces/" + trace_id).Json()["instructions"],
            absl::StrCat(kTraceInstructions));

  answer = Post(
      "/v1/programs",
      {{"name", "mcf"}, {"traceId", trace_id}, {"tags", {{"suite", "spec"}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json job = answer.Json()["jobs"][0];
  ExpectError(Get("/v1/predict?program=mcf&architecture=a0"), 400,
              "FAILED_PRECONDITION", "mcf");

  // Watched until its end.
  HttpPeer watcher(server_->http_port());
  const std::string job_id = job["jobId"];
  watcher.Send(MakeHttpRequest("GET", "/v1/jobs/" + job_id + ":watch"));
  std::string line, event;
  ASSERT_TRUE(watcher.Line(&line));
  EXPECT_EQ(line, "HTTP/1.1 200 OK");
  while (watcher.Line(&line) && !line.empty()) {
    if (line.find("Content-Type") == 0) {
      EXPECT_EQ(line, "Content-Type: text/event-stream");
    }
  }
  ASSERT_TRUE(watcher.Chunk(&event));
  EXPECT_THAT(event, HasSubstr("JOB_STATE_QUEUED"));
  bool finished = false;
  while (!finished) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_lease());
    ASSERT_TRUE(Complete(lease.lease(), job["modelId"], &finished).ok());
  }
  std::string last;
  while (watcher.Chunk(&event)) {
    if (event.find("event: end") != std::string::npos) break;
    last = event;
  }
  EXPECT_THAT(last, HasSubstr("JOB_STATE_SUCCEEDED"));
  EXPECT_THAT(event, HasSubstr("event: end"));
  ASSERT_EQ(last.substr(0, 6), "data: ");
  EXPECT_EQ(json::parse(last.substr(6))["jobId"], job_id);

  // Both ways of asking give what gRPC gives.
  v1::PredictResponse predicted;
  ASSERT_TRUE(Predict("mcf", "a0", &predicted).ok());
  answer = Get("/v1/predict?program=mcf&architecture=a0");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["timeNs"].get<double>(), predicted.time_ns());
  EXPECT_EQ(
      answer.Json(),
      Post("/v1/predict", {{"program", "mcf"}, {"architecture", "a0"}}).Json());
  answer = Post("/v1/predict:batch",
                {{"requests",
                  {{{"program", "mcf"}, {"architecture", "a1"}},
                   {{"program", "none"}, {"architecture", "a1"}}}}});
  EXPECT_EQ(answer.Json()["items"][1]["code"], 5);
  EXPECT_EQ(answer.Json()["items"][0]["prediction"]["timeNs"].get<double>(),
            2 * predicted.time_ns());
  answer = Post("/v1/rank", {{"program", "mcf"},
                             {"constraints",
                              {{{"attribute", "kind"},
                                {"op", "EQUAL"},
                                {"value", {{"text", "large"}}}}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["items"].size(), 1);
  EXPECT_EQ(answer.Json()["items"][0]["name"], "a1@1");
  answer = Get("/v1/rank?program=mcf&objective=OBJECTIVE_TIME&limit=1");
  EXPECT_EQ(answer.Json()["items"][0]["name"], "a0@1") << answer.body;
  answer = Post("/v1/predict:matrix");
  ASSERT_TRUE(answer.whole);
  ASSERT_TRUE(answer.Json().is_array()) << answer.body;
  EXPECT_EQ(answer.Json()[0]["architectures"].size(), 2);
  EXPECT_EQ(answer.Json()[1]["timeNs"].size(), 2);
  ExpectError(Post("/v1/predict:matrix", {{"programs", {"none"}}}), 404,
              "NOT_FOUND", "none");

  answer = Ask(server_->http_port(), "PATCH", "/v1/programs/mcf",
               R"({"update": {"setTags": {"a": "1"}}})");
  EXPECT_EQ(answer.Json()["tags"]["a"], "1") << answer.body;
  EXPECT_EQ(Get("/v1/programs?tags.a=1&tags.suite=spec&pageSize=5")
                .Json()["programs"]
                .size(),
            1);
  EXPECT_EQ(Get("/v1/programs?tags.a=2").Json()["programs"].size(), 0);
  EXPECT_EQ(Ask(server_->http_port(), "DELETE", "/v1/programs/mcf").status,
            200);
  ExpectError(Get("/v1/programs/mcf"), 404, "NOT_FOUND", "mcf");
}

TEST_F(HttpTest, BytesOfAModelAreStreamedAsTheyAre) {
  const json models = Get("/v1/models").Json()["models"];
  ASSERT_EQ(models.size(), 1);
  const HttpAnswer weights =
      Get("/v1/models/" + models[0]["name"].get<std::string>() + "/weights");
  EXPECT_EQ(weights.status, 200) << weights.body;
  EXPECT_TRUE(weights.whole);
  EXPECT_EQ(HexSha256(weights.body), models[0]["weightsSha256"]);
  EXPECT_EQ(Get("/v1/models/none/weights").status, 404);
}

class HttpModelTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    SaveModel("other", 2);  // the server has another
    manifest_ = ReadWhole(root_ + "/other/manifest.json");
    weights_ = ReadWhole(root_ + "/other/model.safetensors");
  }
  static std::string ReadWhole(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }
  HttpAnswer Create(const std::string& query, const std::string& manifest_size,
                    const std::string& body) {
    HttpPeer peer(server_->http_port());
    HttpHeaders headers;
    if (!manifest_size.empty()) {
      headers.push_back({"Manifest-Size", manifest_size});
    }
    peer.Send(MakeHttpRequest("POST", "/v1/models" + query, body, headers));
    return peer.Read();
  }
  std::string ManifestSize() const { return absl::StrCat(manifest_.size()); }

  std::string manifest_, weights_;
};

TEST_F(HttpModelTest, AModelGoesInAndComesOut) {
  const HttpAnswer answer =
      Create("?name=new&createArchitectures=true&aliases=a&aliases=b&tags.k=v",
             ManifestSize(), manifest_ + weights_);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["name"], "new");
  EXPECT_EQ(answer.Json()["tags"]["k"], "v");
  EXPECT_EQ(answer.Json()["weightsSizeBytes"], absl::StrCat(weights_.size()));
  EXPECT_EQ(Get("/v1/models/new@b/weights").body, weights_);
  EXPECT_EQ(Get("/v1/models/new@a").Json()["manifestJson"], manifest_);
  EXPECT_EQ(Get("/v1/architectures/a0").Json()["vectors"].size(), 2)
      << "one a model";
  // Again: the same version. Under another name: refused.
  const HttpAnswer again =
      Create("?name=new", ManifestSize(), manifest_ + weights_);
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(again.Json()["version"], answer.Json()["version"]);
  ExpectError(Create("?name=twin", ManifestSize(), manifest_ + weights_), 409,
              "ALREADY_EXISTS", "new@1");
}

TEST_F(HttpModelTest, AModelGoesInByChunks) {
  // Of all lengths; their sum only the query tells.
  HttpPeer peer(server_->http_port());
  peer.Send(absl::StrCat(
      "POST /v1/models?name=chunked&weightsSizeBytes=", weights_.size(),
      " HTTP/1.1\r\nHost: localhost\r\nManifest-Size: ", manifest_.size(),
      "\r\nTransfer-Encoding: chunked\r\n\r\n"));
  const std::string body = manifest_ + weights_;
  size_t step = 1;
  for (size_t at = 0; at < body.size(); at += step++) {
    const std::string piece = body.substr(at, step);
    ASSERT_TRUE(peer.Send(
        absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n")));
  }
  peer.Send("0\r\n\r\n");
  const HttpAnswer chunked = peer.Read();
  ASSERT_EQ(chunked.status, 200) << chunked.body;
  EXPECT_EQ(Get("/v1/models/chunked/weights").body, weights_);
  // The connection goes on.
  peer.Send(MakeHttpRequest("GET", "/v1/models/chunked"));
  EXPECT_EQ(peer.Read().status, 200);
}

TEST_F(HttpModelTest, AWrongModelIsRefusedAndLeavesNothing) {
  const std::string size = ManifestSize(), body = manifest_ + weights_;
  ExpectError(Create("?name=n", "", body), 400, "INVALID_ARGUMENT",
              "Manifest-Size");
  ExpectError(Create("?name=n", "0", body), 400, "INVALID_ARGUMENT",
              "Manifest-Size");
  ExpectError(Create("?name=n", "-1", body), 400, "INVALID_ARGUMENT",
              "Manifest-Size");
  ExpectError(Create("?name=n", "99999999999", body), 400, "INVALID_ARGUMENT",
              "Manifest-Size");
  ExpectError(Create("?name=n", absl::StrCat(body.size() + 1), body), 400,
              "INVALID_ARGUMENT", "Content-Length");
  ExpectError(Create("?name=n", size, ""), 400, "INVALID_ARGUMENT",
              "ended after 0");
  ExpectError(Create("?weightsSizeBytes=7", size, manifest_.substr(0, 9)), 400,
              "INVALID_ARGUMENT", "ended after 9");
  ExpectError(Create("?colour=red", size, body), 400, "INVALID_ARGUMENT",
              "colour");
  ExpectError(Create("?manifestJson=x", size, body), 400, "INVALID_ARGUMENT",
              "manifestJson");
  ExpectError(Create("?name=n&weightsSizeBytes=7", size, body), 400,
              "INVALID_ARGUMENT", "expected 7 bytes");
  ExpectError(Create("?name=n", "4", "\xff\xfe{}" + weights_), 400,
              "INVALID_ARGUMENT", "UTF-8");
  const HttpAnswer garbage = Create("?name=n", "2", "{}" + weights_);
  EXPECT_EQ(garbage.status, 400) << garbage.body;
  std::string damaged = body;
  damaged[manifest_.size() + 3] ^= 0x40;
  EXPECT_NE(Create("?name=n", size, damaged).status, 200);
  // A peer that leaves in the middle.
  {
    HttpPeer peer(server_->http_port());
    peer.Send(
        absl::StrCat("POST /v1/models?name=n HTTP/1.1\r\nHost: "
                     "localhost\r\nManifest-Size: ",
                     size, "\r\nContent-Length: ", body.size(), "\r\n\r\n",
                     body.substr(0, body.size() - 1)));
  }
  EXPECT_EQ(Get("/v1/models/n").status, 404);
  EXPECT_EQ(Get("/v1/models").Json()["models"].size(), 1);
}

TEST_F(HttpTest, AnArchitectureIsLearnedFromATable) {
  Represent("p1");
  HttpAnswer answer =
      Post("/v1/architectures:learn",
           {{"architecture", {{"name", "lab"}}},
            {"runs", {{{"program", "p1"}, {"timeNs", {1000.0, 1010.0}}}}}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["architecture"]["name"], "lab");
  EXPECT_EQ(Get("/v1/architectures/lab").Json()["vectors"][0]["origin"],
            "learned");
  ExpectError(Post("/v1/architectures:learn",
                   {{"architecture", {{"name", "lab"}}},
                    {"runs", {{{"program", "p1"}, {"timeNs", {-1}}}}}}),
              400, "INVALID_ARGUMENT", "p1");
}

TEST_F(HttpTest, ADesignSpaceIsExplored) {
  Represent("p1");
  json samples = json::array();
  for (int i = 0; i < 6; ++i) {
    const std::string name = absl::StrCat("d", i);
    const std::vector<double> values(kModelWidth, 1.0 + i);
    const json vector = {
        {"modelId", model_.id()}, {"values", values}, {"origin", "given"}};
    const HttpAnswer made =
        Post("/v1/architectures",
             {{"architecture",
               {{"name", name}, {"vectors", json::array({vector})}}}});
    ASSERT_EQ(made.status, 200) << made.body;
    samples.push_back({{"architecture", name}, {"point", {1.0 + i}}});
  }
  json request = {
      {"parameters", {{{"name", "slowness"}, {"values", {1, 2, 3, 4, 5, 6}}}}},
      {"samples", samples},
      {"programs", {{{"program", "p1"}}}}};
  const HttpAnswer answer = Post("/v1/architectures:explore", request);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.Json()["designs"], "6");
  EXPECT_EQ(answer.Json()["programs"][0]["ranking"].size(), 6);
  request["limits"] = json::array({"no_such_name"});
  ExpectError(Post("/v1/architectures:explore", request), 400,
              "INVALID_ARGUMENT", "no_such_name");
}

TEST_F(HttpTest, WrongRequestsAreAnsweredWithAClearWord) {
  const int port = server_->http_port();
  ExpectError(Get("/v1/nothing"), 404, "NOT_FOUND", "/v1/openapi.json");
  HttpAnswer answer = Ask(port, "PUT", "/v1/programs");
  ExpectError(answer, 405, "UNIMPLEMENTED", "GET, HEAD, POST");
  EXPECT_EQ(answer.Header("allow"), "GET, HEAD, POST");
  EXPECT_EQ(Ask(port, "POST", "/healthz").status, 405);
  for (const char* body :
       {"{", "[]", "1", "\"x\"", "{\"program\": 5}", "{\"program\": [\"a\"]}",
        "{\"programm\": \"a\"}", "{\"program\": \"\xff\"}",
        "{\"objective\": \"BEST\"}", "{\"limit\": 1e99}", "{\"limit\": 1.5}"}) {
    ExpectError(Ask(port, "POST", "/v1/rank", body), 400, "INVALID_ARGUMENT",
                "body");
  }
  ExpectError(Ask(port, "POST", "/v1/rank", std::string(50'000, '[')), 400,
              "INVALID_ARGUMENT", "body");
  ExpectError(Get("/v1/rank?programm=a"), 400, "INVALID_ARGUMENT",
              "unknown parameter 'programm'");
  ExpectError(Get("/v1/rank?constraints=a"), 400, "INVALID_ARGUMENT", "POST");
  ExpectError(Get("/v1/rank?limit=a"), 400, "INVALID_ARGUMENT", "query");
  ExpectError(Get("/v1/rank?limit=1&limit=2"), 400, "INVALID_ARGUMENT",
              "twice");
  ExpectError(Get("/v1/rank?program=%ff"), 400, "INVALID_ARGUMENT", "UTF-8");
  ExpectError(Ask(port, "POST", "/v1/rank?limit=1", "{}"), 400,
              "INVALID_ARGUMENT", "query");
  ExpectError(Ask(port, "GET", "/v1/rank", "{}"), 400, "INVALID_ARGUMENT",
              "query");
  ExpectError(Ask(port, "PATCH", "/v1/programs/a", R"({"program": "b"})"), 400,
              "INVALID_ARGUMENT", "path");
  ExpectError(Post("/v1/rank", {{"program", "none"}}), 404, "NOT_FOUND",
              "none");
  ExpectError(Get("/v1/jobs/none:watch"), 404, "NOT_FOUND", "none");

  HttpPeer peer(port);
  peer.Send(MakeHttpRequest("POST", "/v1/rank", "program=a",
                            {{"Content-Type", "text/plain"}}));
  answer = peer.Read();
  ExpectError(answer, 415, "INVALID_ARGUMENT", "application/json");
  ExpectError(Put("/v1/uploads/none", "x", "a"), 400, "INVALID_ARGUMENT",
              "Upload-Offset");
  ExpectError(Put("/v1/uploads/none", "", "a"), 400, "INVALID_ARGUMENT",
              "Upload-Offset");
  // Refused before it is sent: the answer gets through all the same.
  ExpectError(Put("/v1/uploads/none", "0", std::string(3 << 20, 'a')), 404,
              "NOT_FOUND", "none");
}

std::string Gunzip(const std::string& packed) {
  z_stream stream = {};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string text(1 << 22, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = packed.size();
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = text.size();
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

TEST_F(HttpTest, AnswersAreTaggedAndPacked) {
  const std::string target = "/v1/openapi.json";
  const HttpAnswer plain = Get(target);
  ASSERT_EQ(plain.status, 200);
  const std::string etag = plain.Header("etag");
  ASSERT_FALSE(etag.empty());
  for (const std::string& known : {etag, "\"x\", " + etag, std::string("*")}) {
    const HttpAnswer same = Get(target, {{"If-None-Match", known}});
    EXPECT_EQ(same.status, 304) << known;
    EXPECT_EQ(same.Header("etag"), etag);
    EXPECT_EQ(same.body, "");
  }
  EXPECT_EQ(Get(target, {{"If-None-Match", "\"x\""}}).status, 200);
  const HttpAnswer packed =
      Get(target, {{"Accept-Encoding", "br, gzip;q=0.5"}});
  EXPECT_EQ(packed.Header("content-encoding"), "gzip");
  EXPECT_LT(packed.body.size(), plain.body.size() / 3);
  EXPECT_EQ(Gunzip(packed.body), plain.body);
  EXPECT_EQ(Get(target, {{"Accept-Encoding", "gzip;q=0"}}).body, plain.body);
  HttpPeer peer(server_->http_port());
  peer.Send(MakeHttpRequest("HEAD", target));
  const HttpAnswer head = peer.Read(true);
  EXPECT_EQ(head.Header("content-length"), absl::StrCat(plain.body.size()));
  EXPECT_EQ(head.Header("etag"), etag);

  // Maps do not make the tag differ; a change does.
  v1::CreateProgramResponse created;
  ASSERT_TRUE(CreateProgram("p", Upload(MakePvt(1)), &created).ok());
  json tags = json::object();
  for (int i = 0; i < 20; ++i) tags[absl::StrCat("t", i)] = "x";
  Ask(server_->http_port(), "PATCH", "/v1/programs/p",
      json{{"update", {{"setTags", tags}}}}.dump());
  const std::string before = Get("/v1/programs/p").Header("etag");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Get("/v1/programs/p").Header("etag"), before);
  }
  Ask(server_->http_port(), "PATCH", "/v1/programs/p",
      R"({"update": {"setTags": {"t0": "y"}}})");
  EXPECT_NE(Get("/v1/programs/p").Header("etag"), before);
}

std::string ReadText(const std::string& path) {
  std::ifstream stream(absl::StrCat(PERFVEC_SOURCE_DIR, "/", path));
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

TEST_F(HttpTest, AlertsNameMetricsThatExistAndAreInTheRunBook) {
  Represent("p");
  const std::string metrics = Get("/metrics").body;
  const std::string rules = ReadText("deploy/prometheus/perfvec.rules.yml");
  const std::string book = ReadText("docs/operations.md");
  const std::string cases = ReadText("tests/prometheus/perfvec_rules_test.yml");
  int names = 0, alerts = 0;
  const std::regex word("\\b(perfvec_[a-z_0-9]+|PerfVec[A-Za-z]+)\\b");
  for (std::sregex_iterator at(rules.begin(), rules.end(), word), end;
       at != end; ++at) {
    const std::string name = at->str();
    if (name[0] == 'P') {
      ++alerts;
      EXPECT_THAT(book, HasSubstr("| `" + name + "` |"));
      EXPECT_THAT(cases, HasSubstr("alertname: " + name + "\n")) << "rings";
      EXPECT_THAT(cases, HasSubstr(name + ", exp_alerts: []")) << "is silent";
    } else if (name != "perfvec_recorded" && name != "perfvec_alerts" &&
               name != "perfvec_rules_test") {
      ++names;
      EXPECT_THAT(metrics, HasSubstr("\n" + name));
    }
  }
  EXPECT_GE(alerts, 10);
  EXPECT_GE(names, 15);
}

TEST_F(HttpTest, OperatorsSeeHealthAndMetrics) {
  EXPECT_EQ(Get("/healthz").body, "ok\n");
  EXPECT_EQ(Get("/readyz").body, "ready\n");
  EXPECT_EQ(Get("/v1/status").Json()["models"], "1");
  const std::string metrics = Get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("perfvec_build_info"));
  EXPECT_THAT(metrics,
              HasSubstr("perfvec_http_requests_total{code=\"200\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("perfvec_http_connections "));
  // Calls over HTTP are counted as calls.
  EXPECT_THAT(metrics,
              HasSubstr("perfvec_rpc_calls_total{code=\"OK\",method=\"perfvec."
                        "v1.ServerService/GetServerStatus\"} 1"));
  const HttpAnswer page = Get("/");
  EXPECT_EQ(page.Header("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.Header("content-security-policy"), HasSubstr("'self'"));
  for (const char* file :
       {"index.html", "style.css", "app.js", "lib.js", "rank.js", "learn.js"}) {
    const std::string path =
        std::string(file) == "index.html" ? "/" : absl::StrCat("/", file);
    EXPECT_EQ(Get(path).body, ReadText(absl::StrCat("server/web/", file)))
        << path;
  }
}

TEST_F(HttpTest, BeyondLoopbackItMustBeToldTo) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "example.org:0"}) {
    EXPECT_FALSE(http::IsLoopback(address)) << address;
  }
  for (const char* address :
       {"127.0.0.1:0", "127.3.4.5:1", "[::1]:0", "localhost:0", "unix:/a"}) {
    EXPECT_TRUE(http::IsLoopback(address)) << address;
  }
  server_.reset();
  options_.http.listen = "0.0.0.0:0";
  const auto refused = ServerCore::Start(options_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("--allow-unprotected-beyond-loopback"));
  options_.allow_unprotected_beyond_loopback = true;
  Start();
  EXPECT_EQ(Get("/readyz", {}).status, 200);
}

}  // namespace
}  // namespace perfvec::server
