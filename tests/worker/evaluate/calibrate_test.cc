// Calibration and the study of learning, on programs made of a few kinds of
// work with errors of known size.
#include "worker/evaluate/calibrate.h"

#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/evaluate/learn_study.h"

namespace perfvec::train {
namespace {

using ::testing::HasSubstr;

constexpr size_t kWidth = 10;
constexpr size_t kArchitectures = 12;

class CalibrateTest : public testing::Test {
 protected:
  CalibrateTest() {
    for (size_t a = 0; a < kArchitectures; ++a) {
      names_.push_back(absl::StrCat("a", a));
      const double scale = Uniform(1, 5), lean = Uniform(0.2, 2);
      for (size_t i = 0; i < kWidth; ++i) {
        vectors_.push_back(scale * (i % 2 == 0 ? lean : 1) * (1 + 0.1 * i));
      }
    }
  }

  double Uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }

  // log(time / predicted) is normal with this deviation.
  ProgramRow Row(const std::string& name, bool trained, double deviation,
                 double shift = 0) {
    ProgramRow row;
    row.name = row.family = name;
    row.trained = trained;
    row.instructions = 1e5;
    for (size_t i = 0; i < kWidth; ++i) {
      row.vector.push_back(row.instructions *
                           std::exp(Uniform(-3, -1) + (i == 0 ? shift : 0)));
    }
    for (size_t a = 0; a < kArchitectures; ++a) {
      double time = 0;
      for (size_t i = 0; i < kWidth; ++i) {
        time += row.vector[i] * vectors_[a * kWidth + i];
      }
      row.times.push_back(
          time *
          std::exp(deviation * std::normal_distribution<double>()(random_)));
    }
    return row;
  }
  std::vector<ProgramRow> Rows(int left_out, double deviation) {
    std::vector<ProgramRow> rows;
    for (int p = 0; p < 40; ++p) {
      rows.push_back(Row(absl::StrCat("t", p), true, 0.02));
    }
    for (int p = 0; p < left_out; ++p) {
      rows.push_back(Row(absl::StrCat("l", p), false, deviation));
    }
    return rows;
  }

  std::mt19937_64 random_{3};
  std::vector<double> vectors_;
  std::vector<std::string> names_;
};

TEST_F(CalibrateTest, QuantilesAreThoseOfTheErrors) {
  const auto rows = Rows(40, 0.1);
  const auto c = Calibrate(rows, vectors_, names_);
  ASSERT_TRUE(c.ok()) << c.status();
  // 480 errors: the 90 % quantile of |N(0, 0.1)| is 0.164.
  double mean_spread = 0;
  for (const ProgramRow& row : rows) {
    if (!row.trained) {
      mean_spread +=
          c->Spread(c->Distance(row.vector.data(), row.instructions)) / 40;
    }
  }
  EXPECT_NEAR(c->Quantile(0.9) * mean_spread, 0.164, 0.03);
  EXPECT_NEAR(c->noise, 0.1, 0.02);
  const auto back = compute::ParseCalibration(
      compute::SerializeCalibration(*c, kWidth), kWidth);
  EXPECT_TRUE(back.ok()) << back.status();
  // Directions are orthonormal.
  for (size_t a = 0; a < c->directions.size(); a += kWidth) {
    for (size_t b = 0; b < c->directions.size(); b += kWidth) {
      double dot = 0;
      for (size_t i = 0; i < kWidth; ++i) {
        dot += c->directions[a + i] * c->directions[b + i];
      }
      EXPECT_NEAR(dot, a == b, 1e-6);
    }
  }
}

TEST_F(CalibrateTest, FamiliesLeftOutAreCovered) {
  const auto result = LeaveFamiliesOut(Rows(40, 0.1), vectors_, names_, 0.9);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_NEAR(result->coverage, 0.9, 0.04);
  EXPECT_LT(result->coverage_interval.low, result->coverage);
  EXPECT_EQ(result->programs.size(), 40u);
  // The limit lets one good prediction in ten be flagged.
  EXPECT_LT(result->small_flagged, 0.2 * result->small);
}

TEST_F(CalibrateTest, FlagsProgramsUnlikeTheTrainingSet) {
  auto rows = Rows(30, 0.05);
  for (int p = 0; p < 3; ++p) {
    rows.push_back(Row(absl::StrCat("strange", p), false, 0.8, 6));
  }
  const auto result = LeaveFamiliesOut(rows, vectors_, names_, 0.9);
  ASSERT_TRUE(result.ok()) << result.status();
  for (const LeftOutResult::Program& p : result->programs) {
    if (p.name.substr(0, 7) == "strange") {
      EXPECT_GT(p.flagged, 0.9) << p.name;
    }
  }
  EXPECT_GT(result->large_flagged, 0.8 * result->large);
}

// On two of the machines errors are five times those on the others: that
// shows on the training programs, and decides whom the flag meets.
TEST_F(CalibrateTest, FlagsMoreWhereErrorsAreLarger) {
  auto rows = Rows(40, 0.05);
  for (ProgramRow& row : rows) {
    for (size_t a = 0; a < 2; ++a) {
      double predicted = 0;
      for (size_t i = 0; i < kWidth; ++i) {
        predicted += row.vector[i] * vectors_[a * kWidth + i];
      }
      row.times[a] = predicted * std::pow(row.times[a] / predicted, 5);
    }
  }
  const auto c = Calibrate(rows, vectors_, names_);
  ASSERT_TRUE(c.ok()) << c.status();
  for (size_t a = 0; a < kArchitectures; ++a) {
    EXPECT_NEAR(std::log(c->ErrorFactor(names_[a])),
                std::log(a < 2 ? 5 : 1) - std::log(5) / 6, 0.4);
  }
  const auto result = LeaveFamiliesOut(rows, vectors_, names_, 0.9);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->large, 20u);
  EXPECT_GT(result->large_flagged, 0.5 * result->large);
  EXPECT_LT(result->small_flagged, 0.2 * result->small);
}

TEST_F(CalibrateTest, NeedsProgramsOfBothKinds) {
  const auto few = Calibrate(Rows(2, 0.1), vectors_, names_);
  EXPECT_EQ(few.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(few.status().message(), HasSubstr("found 40 and 2"));
}

TEST_F(CalibrateTest, StudyLearnsEachAsIfItWereNotKnown) {
  const auto rows = Rows(10, 0.02);
  LearnStudyOptions options;
  options.runs = {3, 20, 100};
  options.draws = 3;
  auto calibration = Calibrate(rows, vectors_, names_);
  ASSERT_TRUE(calibration.ok());
  options.calibration = *calibration;
  std::vector<compute::KnownVector> known;
  std::vector<size_t> columns;
  std::vector<LearnTarget> targets;
  for (size_t a = 0; a < kArchitectures; ++a) {
    known.push_back(
        {absl::StrCat("a", a),
         {vectors_.begin() + a * kWidth, vectors_.begin() + (a + 1) * kWidth}});
    columns.push_back(a);
    targets.push_back({a, a});
  }
  const auto study = StudyLearning(rows, known, columns, targets, options);
  ASSERT_TRUE(study.ok()) << study.status();
  ASSERT_EQ(study->size(), 2u);  // 100 runs of 50 programs cannot be given
  EXPECT_EQ((*study)[0].trials, 3 * kArchitectures);
  EXPECT_LT((*study)[1].error, 0.03);
  EXPECT_LE((*study)[1].error, (*study)[1].nearest);
  EXPECT_LT((*study)[1].regression, 0.05);
  EXPECT_GT((*study)[1].coverage, 0.8);
}

}  // namespace
}  // namespace perfvec::train
