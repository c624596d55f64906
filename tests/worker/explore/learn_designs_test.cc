#include "worker/explore/learn_designs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace perfvec::explore {
namespace {

using compute::ProgramEvidence;
constexpr size_t kWidth = 6, kDesigns = 5, kKnown = 9;

// Programs of random representations, times exact for the given vectors.
struct Setting {
  std::vector<std::vector<double>> truth, known;
  std::vector<ProgramEvidence> programs;

  Setting() {
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> positive(0.5, 2), unit(0, 1);
    for (size_t k = 0; k < kKnown; ++k) {
      known.emplace_back();
      for (size_t i = 0; i < kWidth; ++i) {
        known.back().push_back(10 * positive(random));
      }
    }
    for (size_t a = 0; a < kDesigns; ++a) {
      truth.push_back(known[4]);
      truth.back()[2] += 3.0 * a;
      truth.back()[5] += 1.0 * a;
    }
    for (int p = 0; p < 3; ++p) {
      ProgramEvidence e;
      e.gram.resize(kWidth * kWidth);
      e.cross.resize(kWidth * kDesigns);
      for (int k = 0; k < 20; ++k) {
        std::vector<double> sum(kWidth), times(kDesigns);
        for (int n = 0; n < 50; ++n) {
          std::vector<double> r(kWidth);
          for (double& v : r) v = unit(random) * unit(random);
          for (size_t i = 0; i < kWidth; ++i) {
            sum[i] += r[i];
            for (size_t j = 0; j < kWidth; ++j) {
              e.gram[i * kWidth + j] += r[i] * r[j];
            }
          }
          for (size_t a = 0; a < kDesigns; ++a) {
            double t = 0;
            for (size_t i = 0; i < kWidth; ++i) t += r[i] * truth[a][i];
            times[a] += t;
            for (size_t i = 0; i < kWidth; ++i) {
              e.cross[i * kDesigns + a] += r[i] * t;
            }
          }
        }
        e.instructions += 50;
        e.interval_sums.insert(e.interval_sums.end(), sum.begin(), sum.end());
        e.interval_times.insert(e.interval_times.end(), times.begin(),
                                times.end());
      }
      programs.push_back(std::move(e));
    }
  }
  std::vector<const ProgramEvidence*> Evidence() const {
    std::vector<const ProgramEvidence*> all;
    for (const ProgramEvidence& e : programs) all.push_back(&e);
    return all;
  }
};

TEST(LearnDesigns, FindsTheVectorsAndTheirBase) {
  const Setting s;
  LearnDesignsOptions options;  // the times are exact: hardly any prior
  options.weights = {{4, 1e-2, 1}, {6, 1e-8, 1}};
  const auto learned = LearnDesigns(s.Evidence(), s.known, options);
  ASSERT_TRUE(learned.ok()) << learned.status();
  EXPECT_EQ(learned->base, 4);
  EXPECT_EQ(learned->weights.rank, 6);
  EXPECT_LT(learned->left_out_error, 0.02);
  for (size_t a = 0; a < kDesigns; ++a) {
    for (size_t i = 0; i < kWidth; ++i) {
      EXPECT_NEAR(learned->vectors[a][i], s.truth[a][i],
                  0.05 * s.truth[a][i] + 0.2);
    }
  }
}

TEST(LearnDesigns, TheMetricIsTheCurvatureOfTheObjective) {
  // Without prior and intervals A_a is Σ_p w_p G_p.
  const Setting s;
  LearnDesignsOptions options;
  options.weights = {{3, 1e-12, 0}};
  const auto learned = LearnDesigns({&s.programs[0]}, s.known, options);
  ASSERT_TRUE(learned.ok()) << learned.status();
  EXPECT_TRUE(std::isnan(learned->left_out_error));
  const std::vector<double>& metric = *learned->metrics[1];
  double time = 0;
  for (int k = 0; k < 20; ++k) {
    time += s.programs[0].interval_times[k * kDesigns + 1];
  }
  const double w = 1 / s.programs[0].instructions;  // s / T of one program
  for (size_t i = 0; i < metric.size(); ++i) {
    EXPECT_NEAR(metric[i], w * s.programs[0].gram[i], 1e-6) << time;
  }
}

TEST(LearnDesigns, IsTheSameOnAnyNumberOfThreads) {
  const Setting s;
  LearnDesignsOptions options;
  const auto one = LearnDesigns(s.Evidence(), s.known, options);
  options.threads = 3;
  const auto three = LearnDesigns(s.Evidence(), s.known, options);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->vectors, three->vectors);
}

TEST(LearnDesigns, RefusesEvidenceThatDoesNotFit) {
  const Setting s;
  const auto refused = [&](auto change, const char* message) {
    Setting bad;
    change(bad);
    const absl::Status status =
        LearnDesigns(bad.Evidence(), bad.known, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(message));
  };
  refused([](Setting& b) { b.programs.clear(); }, "evidence of a program");
  refused([](Setting& b) { b.known.clear(); }, "known architecture");
  refused([](Setting& b) { b.known[1] = {1}; }, "vectors of 6");
  refused([](Setting& b) { b.known[1].assign(6, 0); }, "positive times");
  refused([](Setting& b) { b.programs[1].gram.pop_back(); }, "other sizes");
  refused([](Setting& b) { b.programs[1].cross.clear(); }, "other sizes");
  refused(
      [](Setting& b) {
        for (double& t : b.programs[2].interval_times) t = 0;
      },
      "positive times");
}

}  // namespace
}  // namespace perfvec::explore
