#include "worker/model/input_encoding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace perfvec::compute {
namespace {

using Transform = InputColumn::Transform;

float EncodeOne(InputColumn column, float x) {
  InputEncoding encoding;
  encoding.columns = {column};
  std::vector<float> features(kFeatureCount, -1);
  features[static_cast<size_t>(column.feature)] = x;
  float input = 0;
  encoding.Encode(features.data(), 1, &input);
  return input;
}

TEST(InputEncodingTest, EachTransform) {
  EXPECT_EQ(EncodeOne({3, Transform::kIdentity, 0, 2, 4}, 10), 2);
  EXPECT_EQ(EncodeOne({18, Transform::kLog2OnePlus, 0, 1, 2}, 1023), 4.5);
  EXPECT_EQ(EncodeOne({1, Transform::kEquals, 48, 0, 1}, 48), 1);
  EXPECT_EQ(EncodeOne({1, Transform::kEquals, 48, 0.5f, 0.5f}, 47), -1);
  EXPECT_EQ(EncodeOne({24, Transform::kBit, 3, 0, 1}, 8 + 1), 1);
  EXPECT_EQ(EncodeOne({24, Transform::kBit, 1, 0, 1}, 8 + 1), 0);
  EXPECT_EQ(EncodeOne({24, Transform::kBit, 1, 0, 1}, -5), 0);
  EXPECT_EQ(EncodeOne({24, Transform::kBit, 1, 0, 1}, 1e20f), 0);
}

TEST(InputEncodingTest, RowsAndColumnsInOrder) {
  InputEncoding encoding;
  encoding.columns = {{50, Transform::kIdentity, 0, 0, 1},
                      {0, Transform::kIdentity, 0, 0, 1}};
  std::vector<float> features(2 * kFeatureCount);
  for (size_t i = 0; i < features.size(); ++i) features[i] = 1.0f * i;
  float inputs[4];
  encoding.Encode(features.data(), 2, inputs);
  EXPECT_THAT(inputs, ::testing::ElementsAre(50, 0, 101, 51));
}

TEST(InputEncodingTest, RowsAreAsLongAsTheSchema) {
  InputEncoding encoding;
  encoding.feature_count = 60;
  encoding.columns = {{59, Transform::kIdentity, 0, 0, 1}};
  std::vector<float> features(2 * 60);
  for (size_t i = 0; i < features.size(); ++i) features[i] = 1.0f * i;
  float inputs[2];
  encoding.Encode(features.data(), 2, inputs);
  EXPECT_THAT(inputs, ::testing::ElementsAre(59, 119));
}

// Within half a unit of the true value, and a hair for the double's own error.
TEST(InputEncodingTest, Log2IsRightToFloat) {
  const InputColumn column{18, Transform::kLog2OnePlus, 0, 0, 1};
  for (float x = 0; x < 3e8f; x = x * 1.01f + 1) {
    const double expected = std::log2(1.0 + double{x});
    const float got = EncodeOne(column, x);
    const float ulp = std::nextafter(got, 1e9f) - got;
    EXPECT_NEAR(got, expected, 0.5001 * ulp) << x;
  }
  for (float x : {0.0f, 0.5f, -0.5f, 1e-3f, 1e30f}) {
    EXPECT_NEAR(EncodeOne(column, x), std::log2(1.0 + double{x}), 1e-5) << x;
  }
  EXPECT_TRUE(std::isnan(EncodeOne(column, -1.0f)));
  EXPECT_TRUE(std::isnan(EncodeOne(column, NAN)));
  EXPECT_TRUE(std::isinf(EncodeOne(column, INFINITY)));
}

}  // namespace
}  // namespace perfvec::compute
