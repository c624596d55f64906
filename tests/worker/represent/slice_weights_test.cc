#include "worker/represent/slice_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

TEST(SliceWeightsTest, TheWholeIsWeighedByInstructions) {
  // 70 % of 1000 instructions like the first, 30 % like the last.
  auto whole = WeighSlices(
      {{0.7, 10, {20, 0}}, {0, 50, {9, 9}}, {0.3, 20, {20, 40}}}, 1000);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_THAT(whole->scales, ::testing::ElementsAre(70, 0, 15));
  EXPECT_THAT(whole->vector, ::testing::ElementsAre(1700, 600));
  // One pair, per instruction (2, 0) and (1, 2): 2 * 700 * 300 / 1000 times
  // their difference, less what was seen.
  const double size = 420 * std::sqrt(1 - 30.0 / 1000);
  ASSERT_EQ(whole->sampling_factors.size(), 2);
  EXPECT_NEAR(std::fabs(whole->sampling_factors[0]), size, 1e-9);
  EXPECT_NEAR(std::fabs(whole->sampling_factors[1]), 2 * size, 1e-9);
}

TEST(SliceWeightsTest, SlicesThatAreTheWholeHaveNoError) {
  auto whole = WeighSlices({{0.25, 10, {1}}, {0.75, 30, {2}}}, 40);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(whole->sampling_factors.empty());
  EXPECT_DOUBLE_EQ(whole->vector[0], 3);
}

// Equal shares drawn at random from a population: the estimated variance is
// that of the estimates, or more.
TEST(SliceWeightsTest, TheErrorIsNotUnderestimated) {
  std::mt19937_64 random(17);
  std::normal_distribution<double> time(10, 2);
  constexpr int kSlices = 11, kDraws = 400;
  double square = 0, estimated = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    std::vector<SliceSum> slices;
    for (int k = 0; k < kSlices; ++k) {
      slices.push_back({1.0 / kSlices, 1, {time(random), time(random)}});
    }
    auto whole = WeighSlices(slices, 1'000'000);
    ASSERT_TRUE(whole.ok());
    const double error = whole->vector[0] / 1e6 - 10;
    square += error * error / kDraws;
    for (size_t r = 0; r < whole->sampling_factors.size(); r += 2) {
      const double row = whole->sampling_factors[r] / 1e6;
      estimated += row * row / kDraws;
    }
  }
  // Pairs are chosen for likeness, in two dimensions: somewhat less than the
  // whole spread, and no more than that of a random pairing.
  EXPECT_GT(estimated, 0.2 * square);
  EXPECT_LT(estimated, 1.2 * square);
}

TEST(SliceWeightsTest, WhatMakesNoWholeIsRefused) {
  const auto message = [](std::vector<SliceSum> slices, uint64_t whole) {
    const absl::Status status = WeighSlices(slices, whole).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(message({{0.5, 10, {1}}, {0.3, 10, {1}}}, 100),
              HasSubstr("add up to 0.8"));
  EXPECT_THAT(message({{0, 10, {1}}}, 100), HasSubstr("0 slices"));
  EXPECT_THAT(message({}, 100), HasSubstr("0 slices"));
  EXPECT_THAT(message({{1, 0, {0}}}, 100), HasSubstr("has no instructions"));
  EXPECT_THAT(message({{1, 1000, {1}}}, 100), HasSubstr("whole execution 100"));
  EXPECT_THAT(message({{std::nan(""), 10, {1}}}, 100), HasSubstr("weight"));
  EXPECT_THAT(message({{1.5, 10, {1}}}, 100), HasSubstr("weight"));
  std::vector<SliceSum> many(200, {1.0 / 200, 10, {1}});
  EXPECT_THAT(message(many, 1 << 20), HasSubstr("at most 120"));
}

}  // namespace
}  // namespace perfvec::compute
