#include "client/cli/slurm_site.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"

namespace perfvec::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTitles[] =
    "JobID|State|ExitCode|NNodes|NodeList|ElapsedRaw|Comment\n";

SlurmSite Site() {
  return *ParseSlurmSite(
      R"({"server": "127.0.0.1:7452", "features": {
        "zen4": {"architecture": "z"}, "icx": {"architecture": "i"}}})",
      "site.json");
}

NodeTable Nodes() {
  return *ParseNodes(
      "main*|n1|16|64000|zen4,rack1\nmain*|n2|8|128000|zen4\n"
      "main*|n3|4|1000|icx\nbig|n2|8|128000|zen4\nbig|n4|1|1|(null)\n"
      "main*|n5|4|1000|icx,zen4\n");
}

TEST(SlurmSiteTest, DefaultsAndErrors) {
  EXPECT_EQ(Site().objective, "time");
  EXPECT_EQ(Site().nodes_file, "/etc/perfvec/slurm_nodes.json");
  EXPECT_EQ(Site().features.at("icx").architecture, "i");
  const std::string features = R"("features": {"a": {"architecture": "x"}})";
  for (const auto& [text, word] :
       std::vector<std::pair<std::string, std::string>>{
           {"", "object"},
           {"[]", "object"},
           {"{\"server\": \"127.0.0.1:1\"", "object"},
           {"{" + features + "}", "server"},
           {R"({"server": "name:80", )" + features + "}", "server"},
           {R"({"server": "127.0.0.1:65536", )" + features + "}", "server"},
           {R"({"server": "127.0.0.1:-1", )" + features + "}", "server"},
           {R"({"server": "127.0.0.1:1", "features": {}})", "features"},
           {R"({"server": "127.0.0.1:1", "features": {"a": "x"}})", "\"a\""},
           {R"({"server": "127.0.0.1:1", "features": {"a|b":
             {"architecture": "x"}}})",
            "a|b"},
           {R"({"server": "127.0.0.1:1", "fill": "x", )" + features + "}",
            "fill"},
           {R"({"server": "127.0.0.1:1", "objective": 3, )" + features + "}",
            "objective"},
           {R"({"server": "127.0.0.1:1", "objective": "node_hours", )" +
                features + "}",
            "jobs_per_node"}}) {
    const auto site = ParseSlurmSite(text, "site.json");
    ASSERT_FALSE(site.ok()) << text;
    EXPECT_THAT(std::string(site.status().message()),
                AllOf(HasSubstr("site.json: "), HasSubstr(word)));
  }
}

TEST(SlurmSiteTest, TheListOfNodesHasTheLeastOfEachFeature) {
  const auto list = nlohmann::json::parse(Nodes().ToJson(Site()));
  EXPECT_EQ(list["default_partition"], "main");
  const auto& main = list["partitions"]["main"];
  EXPECT_EQ(main.size(), 2);  // rack1 is not mapped
  EXPECT_EQ(main["zen4"]["nodes"], 3);
  EXPECT_EQ(main["zen4"]["cpus"], 4);
  EXPECT_EQ(main["zen4"]["memory_mb"], 1000);
  EXPECT_EQ(list["partitions"]["big"]["zen4"]["memory_mb"], 128000);
  for (const char* bad : {"x", "main|n1|a|1|f", "main|n1|1|1", "|n1|1|1|f",
                          "main|n1|-1|1|f", "main|n1|1|1|f|g"}) {
    EXPECT_FALSE(ParseNodes(bad).ok()) << bad;
  }
  EXPECT_TRUE(ParseNodes("")->partitions.empty());
}

TEST(SlurmSiteTest, RunTimesBecomeEvidence) {
  const auto runs = ParseAccounting(
      std::string(kTitles) +
          "1|COMPLETED|0:0|1|n1|100|perfvec=lbm\n"
          "2|COMPLETED|0:0|1|n2|110|for x, perfvec=lbm;y|z\n"
          "3|COMPLETED|0:0|1|n3|50|perfvec=lbm\n"
          "4|COMPLETED|0:0|2|n[1-2]|50|perfvec=lbm\n"
          "5|FAILED|1:0|1|n1|50|perfvec=lbm\n"
          "6|COMPLETED|0:0|1|n1|9|perfvec=lbm\n"
          "7|COMPLETED|0:0|1|n1|1e9|perfvec=lbm\n"
          "8|COMPLETED|0:0|1|n4|50|perfvec=lbm\n"
          "9|COMPLETED|0:0|1|n5|50|perfvec=lbm\n"  // two mapped features
          "10|COMPLETED|0:0|1|n1|50|notperfvec=lbm\n",
      Site(), Nodes(), 10);
  ASSERT_TRUE(runs.ok()) << runs.status();
  EXPECT_EQ(runs->used, 3);
  const auto& zen4 = runs->runs.at("zen4").at("lbm");
  EXPECT_THAT(zen4.time_ns(), ElementsAre(100e9, 110e9));
  EXPECT_EQ(zen4.spread_ns(), 0);  // the times tell
  // One run of whole seconds is not exact.
  EXPECT_NEAR(runs->runs.at("icx").at("lbm").spread_ns(), 0.408e9, 1e6);
  EXPECT_EQ(runs->left_out.at("too short"), 2);
  EXPECT_EQ(runs->left_out.at("on a node without one mapped feature"), 2);
  EXPECT_EQ(runs->left_out.at("not on one node"), 1);
  EXPECT_EQ(runs->left_out.at("not completed"), 1);
  EXPECT_EQ(runs->left_out.at("no perfvec=PROGRAM in the comment"), 1);
}

TEST(SlurmSiteTest, AccountingOfAnotherFormIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("x\n"), std::string("JobID|State\n"),
        std::string(kTitles) + "1|COMPLETED|0:0|1|n1|60\n"}) {
    EXPECT_FALSE(ParseAccounting(text, Site(), Nodes(), 10).ok()) << text;
  }
  EXPECT_EQ(ParseAccounting(kTitles, Site(), Nodes(), 10)->used, 0);
  std::string many = kTitles;
  for (int i = 0; i < 150; ++i) {
    many += "1|COMPLETED|0:0|1|n1|60|perfvec=lbm\n";
  }
  EXPECT_EQ(ParseAccounting(many, Site(), Nodes(), 10)->used, 100);
}

}  // namespace
}  // namespace perfvec::client::cli
