#include "worker/train/options.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace perfvec::train {
namespace {

using ::testing::HasSubstr;

class ReadConfigTest : public ::testing::Test {
 protected:
  absl::Status Read(const std::string& text,
                    const std::set<std::string>& given = {}) {
    std::ofstream(path_) << text;
    return ReadConfig(path_, given, OptionFields(&options_));
  }
  void ExpectRefused(const std::string& text, const std::string& words) {
    const absl::Status status = Read(text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  const std::string path_ =
      ::testing::TempDir() + "/config." + std::to_string(getpid());
  TrainOptions options_;
};

TEST_F(ReadConfigTest, SetsWhatItNamesButWhatWasGiven) {
  const int steps = options_.steps;
  ASSERT_TRUE(Read(R"({"width": 32, "learning_rate": 1, "bf16": false,
                       "family": "gru", "seed": 18446744073709551615,
                       "lanes": 3})",
                   {"lanes"})
                  .ok());
  EXPECT_EQ(options_.width, 32);
  EXPECT_EQ(options_.learning_rate, 1.0);
  EXPECT_FALSE(options_.bf16);
  EXPECT_EQ(options_.family, "gru");
  EXPECT_EQ(options_.seed, UINT64_MAX);
  EXPECT_EQ(options_.lanes, 64);
  EXPECT_EQ(options_.steps, steps);
}

TEST_F(ReadConfigTest, NamesTheNearestKeyAndWrongTypes) {
  ExpectRefused(R"({"learning_rte": 1})", "the nearest is learning_rate");
  ExpectRefused(R"({"udpates": 1})", "the nearest is updates");
  ExpectRefused(R"({"width": "wide"})",
                "key width: expected an integer, found \"wide\"");
  ExpectRefused(R"({"width": 1.5})", "expected an integer");
  ExpectRefused(R"({"width": 4294967296})", "expected an integer");
  ExpectRefused(R"({"seed": -1})", "an integer of 0 or more");
  ExpectRefused(R"({"bf16": 1})", "true or false");
  ExpectRefused(R"({"family": null})", "expected a string");
  ExpectRefused("[]", "expected a JSON object");
  ExpectRefused("{", "expected a JSON object");
  ExpectRefused("", "expected a JSON object");
  EXPECT_EQ(ReadConfig("/nowhere", {}, {}).code(), absl::StatusCode::kNotFound);
}

TEST_F(ReadConfigTest, WhatIsWrittenCanBeRead) {
  options_.learning_rate = 0.1 + 0.2;
  options_.seed = 12345678901234567890u;
  const auto json = OptionsJson(OptionFields(&options_));
  TrainOptions other;
  std::ofstream(path_) << json.dump();
  ASSERT_TRUE(ReadConfig(path_, {}, OptionFields(&other)).ok());
  EXPECT_EQ(OptionsJson(OptionFields(&other)), json);
  // Paths and intervals do not decide the model.
  const auto deciding = OptionsJson(OptionFields(&options_), true);
  EXPECT_TRUE(deciding.contains("seed"));
  EXPECT_FALSE(deciding.contains("checkpoint"));
  EXPECT_FALSE(deciding.contains("log_updates"));
}

}  // namespace
}  // namespace perfvec::train
