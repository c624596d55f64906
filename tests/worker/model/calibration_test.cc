#include "worker/model/calibration.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

constexpr int kWidth = 3;

Calibration Small() {
  Calibration c;
  c.quantiles = {{0.5, 0.1}, {0.9, 0.3}};
  c.growth = 2;
  c.noise = 0.05;
  c.neighbours = 2;
  c.limit = 4;
  c.floor = 0.5;
  c.mean = {0, 0, 0};
  c.components = {1, 0, 0, 0, 2, 0};      // two of them
  c.references = {0, 0, 3, 0, 100, 100};  // three programs
  c.directions = {1, 0, 0};
  c.error_factors = {{"a15", 1.5}, {"little", 0.8}};
  c.record_json = R"({"families":3})";
  return c;
}

TEST(Calibration, DistanceIsToTheNearestPrograms) {
  const Calibration c = Small();
  // log(0.5 + 0.5) = 0 in each element: at (0, 0), the neighbours at 0 and 3.
  const double at_origin[] = {50, 50, 50};
  EXPECT_NEAR(c.Distance(at_origin, 100), std::sqrt(4.5), 1e-12);
  const double elsewhere[] = {50, 100 * (std::exp(1) - 0.5), 7};
  EXPECT_NEAR(c.Distance(elsewhere, 100), std::sqrt((4 + 13) / 2.0), 1e-12);
  EXPECT_DOUBLE_EQ(c.Spread(0), 1);
  EXPECT_DOUBLE_EQ(c.Spread(4), 3);
}

TEST(Calibration, FlagsByDistanceTimesErrorFactor) {
  const Calibration c = Small();
  EXPECT_DOUBLE_EQ(c.ErrorFactor("a15"), 1.5);
  EXPECT_DOUBLE_EQ(c.ErrorFactor("lab"), 1);
  EXPECT_FALSE(c.Strange(4, 1));
  EXPECT_TRUE(c.Strange(3, 1.5));
  EXPECT_FALSE(c.Strange(4.5, 0.8));
  EXPECT_TRUE(c.Strange(NAN, 1));
}

TEST(Calibration, QuantilesAreInterpolated) {
  const Calibration c = Small();
  EXPECT_DOUBLE_EQ(c.Quantile(0.5), 0.1);
  EXPECT_DOUBLE_EQ(c.Quantile(0.7), 0.2);
  EXPECT_DOUBLE_EQ(c.Quantile(0.25), 0.05);
  EXPECT_DOUBLE_EQ(c.Quantile(0.95), 0.3);
}

TEST(Calibration, SurvivesTheManifest) {
  const Calibration c = Small();
  const auto back = ParseCalibration(SerializeCalibration(c, kWidth), kWidth);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->quantiles, c.quantiles);
  EXPECT_EQ(back->components, c.components);
  EXPECT_EQ(back->references, c.references);
  EXPECT_EQ(back->directions, c.directions);
  EXPECT_EQ(back->record_json, c.record_json);
  EXPECT_EQ(back->error_factors, c.error_factors);
  EXPECT_DOUBLE_EQ(back->limit, c.limit);
}

TEST(Calibration, NamesWhatIsWrong) {
  using Json = nlohmann::json;
  const Json good = Json::parse(SerializeCalibration(Small(), kWidth));
  const auto message = [&](const char* key, const Json& value) {
    Json bad = good;
    bad[key] = value;
    const auto parsed = ParseCalibration(bad.dump(), kWidth);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument)
        << key;
    return std::string(parsed.status().message());
  };
  EXPECT_THAT(message("limit", 0), HasSubstr("\"calibration.limit\""));
  EXPECT_THAT(message("growth", -1), HasSubstr("from 0 to 100"));
  EXPECT_THAT(message("noise", "x"), HasSubstr("found \"x\""));
  EXPECT_THAT(message("mean", Json::array({{1, 2}})), HasSubstr("rows of 3"));
  EXPECT_THAT(message("components", Json::array({{1, 2, 1e11}})),
              HasSubstr("numbers within"));
  EXPECT_THAT(message("references", Json::array()), HasSubstr("a row at"));
  EXPECT_THAT(message("directions", 5), HasSubstr("at most 64 rows"));
  EXPECT_THAT(message("quantiles", Json::array({{0.9, 1}, {0.5, 2}})),
              HasSubstr("ascending"));
  EXPECT_THAT(message("quantiles", Json::array({{1.5, 1}})),
              HasSubstr("ascending"));
  EXPECT_THAT(message("record", 1), HasSubstr("an object"));
  EXPECT_THAT(message("error_factors", 1), HasSubstr("an object"));
  EXPECT_THAT(message("error_factors", {{"a", 0}}), HasSubstr("from 0.001"));
  EXPECT_THAT(message("error_factors", {{"a", "x"}}), HasSubstr("\"x\""));
  EXPECT_THAT(message("more", 1), HasSubstr("keys"));
  Json missing = good;
  missing.erase("noise");
  EXPECT_THAT(ParseCalibration(missing.dump(), kWidth).status().message(),
              HasSubstr("\"calibration.noise\": expected a value"));
  EXPECT_FALSE(ParseCalibration("[", kWidth).ok());
  // As releases before wrote it.
  Json before = good;
  before.erase("error_factors");
  const auto parsed = ParseCalibration(before.dump(), kWidth);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->error_factors.empty());
}

}  // namespace
}  // namespace perfvec::compute
