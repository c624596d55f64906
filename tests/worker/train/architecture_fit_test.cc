#include "worker/train/architecture_fit.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

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
    table.push_back(1 + (i * 7 % 5) - 0.3 * i);
  }
  return table;
}

TEST(FitArchitecturesTest, RecoversVectorsThatExplainEverything) {
  const ProgramEvidence a = Exact(Table(), 1), b = Exact(Table(), 2);
  const std::vector<double> zero(kWidth * kArchitectures);
  for (double interval : {0.0, 1.0, 100.0}) {
    auto fit = FitArchitectures({&a, &b}, kWidth, kArchitectures,
                                {interval, 1e-12, 1.0}, zero);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (size_t i = 0; i < fit->size(); ++i) {
      EXPECT_NEAR((*fit)[i], Table()[i], 1e-6) << i;
    }
  }
}

TEST(FitArchitecturesTest, AStrongPriorKeepsTheInitialVectors) {
  const ProgramEvidence a = Exact(Table(), 1);
  const std::vector<double> initial(kWidth * kArchitectures, 0.5);
  auto fit =
      FitArchitectures({&a}, kWidth, kArchitectures, {1, 1e9, 1.0}, initial);
  ASSERT_TRUE(fit.ok()) << fit.status();
  for (double v : *fit) EXPECT_NEAR(v, 0.5, 1e-6);
}

TEST(FitArchitecturesTest, WithoutPriorTooLittleEvidenceIsAnError) {
  ProgramEvidence a = Exact(Table(), 1);
  std::fill(a.gram.begin(), a.gram.end(), 0.0);
  auto fit = FitArchitectures({&a}, kWidth, kArchitectures, {0, 0, 1.0},
                              std::vector<double>(kWidth * kArchitectures));
  ASSERT_FALSE(fit.ok());
  EXPECT_NE(fit.status().message().find("positive definite"),
            std::string::npos);
}

}  // namespace
}  // namespace perfvec::train
