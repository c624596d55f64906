#include "worker/train/encoding.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/features/rich_schema.h"

namespace perfvec::train {
namespace {

using compute::InputColumn;
using Transform = InputColumn::Transform;

TrainingProgram TwoInstructions(const compute::FeatureSchema& schema) {
  constexpr size_t kInstructions = 14;  // every seventh is looked at: two
  std::vector<float> features(kInstructions * schema.count());
  for (size_t i = 0; i < kInstructions; ++i) {
    float* row = &features[i * schema.count()];
    row[compute::kFeatureOperation] = i < 7 ? 48 : 2;
    row[compute::kFeatureFetchDistance] = i < 7 ? 1e8f : 3;
    row[compute::kFeatureSources] = 1;
    row[compute::kFeatureSources + 1] = 31;
    if (schema.count() > compute::kFeatureCount) {
      row[compute::kRichGrowth] = i < 7 ? 15 : 1;
    }
  }
  const std::vector<uint16_t> latency(kInstructions, 1);
  auto rows = ProgramRows::FromArrays(features, latency, kInstructions);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return {"two", "two", kInstructions, *rows};
}

std::set<std::pair<int, Transform>> Columns(
    const compute::InputEncoding& encoding) {
  std::set<std::pair<int, Transform>> columns;
  for (const InputColumn& c : encoding.columns) {
    columns.insert({c.feature, c.transform});
  }
  return columns;
}

TEST(EncodingTest, RichFeaturesAreSeenAsTheirKindAsksFor) {
  const TrainingProgram program = TwoInstructions(compute::RichFeatureSchema());
  const compute::InputEncoding encoding = MakeEncoding(
      compute::RichFeatureSchema(), {{&program, 0, program.instructions}});
  EXPECT_EQ(encoding.feature_count, compute::kRichFeatureCount);
  const auto columns = Columns(encoding);
  auto has = [&columns](int feature, Transform t) {
    return columns.count({feature, t}) == 1;
  };
  EXPECT_TRUE(has(compute::kFeatureOperation, Transform::kEquals));
  EXPECT_TRUE(has(compute::kRichGrowth, Transform::kLog2OnePlus));
  EXPECT_FALSE(has(compute::kRichGrowth, Transform::kEquals));
  EXPECT_TRUE(has(compute::kRichDataDistance, Transform::kLog2OnePlus));
  EXPECT_TRUE(has(compute::kRichDataDistance, Transform::kEquals));
  EXPECT_TRUE(has(compute::kRichAfterTaken, Transform::kIdentity));
  // Registers: the class only.
  EXPECT_TRUE(has(compute::kFeatureSources, Transform::kBit));
  EXPECT_FALSE(has(compute::kFeatureSources + 1, Transform::kBit));
  EXPECT_FALSE(has(compute::kFeatureSources, Transform::kIdentity));
  // Values 15 and 1 are 4 and 1 in log2(1 + x): mean 2.5, deviation 1.5.
  for (const InputColumn& c : encoding.columns) {
    if (c.feature != compute::kRichGrowth) continue;
    EXPECT_FLOAT_EQ(c.mean, 2.5f);
    EXPECT_FLOAT_EQ(c.deviation, 1.5f);
  }
  // No column turns a rare event into a huge input.
  for (const InputColumn& c : encoding.columns) EXPECT_GE(c.deviation, 0.1f);
}

TEST(EncodingTest, PublishedFeaturesKeepTheirColumns) {
  const TrainingProgram program =
      TwoInstructions(compute::PublishedFeatureSchema());
  const compute::InputEncoding encoding = MakeEncoding(
      compute::PublishedFeatureSchema(), {{&program, 0, program.instructions}});
  EXPECT_EQ(encoding.feature_count, compute::kFeatureCount);
  // 50 features, 2 operations, 5 registers of 3 + 7 bits, 3 first accesses.
  EXPECT_EQ(encoding.width(), 50u + 2 + 50 + 3);
  const auto columns = Columns(encoding);
  EXPECT_EQ(columns.count({compute::kFeatureSources + 1, Transform::kBit}), 1u);
  EXPECT_EQ(columns.count(
                {compute::kFeatureReuseInstructions, Transform::kLog2OnePlus}),
            1u);
}

TEST(EncodingTest, RawInputsAreTheFeaturesThemselves) {
  const compute::FeatureSchema& schema = compute::PublishedFeatureSchema();
  const TrainingProgram program = TwoInstructions(schema);
  const compute::InputEncoding encoding =
      MakeRawEncoding(schema, {{&program, 0, program.instructions}});
  ASSERT_EQ(encoding.width(), schema.count());
  for (size_t c = 0; c < encoding.width(); ++c) {
    EXPECT_EQ(encoding.columns[c].feature, static_cast<int>(c));
    EXPECT_EQ(encoding.columns[c].transform, Transform::kIdentity);
  }
  const InputColumn& operation = encoding.columns[compute::kFeatureOperation];
  EXPECT_FLOAT_EQ(operation.mean, 25);
  EXPECT_FLOAT_EQ(operation.deviation, 23);
  // Constant columns, whatever their value.
  EXPECT_FLOAT_EQ(encoding.columns[compute::kFeatureSources].mean, 1);
  EXPECT_FLOAT_EQ(encoding.columns[compute::kFeatureSources].deviation, 1);
  EXPECT_FLOAT_EQ(encoding.columns[compute::kFeatureTaken].deviation, 1);
}

}  // namespace
}  // namespace perfvec::train
