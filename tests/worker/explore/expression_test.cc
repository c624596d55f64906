#include "worker/explore/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace perfvec::explore {
namespace {

using ::testing::HasSubstr;

TEST(Expression, ComputesWithNamedNumbers) {
  auto e = Expression::Parse("(1000 + 10*l1_kb + l2_kb) * time",
                             {"l1_kb", "l2_kb", "time"});
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_EQ(e->Evaluate({4, 256, 2}), 2 * (1000 + 40 + 256));
  EXPECT_EQ(e->Evaluate({1, 0, 1}), 1010);
}

TEST(Expression, ComparesAndChooses) {
  auto e = Expression::Parse("x >= 2 && x != 3 ? min(x, 9) : -1", {"x"});
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_EQ(e->Evaluate({1}), -1);
  EXPECT_EQ(e->Evaluate({3}), -1);
  EXPECT_EQ(e->Evaluate({12}), 9);
}

TEST(Expression, KeepsItsValuesWhenMoved) {
  auto e = Expression::Parse("x + y", {"x", "y"});
  ASSERT_TRUE(e.ok());
  std::vector<Expression> all;
  all.push_back(*std::move(e));
  all.push_back(*Expression::Parse("x - y", {"x", "y"}));
  EXPECT_EQ(all[0].Evaluate({3, 4}), 7);
  EXPECT_EQ(all[1].Evaluate({3, 4}), -1);
}

TEST(Expression, HasNoValueWhereMathematicsHasNone) {
  auto e = Expression::Parse("sqrt(x)", {"x"});
  ASSERT_TRUE(e.ok());
  EXPECT_TRUE(std::isnan(e->Evaluate({-1})));
}

TEST(Expression, RefusesWhatIsNotOne) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "1 to 2000 characters"},
      {std::string(2001, '1'), "1 to 2000 characters"},
      {"x = 3", "cannot assign"},
      {"x, 3", "expected one value"},
      {"\"text\"", "texts"},
      {"x +", "it may use x"},
      {"z * 2", "it may use x"},
      {"x\x01", "not printable"},
      {"system(1)", "it may use x"},
      {std::string(900, '(') + "x", "it may use x"},
  };
  for (const auto& [text, message] : cases) {
    const auto e = Expression::Parse(text, {"x"});
    ASSERT_FALSE(e.ok()) << text;
    EXPECT_EQ(e.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(e.status().message()), HasSubstr(message));
  }
}

TEST(Expression, SurvivesGarbage) {
  std::mt19937 random(7);
  const std::string alphabet = "x1.+-*/^()<>=!&|?:, e\"minsqrt_#";
  int parsed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t n = 1 + random() % 24; n > 0; --n) {
      text += alphabet[random() % alphabet.size()];
    }
    auto e = Expression::Parse(text, {"x"});
    if (!e.ok()) continue;
    ++parsed;
    (void)e->Evaluate({0.5});
  }
  EXPECT_GT(parsed, 10);
}

TEST(CheckVariableName, KeepsToLettersAndClearOfFunctions) {
  EXPECT_TRUE(CheckVariableName("l1_kb").ok());
  for (const char* bad : {"", "1x", "a b", "a-b", "sin", "_pi", "\xc3\xa9"}) {
    EXPECT_FALSE(CheckVariableName(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace perfvec::explore
