#include "worker/train/architecture_fit.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "worker/train/fit_choice.h"

namespace perfvec::train {
namespace {

constexpr int kWidth = 6, kArchitectures = 3, kInstructions = 400,
              kIntervals = 4;

// A program whose latencies are exactly R·M.
ProgramEvidence Exact(const std::vector<double>& table, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  ProgramEvidence e;
  e.instructions = kInstructions;
  e.gram.resize(kWidth * kWidth);
  e.cross.resize(kWidth * kArchitectures);
  e.interval_sums.resize(kIntervals * kWidth);
  e.interval_times.resize(kIntervals * kArchitectures);
  for (int i = 0; i < kInstructions; ++i) {
    const int k = i * kIntervals / kInstructions;
    double r[kWidth];
    for (double& v : r) v = uniform(random);
    for (int p = 0; p < kWidth; ++p) {
      e.interval_sums[k * kWidth + p] += r[p];
      for (int q = 0; q < kWidth; ++q) e.gram[p * kWidth + q] += r[p] * r[q];
    }
    for (int a = 0; a < kArchitectures; ++a) {
      double t = 0;
      for (int p = 0; p < kWidth; ++p) t += r[p] * table[a * kWidth + p];
      e.interval_times[k * kArchitectures + a] += t;
      for (int p = 0; p < kWidth; ++p) {
        e.cross[p * kArchitectures + a] += r[p] * t;
      }
    }
  }
  return e;
}

std::vector<double> Table() {
  std::vector<double> table;
  for (int i = 0; i < kWidth * kArchitectures; ++i) {
    table.push_back(1 + (i * 7 % 5) + 0.3 * i);
  }
  return table;
}

TEST(FitArchitecturesTest, RecoversVectorsThatExplainEverything) {
  const ProgramEvidence a = Exact(Table(), 1), b = Exact(Table(), 2);
  const std::vector<double> zero(kWidth * kArchitectures);
  for (double interval : {0.0, 1.0, 100.0}) {
    auto fit = FitArchitectures({&a, &b}, kWidth, kArchitectures,
                                {interval, 1e-12}, zero);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (size_t i = 0; i < fit->size(); ++i) {
      EXPECT_NEAR((*fit)[i], Table()[i], 1e-6) << i;
    }
  }
}

TEST(FitArchitecturesTest, AStrongPriorKeepsTheInitialVectors) {
  const ProgramEvidence a = Exact(Table(), 1);
  const std::vector<double> initial(kWidth * kArchitectures, 0.5);
  auto fit = FitArchitectures({&a}, kWidth, kArchitectures, {1, 1e9}, initial);
  ASSERT_TRUE(fit.ok()) << fit.status();
  for (double v : *fit) EXPECT_NEAR(v, 0.5, 1e-6);
}

TEST(FitArchitecturesTest, WithoutPriorTooLittleEvidenceIsAnError) {
  ProgramEvidence a = Exact(Table(), 1);
  std::fill(a.gram.begin(), a.gram.end(), 0.0);
  auto fit = FitArchitectures({&a}, kWidth, kArchitectures, {0, 0},
                              std::vector<double>(kWidth * kArchitectures));
  ASSERT_FALSE(fit.ok());
  EXPECT_NE(fit.status().message().find("positive definite"),
            std::string::npos);
}

// Programs simulated on some architectures only teach those, and an
// architecture without any times keeps what it had.
TEST(FitArchitecturesTest, TakesEachProgramForTheArchitecturesItHasTimesOf) {
  const ProgramEvidence a = Exact(Table(), 1);
  ProgramEvidence b = Exact(Table(), 2);
  const auto forget = [](ProgramEvidence& e, int column) {
    for (size_t i = column; i < e.cross.size(); i += kArchitectures) {
      e.cross[i] = 0;
    }
    for (size_t k = column; k < e.interval_times.size(); k += kArchitectures) {
      e.interval_times[k] = 0;
    }
  };
  forget(b, 1);
  const std::vector<double> initial(kWidth * kArchitectures, 0.5);
  const FitWeights weights{10, 1e-3};
  auto both =
      FitArchitectures({&a, &b}, kWidth, kArchitectures, weights, initial);
  auto one = FitArchitectures({&a}, kWidth, kArchitectures, weights, initial);
  ASSERT_TRUE(both.ok() && one.ok());
  for (int i = 0; i < kWidth; ++i) {
    EXPECT_DOUBLE_EQ((*both)[kWidth + i], (*one)[kWidth + i]);
    EXPECT_NE((*both)[i], (*one)[i]);
  }
  auto none = FitArchitectures({}, kWidth, kArchitectures, weights, initial);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, initial);
}

// Validation families, where there are any, judge; the training programs' own
// families else. One program teaches what is wrong for the validation program:
// it takes a strong prior to stay near the truth.
TEST(ChooseWeightsTest, TheValidationFamiliesJudge) {
  const std::vector<double> truth = Table();
  std::vector<double> wrong = truth;
  for (double& v : wrong) v *= 2;
  const std::vector<Evaluated> training = {{"a", "fa", Exact(wrong, 1)},
                                           {"b", "fb", Exact(wrong, 2)}};
  const std::vector<Evaluated> validation = {{"c", "fc", Exact(truth, 3)}};
  auto judged =
      ChooseWeights(training, validation, kWidth, kArchitectures, truth);
  auto alone = ChooseWeights(training, {}, kWidth, kArchitectures, truth);
  ASSERT_TRUE(judged.ok() && alone.ok());
  EXPECT_EQ(judged->prior, 100);
  EXPECT_EQ(judged->interval, 100);
  EXPECT_EQ(alone->prior, 0.1);
}

}  // namespace
}  // namespace perfvec::train
