#include "worker/learn/learn_architecture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace perfvec::compute {
namespace {

constexpr size_t kWidth = 20, kMachines = 12, kIntervals = 4;
constexpr uint64_t kSeed = 20261121;

// Vectors in a three-dimensional family, each with its own scale.
std::vector<std::vector<double>> Vectors() {
  std::mt19937_64 random(kSeed);
  std::normal_distribution<double> normal;
  std::vector<std::vector<double>> basis(4, std::vector<double>(kWidth));
  for (auto& b : basis) {
    for (double& v : b) v = 1 + 0.3 * normal(random);
  }
  std::vector<std::vector<double>> out;
  for (size_t a = 0; a < kMachines; ++a) {
    std::vector<double> m(kWidth);
    const double scale = std::exp(normal(random));
    double weight[3];
    for (double& w : weight) w = 0.1 * normal(random);
    for (size_t i = 0; i < kWidth; ++i) {
      m[i] = basis[0][i];
      for (int k = 0; k < 3; ++k) m[i] += weight[k] * basis[k + 1][i];
      m[i] *= scale;
    }
    out.push_back(m);
  }
  return out;
}

// Representations of `kinds` different instructions and their exact times, with
// noise of single latencies; few kinds leave most directions unseen.
ProgramEvidence Program(uint64_t seed, int kinds, double noise) {
  const std::vector<std::vector<double>> vectors = Vectors();
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::normal_distribution<double> normal;
  std::vector<std::vector<double>> patterns;
  for (int k = 0; k < kinds; ++k) {
    patterns.emplace_back();
    for (size_t i = 0; i < kWidth; ++i)
      patterns.back().push_back(uniform(random));
  }
  ProgramEvidence e;
  e.instructions = 400;
  e.gram.resize(kWidth * kWidth);
  e.cross.resize(kWidth * kMachines);
  e.interval_sums.resize(kIntervals * kWidth);
  e.interval_times.resize(kIntervals * kMachines);
  for (size_t n = 0; n < 400; ++n) {
    const std::vector<double>& r = patterns[random() % patterns.size()];
    const size_t k = n * kIntervals / 400;
    for (size_t i = 0; i < kWidth; ++i) {
      e.interval_sums[k * kWidth + i] += r[i];
      for (size_t j = 0; j < kWidth; ++j) e.gram[i * kWidth + j] += r[i] * r[j];
    }
    for (size_t a = 0; a < kMachines; ++a) {
      double t = 0;
      for (size_t i = 0; i < kWidth; ++i) t += r[i] * vectors[a][i];
      t *= 1 + noise * normal(random);
      e.interval_times[k * kMachines + a] += t;
      for (size_t i = 0; i < kWidth; ++i)
        e.cross[i * kMachines + a] += r[i] * t;
    }
  }
  return e;
}

// Of a fresh program's total time, by the last machine's vector.
double ErrorOnFreshPrograms(const std::vector<double>& m, size_t machine) {
  double error = 0;
  for (uint64_t seed : {900, 901, 902, 903}) {
    const ProgramEvidence fresh = Program(seed, 40, 0);
    double guess = 0, time = 0;
    for (size_t i = 0; i < fresh.interval_sums.size(); ++i) {
      guess += fresh.interval_sums[i] * m[i % kWidth];
    }
    for (size_t k = 0; k < kIntervals; ++k) {
      time += fresh.interval_times[k * kMachines + machine];
    }
    error += std::fabs(guess - time) / time / 4;
  }
  return error;
}

std::vector<std::vector<double>> AllButLast() {
  std::vector<std::vector<double>> known = Vectors();
  known.pop_back();
  return known;
}

TEST(LearnArchitectureTest, RecoversAVectorThatExplainsEverything) {
  const ProgramEvidence a = Program(1, 200, 0), b = Program(2, 200, 0);
  auto prior =
      FitArchitecturePrior(AllButLast(), MeanRepresentation({&a, &b}), 8);
  ASSERT_TRUE(prior.ok()) << prior.status();
  for (double interval : {0.0, 10.0}) {
    auto m = LearnArchitecture({&a, &b}, kMachines - 1, *prior,
                               {interval, 1e-12, 8});
    ASSERT_TRUE(m.ok()) << m.status();
    for (size_t i = 0; i < kWidth; ++i) {
      EXPECT_NEAR((*m)[i], Vectors().back()[i], 1e-3 * Vectors().back()[i]);
    }
  }
}

// Three kinds of instructions tell little; the family of machines tells more.
TEST(LearnArchitectureTest, ThePriorFillsInWhatEvidenceDoesNotShow) {
  const ProgramEvidence a = Program(1, 2, 0.3), b = Program(2, 1, 0.3);
  auto prior =
      FitArchitecturePrior(AllButLast(), MeanRepresentation({&a, &b}), 3);
  ASSERT_TRUE(prior.ok()) << prior.status();
  ArchitecturePrior flat = *prior;
  std::fill(flat.mean.begin(), flat.mean.end(), 0.0);
  std::fill(flat.precision.begin(), flat.precision.end(), 0.0);
  for (size_t i = 0; i < kWidth; ++i) flat.precision[i * kWidth + i] = 1;
  const LearnWeights weights{10, 1e-3, 3};
  auto with = LearnArchitecture({&a, &b}, kMachines - 1, *prior, weights);
  auto without = LearnArchitecture({&a, &b}, kMachines - 1, flat, weights);
  ASSERT_TRUE(with.ok()) << with.status();
  ASSERT_TRUE(without.ok()) << without.status();
  const double better = ErrorOnFreshPrograms(*with, kMachines - 1);
  const double worse = ErrorOnFreshPrograms(*without, kMachines - 1);
  EXPECT_LT(better, 0.05);
  EXPECT_LT(better, 0.5 * worse) << worse;
}

TEST(LearnArchitectureTest, OverallSpeedDoesNotMatterToThePrior) {
  const ProgramEvidence a = Program(1, 50, 0);
  std::vector<std::vector<double>> scaled = AllButLast();
  for (size_t k = 0; k < scaled.size(); ++k) {
    for (double& v : scaled[k]) v *= k + 1;
  }
  const std::vector<double> mean = MeanRepresentation({&a});
  auto one = FitArchitecturePrior(AllButLast(), mean, 4);
  auto two = FitArchitecturePrior(scaled, mean, 4);
  ASSERT_TRUE(one.ok() && two.ok());
  for (size_t i = 0; i < kWidth * kWidth; ++i) {
    EXPECT_NEAR(one->precision[i] / two->precision[i], 1, 1e-4);
  }
}

std::vector<KnownArchitecture> Known() {
  std::vector<KnownArchitecture> known;
  for (size_t a = 0; a + 1 < kMachines; ++a) known.push_back({a, Vectors()[a]});
  return known;
}

std::vector<std::vector<double>> Intervals(const ProgramEvidence& e) {
  std::vector<std::vector<double>> out;
  for (size_t k = 0; k < kIntervals; ++k) {
    const auto begin = e.interval_sums.begin() + k * kWidth;
    out.emplace_back(begin, begin + kWidth);
  }
  return out;
}

TEST(LearnArchitectureTest, TellsHowFarAProgramLeftOutIsMissed) {
  std::vector<ProgramEvidence> programs;
  std::vector<std::vector<double>> intervals;
  for (uint64_t seed : {1, 2, 3}) {
    programs.push_back(Program(seed, 3, 0.3));
    for (auto& one : Intervals(programs.back())) intervals.push_back(one);
  }
  std::vector<const ProgramEvidence*> pointers;
  for (const ProgramEvidence& p : programs) pointers.push_back(&p);
  auto covariance = IntervalCovariance(intervals, Known());
  ASSERT_TRUE(covariance.ok()) << covariance.status();
  const LearnWeights weights{10, 1e-3, 3};
  auto error = LeftOutError(pointers, Known(), *covariance, weights);
  ASSERT_TRUE(error.ok()) << error.status();
  EXPECT_GT(*error, 0);
  EXPECT_LT(*error, 0.1);
  // Nothing to leave out.
  auto alone = LeftOutError({pointers[0]}, Known(), *covariance, weights);
  ASSERT_TRUE(alone.ok());
  EXPECT_TRUE(std::isnan(*alone));
}

// The network misjudges an interval in a way that known machines' times show.
TEST(LearnArchitectureTest, KnownTimesCorrectWhatTheNetworkMisjudges) {
  std::vector<std::vector<double>> intervals;
  for (uint64_t seed = 10; seed < 40; ++seed) {
    for (auto& one : Intervals(Program(seed, 3, 0))) intervals.push_back(one);
  }
  auto covariance = IntervalCovariance(intervals, Known());
  ASSERT_TRUE(covariance.ok()) << covariance.status();
  const ProgramEvidence truth = Program(1, 3, 0);
  ProgramEvidence wrong = truth;
  // Takes it for an interval of another program that takes as long on the mean
  // of the known machines: the covariance leaves overall speed out.
  const auto mean_time = [](const double* sum) {
    double time = 0;
    for (const KnownArchitecture& k : Known()) {
      for (size_t i = 0; i < kWidth; ++i) time += k.vector[i] * sum[i];
    }
    return time;
  };
  const double ratio =
      mean_time(truth.interval_sums.data()) / mean_time(intervals[0].data());
  for (size_t i = 0; i < kWidth; ++i) {
    wrong.interval_sums[i] = ratio * intervals[0][i];
  }
  ProgramEvidence mended = wrong;
  ASSERT_TRUE(CorrectIntervals(Known(), *covariance, mended).ok());
  const std::vector<double> unknown = Vectors().back();
  const auto off = [&](const ProgramEvidence& e) {
    double guess = 0;
    for (size_t i = 0; i < kWidth; ++i)
      guess += e.interval_sums[i] * unknown[i];
    return std::fabs(guess / truth.interval_times[kMachines - 1] - 1);
  };
  EXPECT_GT(off(wrong), 0.002);
  EXPECT_LT(off(mended), 0.2 * off(wrong));
  // What was right stays, and without times nothing is said.
  for (size_t i = kWidth; i < truth.interval_sums.size(); ++i) {
    EXPECT_NEAR(mended.interval_sums[i] / truth.interval_sums[i], 1, 1e-3);
  }
  ProgramEvidence unknown_times = wrong;
  for (double& t : unknown_times.interval_times) t = 0;
  ASSERT_TRUE(CorrectIntervals(Known(), *covariance, unknown_times).ok());
  EXPECT_EQ(unknown_times.interval_sums, wrong.interval_sums);
}

TEST(LearnArchitectureTest, ACovarianceWantsIntervals) {
  const ProgramEvidence a = Program(1, 3, 0);
  EXPECT_EQ(IntervalCovariance({}, Known()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(IntervalCovariance(Intervals(a), {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  ProgramEvidence e = a;
  std::vector<double> broken(kWidth * kWidth, std::nan(""));
  EXPECT_EQ(CorrectIntervals(Known(), broken, e).code(),
            absl::StatusCode::kInternal);
}

TEST(LearnArchitectureTest, RefusesWhatDoesNotFit) {
  const ProgramEvidence good = Program(1, 10, 0);
  const std::vector<double> mean = MeanRepresentation({&good});
  auto prior = FitArchitecturePrior(AllButLast(), mean, 4);
  ASSERT_TRUE(prior.ok());
  const auto code = [&](const ProgramEvidence& e, size_t column) {
    return LearnArchitecture({&e}, column, *prior, {}).status().code();
  };
  EXPECT_EQ(code(good, 0), absl::StatusCode::kOk);
  EXPECT_EQ(code(good, kMachines), absl::StatusCode::kInvalidArgument);
  ProgramEvidence bad = good;
  bad.gram.pop_back();
  EXPECT_EQ(code(bad, 0), absl::StatusCode::kInvalidArgument);
  bad = good;
  bad.instructions = 0;
  EXPECT_EQ(code(bad, 0), absl::StatusCode::kInvalidArgument);
  bad = good;
  std::fill(bad.interval_times.begin(), bad.interval_times.end(), 0.0);
  EXPECT_EQ(code(bad, 0), absl::StatusCode::kInvalidArgument);
  bad = good;
  bad.gram[0] = std::nan("");
  EXPECT_EQ(code(bad, 0), absl::StatusCode::kInternal);
  EXPECT_EQ(LearnArchitecture({}, 0, *prior, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(FitArchitecturePrior({Vectors()[0]}, mean, 4).ok());
  std::vector<std::vector<double>> negative = AllButLast();
  for (double& v : negative[2]) v = -v;
  EXPECT_FALSE(FitArchitecturePrior(negative, mean, 4).ok());
}

}  // namespace
}  // namespace perfvec::compute
