#include "worker/evaluate/rivals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace perfvec::train {
namespace {

constexpr size_t kMachines = 6;

// log t = speed of the machine + weight of the program + memory share × memory
// slowness: rank 2 over the mean, and linear in two features.
RivalProgram Program(double weight, double memory) {
  RivalProgram p;
  p.features = {weight, memory, 7};  // the last never varies
  for (size_t a = 0; a < kMachines; ++a) {
    p.log_times.push_back(0.3 * a + weight + memory * std::sin(a + 1.0));
  }
  return p;
}

std::vector<RivalProgram> Training() {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<RivalProgram> out;
  for (int i = 0; i < 40; ++i) {
    out.push_back(Program(uniform(random), uniform(random)));
  }
  return out;
}

TEST(RivalsTest, MeanCpiIgnoresTheProgram) {
  auto rivals = Rivals::Fit(Training(), 0);
  ASSERT_TRUE(rivals.ok()) << rivals.status();
  double mean = 0;
  for (const RivalProgram& p : Training()) mean += p.log_times[2] / 40;
  EXPECT_NEAR(rivals->Predict(kMeanCpi, Program(5, 5))[2], mean, 1e-12);
  EXPECT_TRUE(rivals->Given(kMeanCpi).empty());
}

TEST(RivalsTest, ScalingIsExactForProgramsThatDifferByAFactor) {
  std::vector<RivalProgram> training;
  for (int i = 0; i < 5; ++i) training.push_back(Program(i, 0.5));
  auto rivals = Rivals::Fit(training, 1);
  ASSERT_TRUE(rivals.ok()) << rivals.status();
  const RivalProgram fresh = Program(17, 0.5);
  const std::vector<double> out = rivals->Predict(kScaled, fresh);
  EXPECT_TRUE(std::isnan(out[1]));  // it was given
  EXPECT_NEAR(out[4], fresh.log_times[4], 1e-9);
}

TEST(RivalsTest, RegressionFindsALinearLaw) {
  auto rivals = Rivals::Fit(Training(), 0);
  ASSERT_TRUE(rivals.ok()) << rivals.status();
  RivalProgram fresh = Program(0.4, -0.7);
  const std::vector<double> truth = fresh.log_times;
  fresh.log_times.assign(kMachines, std::nan(""));  // not needed
  const std::vector<double> out = rivals->Predict(kRegression, fresh);
  for (size_t a = 0; a < kMachines; ++a) EXPECT_NEAR(out[a], truth[a], 0.02);
}

TEST(RivalsTest, CompletionFindsTheRankAndTheRest) {
  auto rivals = Rivals::Fit(Training(), 3);
  ASSERT_TRUE(rivals.ok()) << rivals.status();
  EXPECT_GE(rivals->rank(), 2);
  const std::vector<size_t> given = rivals->Given(kCompletion);
  ASSERT_EQ(given.size(), 3);
  EXPECT_EQ(given[0], 3);
  RivalProgram fresh = Program(-0.9, 0.8);
  const std::vector<double> truth = fresh.log_times;
  for (size_t a = 0; a < kMachines; ++a) {
    const bool known = std::count(given.begin(), given.end(), a) > 0;
    if (!known) fresh.log_times[a] = std::nan("");
  }
  const std::vector<double> out = rivals->Predict(kCompletion, fresh);
  for (size_t a = 0; a < kMachines; ++a) {
    if (std::count(given.begin(), given.end(), a) > 0) {
      EXPECT_TRUE(std::isnan(out[a]));
    } else {
      EXPECT_NEAR(out[a], truth[a], 1e-3) << a;
    }
  }
}

// A machine that three programs know only.
TEST(RivalsTest, LearnsAMachineFromFewPrograms) {
  std::vector<RivalProgram> training = Training();
  for (size_t i = 3; i < training.size(); ++i) {
    training[i].log_times[5] = std::nan("");
  }
  auto rivals = Rivals::Fit(training, 0);
  ASSERT_TRUE(rivals.ok()) << rivals.status();
  const std::vector<size_t> given = rivals->Given(kCompletion);
  EXPECT_EQ(std::count(given.begin(), given.end(), 5), 0);
  const RivalProgram fresh = Program(0.6, 0.5);
  EXPECT_NEAR(rivals->Predict(kCompletion, fresh)[5], fresh.log_times[5], 0.05);
  for (Rival r : {kMeanCpi, kScaled, kRegression}) {
    EXPECT_TRUE(std::isfinite(rivals->Predict(r, fresh)[5])) << RivalName(r);
  }
}

TEST(RivalsTest, RefusesWhatCannotBeFitted) {
  std::vector<RivalProgram> training = Training();
  EXPECT_FALSE(Rivals::Fit({training[0], training[1]}, 0).ok());
  training[7].log_times[0] = std::nan("");
  EXPECT_FALSE(Rivals::Fit(training, 0).ok());
  for (RivalProgram& p : training) p.log_times[5] = std::nan("");
  const auto rivals = Rivals::Fit(training, 1);
  EXPECT_EQ(rivals.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace perfvec::train
