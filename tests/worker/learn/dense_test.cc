#include "worker/learn/dense.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace perfvec::compute {
namespace {

constexpr size_t kSize = 30;

std::vector<double> Positive(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(kSize * kSize), a(kSize * kSize);
  for (double& v : x) v = normal(random);
  for (size_t i = 0; i < kSize; ++i) {
    for (size_t j = 0; j < kSize; ++j) {
      for (size_t k = 0; k < kSize; ++k) {
        a[i * kSize + j] += x[i * kSize + k] * x[j * kSize + k];
      }
    }
    a[i * kSize + i] += 0.1;
  }
  return a;
}

TEST(DenseTest, SolvesForSeveralRightSides) {
  const std::vector<double> a = Positive(1);
  std::vector<double> x(kSize * 2), b(kSize * 2);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(i);
  for (size_t i = 0; i < kSize; ++i) {
    for (size_t k = 0; k < kSize; ++k) {
      for (size_t c = 0; c < 2; ++c) {
        b[i * 2 + c] += a[i * kSize + k] * x[k * 2 + c];
      }
    }
  }
  ASSERT_TRUE(CholeskySolve(a, kSize, b, 2));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(b[i], x[i], 1e-8) << i;
}

TEST(DenseTest, InverseIsTheSolutionForTheIdentity) {
  const std::vector<double> a = Positive(3);
  std::vector<double> solved(kSize * kSize), inverse = a;
  for (size_t i = 0; i < kSize; ++i) solved[i * kSize + i] = 1;
  double expected = 0, found = 0;
  ASSERT_TRUE(CholeskySolve(a, kSize, solved, kSize, &expected));
  ASSERT_TRUE(CholeskyInverse(inverse, kSize, &found));
  EXPECT_DOUBLE_EQ(found, expected);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(inverse[i], solved[i], 1e-9) << i;
  }
  std::vector<double> one = {4}, none;
  ASSERT_TRUE(CholeskyInverse(one, 1));
  EXPECT_DOUBLE_EQ(one[0], 0.25);
  EXPECT_TRUE(CholeskyInverse(none, 0));
}

TEST(DenseTest, RefusesWhatIsNotPositiveDefinite) {
  std::vector<double> b = {1, 1}, indefinite = {1, 2, 2, 1};
  EXPECT_FALSE(CholeskyInverse(indefinite, 2));
  EXPECT_FALSE(CholeskySolve({1, 2, 2, 1}, 2, b, 1));
  EXPECT_FALSE(CholeskySolve({0, 0, 0, 0}, 2, b, 1));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(CholeskySolve({1, nan, nan, 1}, 2, b, 1));
}

TEST(DenseTest, EigenvectorsAreOrthonormalAndRebuildTheMatrix) {
  const std::vector<double> a = Positive(2);
  const Eigen e = SymmetricEigen(a, kSize);
  std::vector<double> rebuilt(kSize * kSize);
  for (size_t r = 0; r < kSize; ++r) {
    EXPECT_LE(e.values[r], e.values[r > 0 ? r - 1 : 0]);
    for (size_t i = 0; i < kSize; ++i) {
      for (size_t j = 0; j < kSize; ++j) {
        rebuilt[i * kSize + j] +=
            e.values[r] * e.vectors[r * kSize + i] * e.vectors[r * kSize + j];
      }
    }
    for (size_t q = 0; q <= r; ++q) {
      double dot = 0;
      for (size_t i = 0; i < kSize; ++i) {
        dot += e.vectors[r * kSize + i] * e.vectors[q * kSize + i];
      }
      EXPECT_NEAR(dot, r == q ? 1 : 0, 1e-10);
    }
  }
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(rebuilt[i], a[i], 1e-8);
}

}  // namespace
}  // namespace perfvec::compute
