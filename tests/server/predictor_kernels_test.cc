#include <cmath>
#include <cstring>
#include <iostream>
#include <random>
#include <tuple>

#include "gtest/gtest.h"
#include "server/predictor/kernels.h"
#include "server/predictor/vector_table.h"

namespace perfvec::server {
namespace {

// Values as unlike one another as real vectors are: sums over 1e9
// instructions against parameters of either sign.
AlignedFloats RandomPanels(int64_t panels, int64_t width,
                           std::mt19937& random) {
  AlignedFloats values = NewAlignedFloats(panels * kPanelRows * width);
  std::lognormal_distribution<float> size(0, 4);
  std::bernoulli_distribution negative(0.3);
  for (int64_t i = 0; i < panels * kPanelRows * width; ++i) {
    values[i] = negative(random) ? -size(random) : size(random);
  }
  return values;
}

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

class KernelsTest : public testing::TestWithParam<std::tuple<int, int, int>> {};

TEST_P(KernelsTest, AllGiveTheBitsOfTheFusedSumInOrder) {
  const auto [x_panels, y_panels, width] = GetParam();
  const uint32_t seed = 20261121 + width;
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  const AlignedFloats x = RandomPanels(x_panels, width, random);
  const AlignedFloats y = RandomPanels(y_panels, width, random);
  const int64_t columns = y_panels * kPanelRows;

  for (const Kernels* kernels : SupportedKernels()) {
    SCOPED_TRACE(kernels->name);
    std::vector<float> matrix(x_panels * kPanelRows * columns);
    kernels->matrix(x.get(), x_panels, y.get(), y_panels, width, matrix.data());
    std::vector<float> ranked(columns);
    for (int64_t i = 0; i < x_panels * kPanelRows; ++i) {
      const float* row =
          &x[i / kPanelRows * kPanelRows * width + i % kPanelRows];
      std::vector<float> alone(width);
      for (int64_t k = 0; k < width; ++k) alone[k] = row[k * kPanelRows];
      kernels->rank(alone.data(), y.get(), y_panels, width, ranked.data());
      for (int64_t j = 0; j < columns; ++j) {
        const float* column =
            &y[j / kPanelRows * kPanelRows * width + j % kPanelRows];
        std::vector<float> other(width);
        float expected = 0;
        double exact = 0, size = 0;
        for (int64_t k = 0; k < width; ++k) {
          const float b = other[k] = column[k * kPanelRows];
          expected = std::fma(alone[k], b, expected);
          exact += static_cast<double>(alone[k]) * b;
          size += std::fabs(static_cast<double>(alone[k]) * b);
        }
        const float unary = kernels->dot(alone.data(), other.data(), width);
        ASSERT_EQ(Bits(unary), Bits(expected)) << i << ", " << j;
        ASSERT_EQ(Bits(ranked[j]), Bits(expected)) << i << ", " << j;
        ASSERT_EQ(Bits(matrix[i * columns + j]), Bits(expected))
            << i << ", " << j;
        ASSERT_NEAR(unary, exact, 1e-5 * size);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, KernelsTest,
    testing::Values(std::make_tuple(1, 1, 1), std::make_tuple(1, 1, 256),
                    std::make_tuple(1, 2, 3), std::make_tuple(2, 3, 256),
                    std::make_tuple(3, 14, 64), std::make_tuple(1, 17, 255)));

TEST(KernelsTest, TheBestIsTheLastSupported) {
  EXPECT_STREQ(SupportedKernels().front()->name, "generic");
  EXPECT_EQ(&BestKernels(), SupportedKernels().back());
}

TEST(KernelsTest, OverflowIsInfiniteInAll) {
  const int width = 4;
  AlignedFloats x = NewAlignedFloats(kPanelRows * width);
  for (int i = 0; i < kPanelRows * width; ++i) x[i] = 3e38f;
  for (const Kernels* kernels : SupportedKernels()) {
    EXPECT_TRUE(std::isinf(kernels->dot(x.get(), x.get(), width)));
  }
}

TEST(VectorTableTest, PackGathersRowsAndPadsWithZeros) {
  const int64_t width = 5;
  VectorTable table(width);
  std::vector<float> values(width);
  for (int64_t row = 0; row < 2000; ++row) {
    for (int64_t k = 0; k < width; ++k) values[k] = row * 10 + k;
    ASSERT_EQ(table.Append(values.data(), nullptr, row, 1, kNoEnd), row);
  }
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < 19; ++i) rows.push_back((i * 787) % 2000);
  AlignedFloats panels = NewAlignedFloats(2 * kPanelRows * width);
  for (int i = 0; i < 2 * kPanelRows * width; ++i) panels[i] = -1;
  table.Pack(rows.data(), rows.size(), panels.get());
  for (int64_t i = 0; i < 2 * kPanelRows; ++i) {
    for (int64_t k = 0; k < width; ++k) {
      const float expected = i < 19 ? rows[i] * 10 + k : 0;
      EXPECT_EQ(panels[i / 16 * 16 * width + k * 16 + i % 16], expected);
    }
  }
}

}  // namespace
}  // namespace perfvec::server
