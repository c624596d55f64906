#include "worker/explore/design_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <random>

#include "tests/worker/explore/small_space.h"
#include "worker/explore/design_network.h"
#include "worker/explore/minimise.h"

namespace perfvec::explore {
namespace {

TEST(Minimise, FindsTheValley) {
  // Rosenbrock's function.
  const auto f = [](const std::vector<double>& x, std::vector<double>& g) {
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    g = {-2 * a - 400 * b * x[0], 200 * b};
    return a * a + 100 * b * b;
  };
  std::vector<double> x = {-1.2, 1};
  EXPECT_LT(Minimise(f, {200, 10, 1e-14}, x), 1e-10);
  EXPECT_NEAR(x[0], 1, 1e-4);
  EXPECT_NEAR(x[1], 1, 1e-4);
}

TEST(TrainNetwork, WithoutHiddenUnitsIsRidgeRegression) {
  // One input and output: the slope is Σ Q x y / (Σ Q x² + n penalty) for
  // centred samples.
  NetworkTask task;
  task.inputs = task.outputs = 1;
  task.x = {{-1}, {0}, {1}};
  task.targets = {{-2}, {0}, {2}};
  task.metrics = {{1}, {1}, {1}};
  const DesignModel::Network n = TrainNetwork(task, {0, 0.5}, 200, 1);
  EXPECT_NEAR(n.Output({1})[0] - n.Output({0})[0], 4 / (2 + 3 * 0.5), 1e-4);
}

TEST(DesignModel, LearnsVectorsBetweenTheSamples) {
  const SmallSpace small;
  const auto model = DesignModel::Fit(small.space, small.Samples(), {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_GT(model->chosen().size.hidden, 0) << "the surface is not linear";
  const auto points = Points(small.space);
  ASSERT_TRUE(points.ok());
  for (const Point& point : *points) {
    const double truth = small.Time(point);
    const std::vector<double> m = model->Vector(point);
    EXPECT_NEAR(m[0] * small.program[0] + m[1] * small.program[1] +
                    m[2] * small.program[2],
                truth, 0.05 * truth)
        << small.space.Text(point);
  }
}

TEST(DesignModel, IsTheSameOnAnyNumberOfThreads) {
  const SmallSpace small;
  DesignModelOptions options;
  options.sizes = {{4, 1e-3}, {0, 1e-3}};
  options.iterations = 30;
  const auto one = DesignModel::Fit(small.space, small.Samples(), options);
  options.threads = 3;
  const auto three = DesignModel::Fit(small.space, small.Samples(), options);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->Vector({3, 32}), three->Vector({3, 32}));
  EXPECT_EQ(one->held_out(), three->held_out());
}

TEST(DesignModel, DoesNotSeeTheSampleItLeavesOut) {
  const SmallSpace small;
  DesignModelOptions options;
  options.sizes = {{0, 1e-3}};
  auto samples = small.Samples();
  const auto before = DesignModel::Fit(small.space, samples, options);
  for (double& v : samples[0].vector) v *= 1.5;
  const auto after = DesignModel::Fit(small.space, samples, options);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->held_out()[0], after->held_out()[0]);
  EXPECT_NE(before->held_out()[1], after->held_out()[1]);
}

TEST(DesignModel, EndsWhenItIsStopped) {
  const SmallSpace small;
  for (int threads : {1, 2}) {
    for (int last : {0, 7, 300}) {
      std::atomic<int> asked{0};
      DesignModelOptions options;
      options.threads = threads;
      options.iterations = 5;
      options.stop = [&] { return asked++ >= last; };
      const auto model =
          DesignModel::Fit(small.space, small.Samples(), options);
      EXPECT_EQ(model.status().code(), absl::StatusCode::kCancelled) << last;
    }
  }
}

TEST(DesignModel, RefusesSamplesThatDoNotFit) {
  const SmallSpace small;
  const auto refused = [&](auto change, const char* message) {
    auto samples = small.Samples();
    change(samples);
    const absl::Status status =
        DesignModel::Fit(small.space, samples, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(message));
  };
  using S = std::vector<DesignSample>;
  refused([](S& s) { s.resize(3); }, "found 3");
  refused([](S& s) { s[1].point = s[0].point; }, "twice");
  refused([](S& s) { s[1].point = {1}; }, "parameters");
  refused([](S& s) { s[1].vector = {1}; }, "elements");
  refused([](S& s) { s[1].metric = nullptr; }, "metric");
  refused([](S& s) { s[1].vector = {0, 0, 0}; }, "positive size");
  refused([](S& s) { s[1].vector[0] = std::nan(""); }, "positive size");
  refused([](S& s) { s[1].point = {-1, 16}; }, "off its scale");
}

}  // namespace
}  // namespace perfvec::explore
