#include "client/cli/architecture_file.h"

#include <sstream>

#include "client/cli/json_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace perfvec::client::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view json) {
  auto drafts = ParseArchitectures(json, "f.json");
  EXPECT_TRUE(absl::IsInvalidArgument(drafts.status())) << drafts.status();
  return std::string(drafts.status().message());
}

TEST(ArchitectureFileTest, ReadsEveryField) {
  auto drafts = ParseArchitectures(
      R"({"name": "a15", "tags": {"site": "lab"}, "aliases": ["gold"],
          "attributes": {"rob": 40, "kind": "o3", "tso": true,
                         "l2": {"number": 512}, "vendor": {"text": "x"}},
          "price_per_hour": 0.5, "power_watts": 3,
          "vectors": [{"model": "base", "values": [1, -0.5]},
                      {"model_id": "ab", "values": [2], "origin": "trained"}],
          "version": 7, "revision": "9", "create_time": "x"})",
      "f.json");
  ASSERT_TRUE(drafts.ok()) << drafts.status();
  ASSERT_EQ(drafts->size(), 1);
  const auto& a = drafts->front().architecture;
  EXPECT_EQ(a.name(), "a15");
  EXPECT_EQ(a.version(), 0);
  EXPECT_EQ(a.tags().at("site"), "lab");
  EXPECT_THAT(a.aliases(), ElementsAre("gold"));
  EXPECT_EQ(a.attributes().at("rob").number(), 40);
  EXPECT_EQ(a.attributes().at("kind").text(), "o3");
  EXPECT_EQ(a.attributes().at("tso").number(), 1);
  EXPECT_EQ(a.attributes().at("l2").number(), 512);
  EXPECT_EQ(a.attributes().at("vendor").text(), "x");
  EXPECT_EQ(a.price_per_hour(), 0.5);
  EXPECT_EQ(a.power_watts(), 3);
  ASSERT_EQ(a.vectors_size(), 2);
  EXPECT_THAT(a.vectors(0).values(), ElementsAre(1, -0.5));
  EXPECT_EQ(a.vectors(0).origin(), "given");
  EXPECT_EQ(a.vectors(1).origin(), "trained");
  EXPECT_THAT(drafts->front().vector_models, ElementsAre("base", ""));
}

TEST(ArchitectureFileTest, ReadsArraysAndWhatListPrints) {
  for (const char* json :
       {R"([{"name": "a"}, {"name": "b"}])",
        R"({"architectures": [{"name": "a"}, {"name": "b"}]})"}) {
    auto drafts = ParseArchitectures(json, "f.json");
    ASSERT_TRUE(drafts.ok()) << drafts.status();
    EXPECT_EQ(drafts->size(), 2);
  }
}

// Everything that a prediction takes from a learned vector comes through, so
// that a copy is as sure of itself as the original, and no surer.
TEST(ArchitectureFileTest, ReadsWhatGetPrintsOfALearnedVector) {
  perfvec::v1::Architecture learned;
  learned.set_name("lab");
  learned.set_version(3);
  learned.set_price_per_hour(0.5);
  (*learned.mutable_attributes())["rob"].set_number(40);
  perfvec::v1::ArchitectureVector* vector = learned.add_vectors();
  vector->set_model_id("ab");
  vector->set_origin("learned");
  vector->mutable_create_time()->set_seconds(1'700'000'000);
  vector->add_values(0.1);
  vector->add_values(-2e-9);
  vector->mutable_uncertainty()->add_factors(1.0 / 3);
  vector->mutable_uncertainty()->add_factors(-4);
  perfvec::v1::LearnReport* report = vector->mutable_learned();
  report->set_noise(0.07);
  report->set_out_of_distribution(true);
  report->set_known_architectures(77);
  report->add_warnings("an architecture unlike the known ones");
  auto* program = report->add_programs();
  program->set_program("lcs@1");
  program->set_time_ns(3000.25);
  program->set_set_aside(true);
  std::ostringstream printed;
  ASSERT_TRUE(PrintJson(printed, learned).ok());
  auto drafts = ParseArchitectures(printed.str(), "f.json");
  ASSERT_TRUE(drafts.ok()) << drafts.status();
  ASSERT_EQ(drafts->size(), 1);
  // The server gives these anew.
  learned.clear_version();
  vector->clear_create_time();
  EXPECT_EQ(drafts->front().architecture.SerializeAsString(),
            learned.SerializeAsString());
}

TEST(ArchitectureFileTest, ErrorsNameFileFieldAndWhatWasFound) {
  EXPECT_THAT(ErrorOf("{"), HasSubstr("f.json"));
  EXPECT_THAT(ErrorOf(R"({"tags": {}})"), HasSubstr("name"));
  EXPECT_THAT(ErrorOf(R"({"name": 3})"),
              HasSubstr("\"name\": expected a string, found 3"));
  EXPECT_THAT(ErrorOf(R"([{"name": "a"}, {"name": "b", "watts": 2}])"),
              HasSubstr("f.json, architecture 2 of 2 (b): field \"watts\""));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "attributes": {"x": [1]}})"),
              HasSubstr("attributes.x"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "attributes": 3})"),
              HasSubstr("attributes"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "vectors": [{"values": [1]}]})"),
              HasSubstr("either model or model_id"));
  EXPECT_THAT(
      ErrorOf(R"({"name": "a", "vectors": [{"model": "m", "values": ["x"]}]})"),
      HasSubstr("vectors.values"));
  EXPECT_THAT(
      ErrorOf(R"({"name": "a", "vectors": [{"model": "m", "size": 1}]})"),
      HasSubstr("f.json (a): field \"vectors\": expected known fields only, "
                "found \"size\""));
  EXPECT_THAT(
      ErrorOf(R"({"name": "a", "vectors": [{"learned": {"sigma": 1}}]})"),
      AllOf(HasSubstr("vectors.learned"), HasSubstr("sigma")));
  EXPECT_THAT(
      ErrorOf(
          R"({"name": "a", "vectors": [{"uncertainty": {"factors": ["x"]}}]})"),
      HasSubstr("vectors.uncertainty"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "vectors": [{"uncertainty": [1]}]})"),
              HasSubstr("expected an object"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "name": "b"})"),
              HasSubstr("gives \"name\" twice"));
  EXPECT_THAT(ErrorOf("[3]"),
              HasSubstr("the architecture: expected an object"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "power_watts": "3"})"),
              HasSubstr("power_watts"));
}

}  // namespace
}  // namespace perfvec::client::cli
