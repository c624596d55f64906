#include "worker/explore/explore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "tests/worker/explore/small_space.h"

namespace perfvec::explore {
namespace {

using ::testing::HasSubstr;

class ExploreTest : public testing::Test {
 protected:
  void SetUp() override {
    samples_ = small_.Samples();
    auto model = DesignModel::Fit(small_.space, samples_, {});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    request_.points = *Points(small_.space);
    request_.programs = {{"p", small_.program, 1, 0},
                         {"twice", {10, 5, 700}, 2, 0}};
  }
  absl::StatusOr<Exploration> Run() {
    return Explore(small_.space, *model_, samples_, request_);
  }

  SmallSpace small_;
  std::vector<DesignSample> samples_;
  std::optional<DesignModel> model_;
  ExploreRequest request_;
};

TEST_F(ExploreTest, GivesTimesInNanosecondsAndRanksByTheObjective) {
  request_.objective = "(10 + l1 + l2) * time";
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  const ExploredTimes& p = result->programs[0];
  for (size_t i = 0; i < request_.points.size(); ++i) {
    const Point& point = request_.points[i];
    const double truth = 0.1 * small_.Time(point);
    EXPECT_NEAR(p.time_ns[i], truth, 0.05 * truth);
    EXPECT_DOUBLE_EQ(p.objective[i], (10 + point[0] + point[1]) * p.time_ns[i]);
    EXPECT_NEAR(result->all.time_ns[i],
                p.time_ns[i] + 2 * result->programs[1].time_ns[i], 1e-6);
  }
  ASSERT_EQ(p.ranking.size(), request_.points.size());
  EXPECT_TRUE(std::is_sorted(
      p.ranking.begin(), p.ranking.end(),
      [&](size_t a, size_t b) { return p.objective[a] < p.objective[b]; }));
}

TEST_F(ExploreTest, IntervalsHoldWhatTheNetworkMissed) {
  const auto narrow = Run();
  request_.programs[0].log_deviation = 0.1;
  const auto wide = Run();
  ASSERT_TRUE(narrow.ok() && wide.ok());
  const double z = 1.6448536269514722;  // P(|N(0, 1)| < z) = 0.9, the default
  const auto width = [](const ExploredTimes& t) {
    return std::log(t.high_ns[0] / t.time_ns[0]);
  };
  const double network = width(narrow->programs[0]) / z;
  EXPECT_GT(network, 0);
  EXPECT_NEAR(width(wide->programs[0]) / z, std::hypot(network, 0.1), 1e-9);
  EXPECT_NEAR(wide->programs[0].low_ns[0] * wide->programs[0].high_ns[0],
              std::pow(wide->programs[0].time_ns[0], 2), 1e-3);
}

TEST_F(ExploreTest, ConstraintsLeaveDesignsOut) {
  request_.constraints = {"l2 <= 64", "time < 3000"};
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  const ExploredTimes& p = result->programs[0];
  size_t allowed = 0;
  for (size_t i = 0; i < request_.points.size(); ++i) {
    const bool holds = request_.points[i][1] <= 64 && p.time_ns[i] < 3000;
    allowed += holds;
    EXPECT_EQ(std::count(p.ranking.begin(), p.ranking.end(), i), holds);
  }
  EXPECT_GT(allowed, 0);
  EXPECT_LT(allowed, request_.points.size());
}

TEST_F(ExploreTest, TheFrontIsWhatNothingBeats) {
  request_.front = {"time", "l1 + l2"};
  const auto result = Run();
  ASSERT_TRUE(result.ok()) << result.status();
  const ExploredTimes& p = result->programs[0];
  ASSERT_GT(p.front.size(), 1);
  for (size_t i = 0; i < request_.points.size(); ++i) {
    bool beaten = false;
    for (size_t k = 0; k < request_.points.size(); ++k) {
      const double cost_i = request_.points[i][0] + request_.points[i][1];
      const double cost_k = request_.points[k][0] + request_.points[k][1];
      beaten = beaten || (p.time_ns[k] <= p.time_ns[i] && cost_k <= cost_i &&
                          (p.time_ns[k] < p.time_ns[i] || cost_k < cost_i));
    }
    EXPECT_EQ(std::count(p.front.begin(), p.front.end(), i), !beaten)
        << small_.space.Text(request_.points[i]);
  }
}

TEST_F(ExploreTest, EndsWhenItIsStopped) {
  for (int last : {0, 1, 5}) {
    int asked = 0;
    request_.stop = [&] { return asked++ >= last; };
    EXPECT_EQ(Run().status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(asked, last + 1);
    request_.front = {"time", "l1"};  // it asks for each design of a front
  }
}

TEST_F(ExploreTest, RefusesBadRequests) {
  const auto refused = [&](auto change, const char* message,
                           absl::StatusCode code =
                               absl::StatusCode::kInvalidArgument) {
    const ExploreRequest kept = request_;
    change(request_);
    const absl::Status status = Run().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    request_ = kept;
  };
  using R = ExploreRequest;
  refused([](R& r) { r.points.clear(); }, "points");
  refused([](R& r) { r.points = {{1}}; }, "parameters");
  refused([](R& r) { r.programs.clear(); }, "programs");
  refused([](R& r) { r.programs[0].vector = {1}; }, "program p");
  refused([](R& r) { r.programs[1].weight = -1; }, "program twice");
  refused([](R& r) { r.programs[1].weight = std::nan(""); }, "weight");
  refused(
      [](R& r) {
        r.programs[0].vector = {-1, 0, 0};
      },
      "not positive", absl::StatusCode::kOutOfRange);
  refused([](R& r) { r.objective = "cost"; }, "it may use l1, l2, time");
  refused([](R& r) { r.objective = "1 / (l1 - 1)"; }, "not a finite number");
  refused([](R& r) { r.constraints = {"sqrt(1 - l1)"}; }, "finite");
  refused([](R& r) { r.front = {"time"}; }, "two expressions");
  refused([](R& r) { r.confidence = 1; }, "confidence");
}

}  // namespace
}  // namespace perfvec::explore
