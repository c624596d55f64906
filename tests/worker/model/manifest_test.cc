#include "worker/model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/worker/model/random_model.h"

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Manifest Sample() {
  Manifest m = SmallManifest(2, 8);
  m.architectures.push_back({"a57", R"({"kind":"out_of_order"})"});
  m.provenance_json = R"({"epochs":3})";
  return m;
}

TEST(ManifestTest, RoundTrip) {
  absl::StatusOr<std::string> text = SerializeManifest(Sample());
  ASSERT_TRUE(text.ok()) << text.status();
  absl::StatusOr<Manifest> m = ParseManifest(*text, "m");
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(*SerializeManifest(*m), *text);
  EXPECT_EQ(CanonicalDefinition(*m), CanonicalDefinition(Sample()));
  EXPECT_EQ(m->architectures[0].parameters_json, R"({"kind":"out_of_order"})");
  EXPECT_EQ(m->inputs.columns[19].transform,
            InputColumn::Transform::kLog2OnePlus);
  EXPECT_EQ(m->inputs.columns[51 + 3].value, 3);
  EXPECT_EQ(m->mode, Mode::kStream);
}

TEST(ManifestTest, IntegersAndFloatsOfEqualValueMeanTheSame) {
  Json json = Json::parse(*SerializeManifest(Sample()));
  json["inputs"][0]["mean"] = 0;
  const std::string a = CanonicalDefinition(*ParseManifest(json.dump(), "m"));
  json["inputs"][0]["mean"] = 0.0;
  EXPECT_EQ(CanonicalDefinition(*ParseManifest(json.dump(), "m")), a);
}

TEST(ManifestTest, TheSchemaDecidesWhichFeaturesThereAre) {
  absl::StatusOr<std::string> text = SerializeManifest(SmallRichManifest(1, 4));
  ASSERT_TRUE(text.ok()) << text.status();
  absl::StatusOr<Manifest> m = ParseManifest(*text, "m");
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->schema().id, kRichFeatureSchemaId);
  EXPECT_EQ(m->inputs.feature_count, m->schema().count());
  EXPECT_EQ(*SerializeManifest(*m), *text);

  Json json = Json::parse(*text);
  json["inputs"].back()["feature"] = 110;
  EXPECT_THAT(std::string(ParseManifest(json.dump(), "m").status().message()),
              HasSubstr("expected an integer from 0 to 109, found 110"));
  json = Json::parse(*text);
  json["feature_schema"] = kFeatureSchemaId;
  EXPECT_THAT(std::string(ParseManifest(json.dump(), "m").status().message()),
              HasSubstr("expected an integer from 0 to 50, found 51"));

  Manifest mixed = SmallRichManifest(1, 4);
  mixed.inputs.feature_count = kFeatureCount;
  EXPECT_THAT(std::string(SerializeManifest(mixed).status().message()),
              HasSubstr("expected 110, found 51"));
}

TEST(ManifestTest, PassedInputsAreTheLastOnesAndTheReferenceCores) {
  absl::StatusOr<std::string> text =
      SerializeManifest(SmallCoresManifest(1, 4, 3));
  ASSERT_TRUE(text.ok()) << text.status();
  absl::StatusOr<Manifest> m = ParseManifest(*text, "m");
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->inputs.passed, 3);
  EXPECT_EQ(*SerializeManifest(*m), *text);
  // They change what the model computes, so they are of its identity.
  EXPECT_NE(CanonicalDefinition(*m),
            CanonicalDefinition(SmallCoresManifest(1, 4, 0)));

  auto message = [&](absl::string_view key, const Json& value) {
    Json json = Json::parse(*text);
    if (key == "passed_inputs") {
      json[key] = value;
    } else {
      json["inputs"].back()[key] = value;
    }
    const absl::Status s = ParseManifest(json.dump(), "m").status();
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << key;
    return std::string(s.message());
  };
  EXPECT_THAT(message("passed_inputs", 5),
              HasSubstr("\"passed_inputs\": expected an integer from 0 to 4, "
                        "found 5"));
  EXPECT_THAT(message("passed_inputs", -1), HasSubstr("\"passed_inputs\""));
  EXPECT_THAT(message("passed_inputs", "3"), HasSubstr("\"passed_inputs\""));
  constexpr char kAsPassed[] = "as a passed input: a reference core's growth";
  EXPECT_THAT(message("feature", 109), HasSubstr(kAsPassed));
  EXPECT_THAT(message("transform", "log2_1p"), HasSubstr(kAsPassed));
  EXPECT_THAT(message("mean", 1), HasSubstr(kAsPassed));
  EXPECT_THAT(message("std", 100), HasSubstr(kAsPassed));
}

struct BadCase {
  const char* name;
  std::function<void(Json&)> change;
  const char* message;
};

class ManifestBadTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(ManifestBadTest, IsRefusedByName) {
  Json json = Json::parse(*SerializeManifest(Sample()));
  GetParam().change(json);
  const absl::Status status = ParseManifest(json.dump(), "dir/m.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("dir/m.json: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ManifestBadTest,
    ::testing::Values(
        BadCase{"Format", [](Json& j) { j["format"] = "other"; },
                "\"format\": expected perfvec-foundation-model, found other"},
        BadCase{"Version", [](Json& j) { j["format_version"] = 2; },
                "\"format_version\": expected 1, found 2"},
        BadCase{"NoFormat", [](Json& j) { j.erase("format"); },
                "\"format\" is missing"},
        BadCase{"NoWidth", [](Json& j) { j.erase("width"); },
                "\"width\" is missing"},
        BadCase{"WidthText", [](Json& j) { j["width"] = "256"; },
                "\"width\": expected a small non-negative integer"},
        BadCase{"WidthZero", [](Json& j) { j["width"] = 0; },
                "\"width\": expected an integer from 1 to 4096, found 0"},
        BadCase{"WidthHuge", [](Json& j) { j["width"] = 1e9; }, "\"width\""},
        BadCase{"Layers", [](Json& j) { j["layers"] = 17; }, "\"layers\""},
        BadCase{"Segment", [](Json& j) { j["segment_length"] = 0; },
                "\"segment_length\""},
        BadCase{"WarmUp", [](Json& j) { j["warm_up"] = -1; }, "\"warm_up\""},
        BadCase{"Cell", [](Json& j) { j["cell"] = "gru"; },
                "\"cell\": expected lstm, found gru"},
        BadCase{"Mode", [](Json& j) { j["mode"] = "both"; },
                "\"mode\": expected stream or window, found both"},
        BadCase{
            "Schema", [](Json& j) { j["feature_schema"] = "x"; },
            "\"feature_schema\": expected perfvec-51-v1, perfvec-rich-v1 or "
            "perfvec-rich-v2, "
            "found x"},
        BadCase{"NoInputs", [](Json& j) { j["inputs"] = Json::array(); },
                "\"inputs (their number)\": expected an integer from 1"},
        BadCase{"FeatureNumber",
                [](Json& j) { j["inputs"][3]["feature"] = 51; },
                "\"inputs[3].feature\": expected an integer from 0 to 50, "
                "found 51"},
        BadCase{"EqualsWithoutValue",
                [](Json& j) { j["inputs"][53].erase("value"); },
                "\"inputs[53].value\" is missing"},
        BadCase{"ValueWithoutEquals",
                [](Json& j) { j["inputs"][3]["value"] = 1; },
                "\"inputs[3].value\" is not a key"},
        BadCase{"HugeMean", [](Json& j) { j["inputs"][3]["mean"] = 1e300; },
                "inputs[3]"},
        BadCase{"Transform",
                [](Json& j) { j["inputs"][3]["transform"] = "sqrt"; },
                "\"inputs[3].transform\": expected identity, log2_1p, "
                "equals or bit"},
        BadCase{"NegativeStd", [](Json& j) { j["inputs"][3]["std"] = -1; },
                "inputs[3]"},
        BadCase{"NullMean", [](Json& j) { j["inputs"][3]["mean"] = nullptr; },
                "\"inputs[3].mean\": expected a number, found null"},
        BadCase{"Unknown", [](Json& j) { j["colour"] = "blue"; },
                "\"colour\" is not a key"},
        BadCase{"UnknownInside",
                [](Json& j) { j["inputs"][1]["colour"] = "blue"; },
                "\"inputs[1].colour\" is not a key"},
        BadCase{"TwoOfAName",
                [](Json& j) {
                  j["architectures"].push_back(j["architectures"][0]);
                },
                "\"architectures[1]\": expected a name not used before"},
        BadCase{"NoName", [](Json& j) { j["name"] = ""; }, "\"name\""},
        BadCase{"Provenance", [](Json& j) { j["provenance"] = "me"; },
                "\"provenance\": expected an object"},
        BadCase{"Bias", [](Json& j) { j["bias"] = 1; },
                "\"bias\": expected true or false, found 1"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ManifestTest, NotJson) {
  EXPECT_FALSE(ParseManifest("", "m").ok());
  EXPECT_FALSE(ParseManifest("[]", "m").ok());
  EXPECT_FALSE(ParseManifest("{\"format\":", "m").ok());
}

TEST(ManifestTest, NonFiniteInputsIsRefused) {
  Manifest m = Sample();
  m.inputs.columns[5].mean = NAN;
  EXPECT_FALSE(ValidateManifest(m).ok());
  m = Sample();
  m.inputs.columns[5].deviation = INFINITY;
  EXPECT_FALSE(SerializeManifest(m).ok());
}

TEST(ManifestTest, StdOfZeroIsReadAsOne) {
  Json json = Json::parse(*SerializeManifest(Sample()));
  json["inputs"][4]["std"] = 0;
  EXPECT_EQ(ParseManifest(json.dump(), "m")->inputs.columns[4].deviation, 1);
}

}  // namespace
}  // namespace perfvec::compute
