#include "worker/learn/learn_from_times.h"

#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/learn/belief.h"

namespace perfvec::compute {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr size_t kWidth = 12;
constexpr size_t kKnown = 20;

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Architectures mix three kinds of cost; programs need them differently.
class LearnFromTimesTest : public testing::Test {
 protected:
  LearnFromTimesTest() {
    for (int k = 0; k < 3; ++k) {
      for (size_t i = 0; i < kWidth; ++i) kinds_[k].push_back(Uniform(0.2, 2));
    }
    for (size_t a = 0; a < kKnown; ++a) {
      known_.push_back({absl::StrCat("known", a), Mix(Uniform(0.5, 4))});
    }
    machine_ = Mix(2);
  }

  double Uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }
  std::vector<double> Mix(double scale) {
    std::vector<double> m(kWidth);
    for (const std::vector<double>& kind : kinds_) {
      const double f = Uniform(0.3, 1.5) * scale;
      for (size_t i = 0; i < kWidth; ++i) m[i] += f * kind[i];
    }
    return m;
  }
  std::vector<double> ProgramSum(double instructions) {
    std::vector<double> s;
    for (size_t i = 0; i < kWidth; ++i) {
      s.push_back(instructions * std::pow(Uniform(0.05, 1), 2));
    }
    return s;
  }
  Evidence Run(const std::string& name, double noise = 0) {
    Evidence e;
    e.program = name;
    e.instructions = 1e5;
    Total t;
    t.sum = ProgramSum(e.instructions);
    t.time = Dot(t.sum, machine_) *
             (1 + noise * std::normal_distribution<double>()(random_));
    e.totals.push_back(t);
    return e;
  }
  std::vector<Evidence> Runs(int count, double noise = 0) {
    std::vector<Evidence> out;
    for (int p = 0; p < count; ++p) {
      out.push_back(Run(absl::StrCat("p", p), noise));
    }
    return out;
  }

  std::mt19937_64 random_{5};
  std::vector<double> kinds_[3];
  std::vector<KnownVector> known_;
  std::vector<double> machine_;
};

TEST_F(LearnFromTimesTest, PredictsProgramsItWasNotGiven) {
  const auto learned = LearnFromTimes(Runs(12), known_, {});
  ASSERT_TRUE(learned.ok()) << learned.status();
  EXPECT_LT(learned->fit_error, 0.01);
  EXPECT_LT(learned->left_out_error, 0.02);
  EXPECT_THAT(learned->warnings, IsEmpty());
  for (int p = 0; p < 20; ++p) {
    const Evidence other = Run("other");
    const double guess = Dot(other.totals[0].sum, learned->vector);
    EXPECT_NEAR(guess / other.totals[0].time, 1, 0.05);
  }
}

// The stationary point of the objective, m − μ = Σ Xᵀ D⁻¹ (y − X m), needs no
// inverse to be checked.
TEST_F(LearnFromTimesTest, IsTheMinimumOfTheObjective) {
  std::vector<std::vector<double>> vectors;
  for (const KnownVector& k : known_) vectors.push_back(k.vector);
  const auto belief = BeliefOfKnown(vectors, std::vector<double>(kWidth, 0.1));
  ASSERT_TRUE(belief.ok());
  TimesEvidence times;
  for (int k = 0; k < 5; ++k) {
    for (double s : ProgramSum(1)) times.rows.push_back(s);
    times.values.push_back(Uniform(0.5, 1.5));
    times.variances.push_back(Uniform(0.001, 0.1));
  }
  const TimesKernel kernel = MakeKernel(*belief, times.rows);
  const auto update = AbsorbTimes(*belief, kernel, times);
  ASSERT_TRUE(update.ok());
  std::vector<double> gradient(kWidth);
  for (size_t k = 0; k < 5; ++k) {
    const std::vector<double> row(times.rows.begin() + k * kWidth,
                                  times.rows.begin() + (k + 1) * kWidth);
    const double pull =
        (times.values[k] - Dot(row, update->mean)) / times.variances[k];
    for (size_t i = 0; i < kWidth; ++i) gradient[i] += pull * row[i];
  }
  for (size_t i = 0; i < kWidth; ++i) {
    double step = 0;
    for (size_t j = 0; j < kWidth; ++j) {
      step += belief->covariance[i * kWidth + j] * gradient[j];
    }
    EXPECT_NEAR(update->mean[i] - belief->mean[i], step, 1e-9);
  }

  // The same evidence as a quadratic form gives the same mean and covariance.
  std::vector<double> gram(kWidth * kWidth), cross(kWidth);
  for (size_t k = 0; k < 5; ++k) {
    for (size_t i = 0; i < kWidth; ++i) {
      const double f = times.rows[k * kWidth + i] / times.variances[k];
      cross[i] += f * times.values[k];
      for (size_t j = 0; j < kWidth; ++j) {
        gram[i * kWidth + j] += f * times.rows[k * kWidth + j];
      }
    }
  }
  const auto precision = PrecisionOf(*belief);
  ASSERT_TRUE(precision.ok());
  const auto form = AbsorbForm(*belief, *precision, gram, cross);
  ASSERT_TRUE(form.ok());
  std::vector<double> identity(kWidth * kWidth);
  for (size_t i = 0; i < kWidth; ++i) identity[i * kWidth + i] = 1;
  const std::vector<double> covariance =
      CovarianceOf(*belief, kernel, *update, identity);
  for (size_t i = 0; i < kWidth; ++i) {
    EXPECT_NEAR(form->mean[i], update->mean[i], 1e-7);
    for (size_t j = 0; j < kWidth; ++j) {
      EXPECT_NEAR(form->covariance[i * kWidth + j], covariance[i * kWidth + j],
                  1e-7);
    }
  }
}

// Cuts a run in intervals whose times add up to it.
Evidence Cut(const Evidence& run, int pieces, std::mt19937_64& random) {
  Evidence out = run;
  out.totals.clear();
  for (int k = 0; k < pieces; ++k) {
    Total t = run.totals[0];
    const double share = (k + 1.0) / (pieces * (pieces + 1) / 2.0);
    for (double& s : t.sum) s *= share;
    t.time *=
        share * std::uniform_real_distribution<double>(0.97, 1.03)(random);
    out.totals.push_back(t);
  }
  return out;
}

TEST_F(LearnFromTimesTest, LeavesOutAWholeProgram) {
  std::vector<Evidence> runs = Runs(6, 0.05);
  runs[2] = Cut(runs[2], 4, random_);
  const auto all = LearnFromTimes(runs, known_, {});
  ASSERT_TRUE(all.ok());
  // The same system without program 2: noise held where it was chosen.
  std::vector<std::vector<double>> vectors;
  for (const KnownVector& k : known_) vectors.push_back(k.vector);
  std::vector<double> mean(kWidth);
  for (const Evidence& e : runs) {
    for (const Total& t : e.totals) {
      for (size_t i = 0; i < kWidth; ++i) mean[i] += t.sum[i] / 6e5;
    }
  }
  const auto belief = BeliefOfKnown(vectors, mean);
  ASSERT_TRUE(belief.ok());
  TimesEvidence times;
  for (int p = 0; p < 6; ++p) {
    if (p == 2) continue;
    const Total& t = runs[p].totals[0];
    for (double s : t.sum) times.rows.push_back(s * all->scale / t.time);
    times.values.push_back(1);
    times.variances.push_back(all->noise * all->noise);
  }
  const auto update =
      AbsorbTimes(*belief, MakeKernel(*belief, times.rows), times);
  ASSERT_TRUE(update.ok());
  double expected = 0;
  for (const Total& t : runs[2].totals) {
    expected += all->scale * Dot(t.sum, update->mean);
  }
  EXPECT_NEAR(all->programs[2].left_out / expected, 1, 1e-6);
}

// Per-instruction evidence and a total in one objective: where its gradient is
// zero, m − μ = −Σ (w (G m − b/s) + x (x·m − 1)/σ²).
TEST_F(LearnFromTimesTest, MixesInstructionsAndTotals) {
  Evidence e;
  e.program = "traced";
  e.instructions = 500;
  e.gram.assign(kWidth * kWidth, 0);
  e.cross.assign(kWidth, 0);
  Total t;
  t.sum.assign(kWidth, 0);
  for (int n = 0; n < 500; ++n) {
    const std::vector<double> r = ProgramSum(1);
    const double latency = Dot(r, machine_) * Uniform(0, 2);
    t.time += latency;
    for (size_t i = 0; i < kWidth; ++i) {
      t.sum[i] += r[i];
      e.cross[i] += r[i] * latency;
      for (size_t j = 0; j < kWidth; ++j) e.gram[i * kWidth + j] += r[i] * r[j];
    }
  }
  e.totals.push_back(t);
  const auto learned = LearnFromTimes({e}, known_, {});
  ASSERT_TRUE(learned.ok()) << learned.status();
  std::vector<std::vector<double>> vectors;
  for (const KnownVector& k : known_) vectors.push_back(k.vector);
  std::vector<double> mean = t.sum;
  for (double& x : mean) x /= e.instructions;
  const auto belief = BeliefOfKnown(vectors, mean);
  ASSERT_TRUE(belief.ok());
  std::vector<double> m = learned->vector;
  for (double& x : m) x /= learned->scale;
  const double w = 1000 * learned->scale / t.time;
  std::vector<double> row = t.sum;
  for (double& x : row) x *= learned->scale / t.time;
  const double pull = (Dot(row, m) - 1) / (learned->noise * learned->noise);
  std::vector<double> gradient(kWidth);
  for (size_t i = 0; i < kWidth; ++i) {
    gradient[i] = pull * row[i] - w * e.cross[i] / learned->scale;
    for (size_t j = 0; j < kWidth; ++j) {
      gradient[i] += w * e.gram[i * kWidth + j] * m[j];
    }
  }
  for (size_t i = 0; i < kWidth; ++i) {
    double step = 0;
    for (size_t j = 0; j < kWidth; ++j) {
      step -= belief->covariance[i * kWidth + j] * gradient[j];
    }
    EXPECT_NEAR(m[i] - belief->mean[i], step, 1e-7);
  }
}

TEST_F(LearnFromTimesTest, SetsAnOutlierAside) {
  std::vector<Evidence> runs = Runs(12, 0.02);
  const auto clean = LearnFromTimes(runs, known_, {});
  runs[3].totals[0].time *= 1000;  // microseconds taken for milliseconds
  const auto learned = LearnFromTimes(runs, known_, {});
  ASSERT_TRUE(clean.ok() && learned.ok());
  for (size_t p = 0; p < runs.size(); ++p) {
    EXPECT_EQ(learned->programs[p].set_aside, p == 3) << p;
  }
  EXPECT_THAT(learned->warnings,
              Contains(HasSubstr("p3 was set aside: its time is ")));
  EXPECT_NEAR(learned->left_out_error, clean->left_out_error, 0.02);
}

TEST_F(LearnFromTimesTest, TellsContradictions) {
  std::vector<Evidence> runs = Runs(10);
  runs.push_back(runs[0]);
  runs.back().totals[0].time *= 1.3;
  const auto twice = LearnFromTimes(runs, known_, {});
  ASSERT_TRUE(twice.ok());
  EXPECT_THAT(twice->warnings,
              Contains(HasSubstr("p0 was given twice, with times that differ "
                                 "by a factor of 1.3")));

  const auto noisy = LearnFromTimes(Runs(30, 0.4), known_, {});
  ASSERT_TRUE(noisy.ok());
  EXPECT_GT(noisy->noise, 0.15);
  EXPECT_THAT(noisy->warnings, Contains(HasSubstr("contradict one another")));

  runs = Runs(6);
  runs[1].totals[0].noise = 0.5;
  const auto scattered = LearnFromTimes(runs, known_, {});
  ASSERT_TRUE(scattered.ok());
  EXPECT_THAT(scattered->warnings,
              Contains(HasSubstr("p1: its repetitions scatter by 50 %")));
}

TEST_F(LearnFromTimesTest, TellsWhatTheEvidenceCannotDecide) {
  const auto few = LearnFromTimes(Runs(1), known_, {});
  ASSERT_TRUE(few.ok());
  EXPECT_THAT(few->warnings, Contains(HasSubstr("too little evidence")));
  EXPECT_EQ(few->left_out_error, 0);

  std::vector<Evidence> same(8, Run("p"));
  for (size_t p = 0; p < same.size(); ++p) {
    same[p].program = absl::StrCat("p", p);
    same[p].totals[0].time *= p + 1;
    for (double& s : same[p].totals[0].sum) s *= p + 1;
  }
  const auto one = LearnFromTimes(same, known_, {});
  ASSERT_TRUE(one.ok());
  EXPECT_LT(one->determined_directions, 1.1);
  EXPECT_THAT(one->warnings, Contains(HasSubstr("8 programs span 1 dir")));
}

TEST_F(LearnFromTimesTest, KnowsAStrangeArchitecture) {
  const auto ordinary = LearnFromTimes(Runs(12), known_, {});
  ASSERT_TRUE(ordinary.ok());
  EXPECT_LT(ordinary->distance, 2);
  EXPECT_FALSE(StrangeArchitecture(ordinary->distance));
  for (size_t i = 0; i < kWidth; ++i) machine_[i] = i % 2 == 0 ? 9 : 0.1;
  const auto strange = LearnFromTimes(Runs(12), known_, {});
  ASSERT_TRUE(strange.ok());
  EXPECT_TRUE(StrangeArchitecture(strange->distance)) << strange->distance;
  EXPECT_THAT(strange->warnings, Contains(HasSubstr("unlike those known")));

  machine_ = known_[7].vector;
  for (double& m : machine_) m *= 3;
  const auto scaled = LearnFromTimes(Runs(12), known_, {});
  ASSERT_TRUE(scaled.ok());
  EXPECT_EQ(scaled->nearest, 7u);
  EXPECT_NEAR(scaled->nearest_ratio, 3, 0.01);
}

// Factors are those of the posterior: more evidence, less variance, and about
// right for a machine drawn like the known ones.
TEST_F(LearnFromTimesTest, TellsHowSureItIs) {
  LearnSettings settings;
  for (size_t i = 0; i < kWidth; ++i) {
    for (size_t j = 0; j < kWidth; ++j) settings.directions.push_back(i == j);
  }
  int within = 0, count = 0;
  for (int round = 0; round < 30; ++round) {
    machine_ = Mix(2);
    const auto learned = LearnFromTimes(Runs(4, 0.05), known_, settings);
    const auto more = LearnFromTimes(Runs(40, 0.05), known_, settings);
    ASSERT_TRUE(learned.ok() && more.ok());
    const auto deviation = [](const LearnedVector& l, const Evidence& e) {
      double variance = 0;
      for (size_t r = 0; r < kWidth; ++r) {
        const double f =
            Dot(e.totals[0].sum, {l.factors.begin() + r * kWidth,
                                  l.factors.begin() + (r + 1) * kWidth});
        variance += f * f;
      }
      return std::sqrt(variance);
    };
    for (int p = 0; p < 5; ++p, ++count) {
      const Evidence other = Run("other");
      const double error =
          Dot(other.totals[0].sum, learned->vector) - other.totals[0].time;
      within += std::fabs(error) < 1.645 * deviation(*learned, other);
      EXPECT_LT(deviation(*more, other), 1.2 * deviation(*learned, other));
    }
  }
  EXPECT_GT(within, count * 3 / 4);
}

TEST_F(LearnFromTimesTest, IsStoppedBetweenAnyTwoSolutions) {
  int asked = 0, stop_at = -1;
  LearnSettings settings;
  settings.stop = [&] { return asked++ == stop_at; };
  const std::vector<Evidence> runs = Runs(12);
  ASSERT_TRUE(LearnFromTimes(runs, known_, settings).ok());
  const int all = asked;
  EXPECT_GT(all, 8);  // one a noise level at least
  for (stop_at = 0; stop_at < all; ++stop_at) {
    asked = 0;
    EXPECT_EQ(LearnFromTimes(runs, known_, settings).status().code(),
              absl::StatusCode::kCancelled);
    EXPECT_EQ(asked, stop_at + 1);
  }
}

TEST_F(LearnFromTimesTest, NamesEvidenceThatMakesNoSense) {
  const auto message = [&](const std::vector<Evidence>& evidence) {
    const auto learned = LearnFromTimes(evidence, known_, {});
    EXPECT_EQ(learned.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(learned.status().message());
  };
  EXPECT_THAT(message({}), HasSubstr("found 0 programs"));
  std::vector<Evidence> runs = Runs(3);
  for (double time : std::vector<double>{0, -1, NAN, INFINITY}) {
    runs[1].totals[0].time = time;
    EXPECT_THAT(message(runs), HasSubstr("program p1: expected positive time"));
  }
  runs = Runs(3);
  runs[2].totals[0].sum.pop_back();
  EXPECT_THAT(message(runs), HasSubstr("p2: expected a vector of 12 numbers"));
  runs = Runs(3);
  runs[0].totals[0].sum[4] = NAN;
  EXPECT_THAT(message(runs), HasSubstr("program p0"));
  runs = Runs(3);
  runs[0].gram.assign(5, 1);
  EXPECT_THAT(message(runs), HasSubstr("p0: expected per-instruction sums"));
  runs = Runs(3);
  runs[0].totals.assign(3000, runs[0].totals[0]);
  EXPECT_THAT(message(runs), HasSubstr("at most 500"));
  known_.resize(1);
  EXPECT_THAT(message(Runs(3)), HasSubstr("at least two known"));
}

}  // namespace
}  // namespace perfvec::compute
