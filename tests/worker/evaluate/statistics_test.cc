#include "worker/evaluate/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace perfvec::train {
namespace {

TEST(StatisticsTest, PercentileIsTheNearestRank) {
  std::vector<double> v;
  for (int i = 100; i >= 1; --i) v.push_back(i);
  EXPECT_EQ(Percentile(v, 95), 95);
  EXPECT_EQ(Percentile(v, 100), 100);
  EXPECT_EQ(Percentile(v, 0), 1);
  EXPECT_EQ(Percentile({3, 1, 2}, 95), 3);
  EXPECT_TRUE(std::isnan(Percentile({}, 95)));
}

TEST(StatisticsTest, AverageAndMaxOfNothingAreNotNumbers) {
  EXPECT_EQ(Average({1, 2, 6}), 3);
  EXPECT_EQ(Max({1, 6, 2}), 6);
  EXPECT_TRUE(std::isnan(Average({})));
  EXPECT_TRUE(std::isnan(Max({})));
}

// The interval of a mean of 400 values of deviation 1 is about ±1.96 / 20.
TEST(StatisticsTest, BootstrapIntervalHasTheRightWidthAndSeed) {
  std::vector<double> v;
  for (int i = 0; i < 400; ++i) v.push_back(i % 2 == 0 ? 4 : 6);
  const Interval a = BootstrapMean(v, 2000, 1);
  EXPECT_NEAR(a.low, 5 - 0.098, 0.02);
  EXPECT_NEAR(a.high, 5 + 0.098, 0.02);
  const Interval b = BootstrapMean(v, 2000, 1);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_TRUE(std::isnan(BootstrapMean({5}, 2000, 1).low));
}

TEST(StatisticsTest, RankCorrelations) {
  EXPECT_DOUBLE_EQ(KendallTau({1, 2, 3, 4}, {10, 20, 30, 40}), 1);
  EXPECT_DOUBLE_EQ(KendallTau({1, 2, 3, 4}, {4, 3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(KendallTau({1, 2, 3, 4}, {1, 2, 4, 3}), 4.0 / 6);
  // One tie: (5 - 0) / sqrt(5 * 6).
  EXPECT_DOUBLE_EQ(KendallTau({1, 1, 3, 4}, {1, 2, 3, 4}), 5 / std::sqrt(30.));
  EXPECT_DOUBLE_EQ(SpearmanRho({1, 2, 3}, {1, 100, 101}), 1);
  EXPECT_DOUBLE_EQ(SpearmanRho({1, 2, 3}, {1, 3, 2}), 0.5);
  EXPECT_TRUE(std::isnan(KendallTau({1, 1}, {1, 2})));
}

TEST(StatisticsTest, ChoiceLossIsWhatTheChosenCosts) {
  EXPECT_DOUBLE_EQ(ChoiceLoss({3, 1, 2}, {10, 12, 8}), 0.5);
  EXPECT_DOUBLE_EQ(ChoiceLoss({3, 1, 2}, {10, 8, 12}), 0);
}

}  // namespace
}  // namespace perfvec::train
