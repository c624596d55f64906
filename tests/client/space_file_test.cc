#include "client/cli/space_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace perfvec::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kFile[] = R"({
  "parameters": [
    {"name": "l1_kb", "type": "integer", "values": [4, 8], "scale": "log"},
    {"name": "policy", "labels": ["lru", "random"]}],
  "constants": {"watt": 0.5},
  "constraints": ["l1_kb > 4 || policy == 0"],
  "samples": [{"architecture": "small@2",
               "parameters": {"l1_kb": 4, "policy": "random"}}],
  "programs": ["lbm", {"program": "mcf", "weight": 3}],
  "objective": "watt * time", "limits": ["time < 9"],
  "front": ["time", "l1_kb"], "confidence": 0.8})";

TEST(ParseSpaceFile, ReadsAllOfIt) {
  const auto file = ParseSpaceFile(kFile, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->space.parameters.size(), 2);
  EXPECT_TRUE(file->space.parameters[0].log_scale);
  EXPECT_EQ(file->space.parameters[1].type, explore::ParameterType::kCategory);
  EXPECT_EQ(explore::Points(file->space)->size(), 3);
  ASSERT_EQ(file->samples.size(), 1);
  EXPECT_EQ(file->samples[0].architecture, "small@2");
  EXPECT_THAT(file->samples[0].point, ElementsAre(4, 1));
  ASSERT_EQ(file->programs.size(), 2);
  EXPECT_EQ(file->programs[0].weight, 1);
  EXPECT_EQ(file->programs[1].weight, 3);
  EXPECT_EQ(file->request.objective, "watt * time");
  EXPECT_THAT(file->request.constraints, ElementsAre("time < 9"));
  EXPECT_THAT(file->request.front, ElementsAre("time", "l1_kb"));
  EXPECT_EQ(file->request.confidence, 0.8);
}

TEST(ParseSpaceFile, NamesWhatIsWrong) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"\"lbm\"", "7", "programs: expected an object, found 7"},
      {"\"policy\": \"random\"", "\"policy\": \"fifo\"", "one of its labels"},
      {"\"l1_kb\": 4,", "", "sample small@2: l1_kb: expected a number"},
      {"\"l1_kb\": 4,", "\"l3\": 4,", "known fields only, found \"l3\""},
      {"[4, 8]", "[8, 4]", "f: parameter l1_kb: expected ascending"},
      {"\"log\"", "\"cubic\"", "the scale"},
      {"\"integer\"", "\"float\"", "the type"},
      {"0.5}", "\"x\"}", "constant watt: expected a number"},
      {"\"confidence\"", "\"confidense\"", "known fields only"},
      {"\"confidence\"", "\"front\"", "an object gives \"front\" twice"},
      {"\"watt * time\"", "[]", "objective: expected a string"},
      {"{\"watt\": 0.5}", "[]", "constants: expected an object"},
      {"\"front\": [\"time\", \"l1_kb\"]", "\"front\": 1", "a list"},
  };
  for (const auto& [from, to, message] : cases) {
    std::string text = kFile;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, std::string(from).size(), to);
    const auto file = ParseSpaceFile(text, "f");
    ASSERT_FALSE(file.ok()) << to;
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(message));
  }
  EXPECT_THAT(std::string(ParseSpaceFile("{", "f").status().message()),
              HasSubstr("is not JSON"));
  const std::string deep(1 << 20, '[');
  EXPECT_THAT(std::string(ParseSpaceFile(deep, "f").status().message()),
              HasSubstr("f: is not JSON"));
  const std::string closed = deep + std::string(deep.size(), ']');
  EXPECT_THAT(std::string(ParseSpaceFile(closed, "f").status().message()),
              HasSubstr("f: is nested too deeply"));
  EXPECT_FALSE(ParseSpaceFile("[]", "f").ok());
  EXPECT_FALSE(ParseSpaceFile("{}", "f").ok());
}

TEST(ParseSpaceFile, SurvivesDamage) {
  std::mt19937 random(5);
  const std::string text = kFile;
  for (size_t cut = 0; cut < text.size(); ++cut) {
    EXPECT_FALSE(ParseSpaceFile(text.substr(0, cut), "f").ok()) << cut;
  }
  int parsed = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bad = text;
    bad[random() % bad.size()] = "{}[],:\"0a-"[random() % 10];
    parsed += ParseSpaceFile(bad, "f").ok();
  }
  EXPECT_LT(parsed, 3000);
}

}  // namespace
}  // namespace perfvec::client::cli
