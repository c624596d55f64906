// Kubernetes' scheduler extender: payloads as kube-scheduler encodes the types
// of k8s.io/kube-scheduler/extender/v1 (no JSON tags: names as in Go).
#include "server/http/kubernetes.h"

#include <gmock/gmock.h>

#include "tests/server/http_client.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Node(const std::string& name, const std::string& architecture) {
  json labels = {{"kubernetes.io/hostname", name}};
  if (!architecture.empty()) labels["perfvec/architecture"] = architecture;
  return {{"metadata", {{"name", name}, {"labels", labels}}},
          {"spec", json::object()},
          {"status", {{"capacity", {{"cpu", "8"}}}}}};
}

json Arguments(const json& annotations, const json& nodes) {
  return {{"Pod",
           {{"metadata",
             {{"name", "p"}, {"namespace", "n"}, {"annotations", annotations}}},
            {"spec", {{"containers", json::array()}}}}},
          {"Nodes", {{"metadata", json::object()}, {"items", nodes}}},
          {"NodeNames", nullptr}};
}

const char kFilter[] = "/kubernetes/v1/filter";
const char kPrioritize[] = "/kubernetes/v1/prioritize";

json Nodes() {
  return {Node("n0", "a0"), Node("n1", "a1"), Node("n2", "other"),
          Node("n3", "")};
}

class KubernetesTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.http.listen = "127.0.0.1:0";
    Start();
  }
  HttpAnswer Call(const std::string& path, const json& body) {
    return Ask(server_->http_port(), "POST", path, body.dump());
  }
  // {"n0": 10, ...}
  std::map<std::string, int> Scores(const json& annotations) {
    const HttpAnswer answer =
        Call(kPrioritize, Arguments(annotations, Nodes()));
    EXPECT_EQ(answer.status, 200) << answer.body;
    std::map<std::string, int> scores;
    if (answer.status != 200) return {};
    for (const json& one : answer.Json()) {
      EXPECT_EQ(one.size(), 2);
      scores[one["Host"]] = one["Score"];
    }
    return scores;
  }
};

using Map = std::map<std::string, int>;

TEST_F(KubernetesTest, NodesAreScoredAndFiltered) {
  const v1::Job job = NewJob("mcf");
  for (bool finished = false; !finished;) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_lease());
    ASSERT_TRUE(Complete(lease.lease(), job.model_id(), &finished).ok());
  }
  // a1 takes twice as long.
  EXPECT_EQ(Scores({{"perfvec/program", "mcf"}}),
            (Map{{"n0", 10}, {"n1", 5}, {"n2", 0}, {"n3", 0}}));
  const Map none = {{"n0", 0}, {"n1", 0}, {"n2", 0}, {"n3", 0}};
  EXPECT_EQ(Scores({{"perfvec/program", "unknown"}}), none);
  EXPECT_EQ(Scores(nullptr), none);
  // Neither has a price.
  EXPECT_EQ(Scores({{"perfvec/program", "mcf"}, {"perfvec/objective", "cost"}}),
            none);
  for (const auto& [name, price] :
       std::map<std::string, double>{{"a0", 4}, {"a1", 1}}) {
    const HttpAnswer priced =
        Ask(server_->http_port(), "PATCH", "/v1/architectures/" + name,
            json{{"pricePerHour", price}}.dump());
    ASSERT_EQ(priced.status, 200) << priced.body;
  }
  EXPECT_EQ(Scores({{"perfvec/program", "mcf"}, {"perfvec/objective", "cost"}}),
            (Map{{"n0", 5}, {"n1", 10}, {"n2", 0}, {"n3", 0}}));

  v1::PredictResponse a0;
  ASSERT_TRUE(Predict("mcf", "a0", &a0).ok());
  const std::string between = absl::StrCat(1.5 * a0.time_ns(), "ns");
  HttpAnswer answer = Call(kFilter, Arguments({{"perfvec/program", "mcf"},
                                               {"perfvec/objective", "cost"},
                                               {"perfvec/deadline", between}},
                                              Nodes()));
  ASSERT_EQ(answer.status, 200) << answer.body;
  json result = answer.Json();
  EXPECT_EQ(result["Error"], "");
  EXPECT_EQ(result["NodeNames"], nullptr);
  EXPECT_EQ(result["Nodes"]["items"],
            (json{Nodes()[0], Nodes()[2], Nodes()[3]}));  // whole, as sent
  EXPECT_EQ(result["FailedNodes"], json::object());
  EXPECT_EQ(result["FailedAndUnresolvableNodes"].size(), 1);
  EXPECT_THAT(result["FailedAndUnresolvableNodes"]["n1"].get<std::string>(),
              HasSubstr("mcf would take"));
  // Without a deadline, or without a program, all pass.
  for (const json& annotations :
       {json{{"perfvec/program", "mcf"}}, json{{"perfvec/deadline", "1ns"}},
        json{{"perfvec/program", "x"}, {"perfvec/deadline", "1ns"}}}) {
    answer = Call(kFilter, Arguments(annotations, Nodes()));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.Json()["Nodes"]["items"], Nodes());
    EXPECT_EQ(answer.Json()["FailedAndUnresolvableNodes"], json::object());
  }
  EXPECT_EQ(Call(kFilter, Arguments(nullptr, json::array())).status, 200);
}

TEST_F(KubernetesTest, OtherPayloadsAreRefused) {
  json names = Arguments(nullptr, Nodes());
  names["Nodes"] = nullptr;
  names["NodeNames"] = {"n0"};
  HttpAnswer answer = Call(kFilter, names);
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("nodeCacheCapable"));
  for (const json& body :
       {json(nullptr), json::array(), json::object(), json("Pod"),
        json{{"Pod", 1}, {"Nodes", {{"items", json::array()}}}},
        json{{"Pod", json::object()}, {"Nodes", {{"items", "x"}}}},
        Arguments(nullptr, json::array({1})),
        Arguments(nullptr, json::array({json::object()})),
        Arguments({{"perfvec/objective", "fun"}}, Nodes()),
        Arguments({{"perfvec/deadline", "soon"}}, Nodes()),
        Arguments({{"perfvec/deadline", "-1s"}}, Nodes()),
        Arguments({{"perfvec/deadline", "inf"}}, Nodes())}) {
    EXPECT_EQ(Call(kFilter, body).status, 400) << body;
    EXPECT_EQ(Call(kPrioritize, body).status, 400) << body;
  }
  EXPECT_EQ(Ask(server_->http_port(), "POST", kFilter, "{").status, 400);
  EXPECT_EQ(Ask(server_->http_port(), "GET", kFilter).status, 404);
  // Metadata of wrong types is metadata that says nothing.
  json odd = Arguments("text", json::array({Node("n0", "a0")}));
  odd["Nodes"]["items"][0]["metadata"]["labels"] = 3;
  EXPECT_EQ(Call(kPrioritize, odd).Json()[0]["Score"], 0);
}

TEST(ExtenderAnswerTest, ARankingOfAnyFormIsTaken) {
  const auto call = http::ParseExtenderCall(
      kPrioritize, Arguments({{"perfvec/program", "p"}}, Nodes()).dump());
  ASSERT_TRUE(call.ok());
  for (const char* ranking :
       {"", "{", "[]", "{\"items\": 3}", "{\"items\": [3, {}, {\"name\": 1}]}",
        R"({"items": [{"name": "a0@1", "objectiveValue": "x"}]})"}) {
    const json scores = json::parse(http::ExtenderAnswer(*call, ranking));
    EXPECT_EQ(scores.size(), 4) << ranking;
  }
}

}  // namespace
}  // namespace perfvec::server
