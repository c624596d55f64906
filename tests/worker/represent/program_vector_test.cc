#include "worker/represent/program_vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

const std::string kId(64, 'a');

ProgramVectorAccumulator Sum(const std::vector<std::vector<double>>& segments,
                             const std::vector<size_t>& which) {
  ProgramVectorAccumulator sum(kId, 3);
  for (size_t i : which) {
    const absl::Status s = sum.AddSegment(segments[i].data(), 1024);
    EXPECT_TRUE(s.ok()) << s;
  }
  return sum;
}

TEST(ProgramVectorTest, AnySplitAndOrderGivesTheSameBits) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  std::vector<std::vector<double>> segments;
  std::vector<size_t> order;
  for (size_t i = 0; i < 200; ++i) {
    std::vector<double> s(3);
    for (double& v : s) {
      v = std::ldexp(static_cast<double>(random() % 1000003) / 1000003,
                     static_cast<int>(random() % 40) - 30);
    }
    segments.push_back(s);
    order.push_back(i);
  }
  const std::string expected = Sum(segments, order).Serialize();
  for (int trial = 0; trial < 20; ++trial) {
    std::shuffle(order.begin(), order.end(), random);
    const size_t cut = random() % order.size();
    ProgramVectorAccumulator a =
        Sum(segments, {order.begin(), order.begin() + cut});
    const ProgramVectorAccumulator b =
        Sum(segments, {order.begin() + cut, order.end()});
    ASSERT_TRUE(a.Merge(b).ok());
    EXPECT_EQ(a.Serialize(), expected);
  }
}

TEST(ProgramVectorTest, RoundsToUnitsOnceAndBack) {
  ProgramVectorAccumulator sum(kId, 3);
  const double ulp = std::ldexp(1.0, -52);
  // Half a unit goes to even: down from 0.5, up from 1.5.
  const double segment[] = {1024, 0.5 * ulp, 1.5 * ulp};
  ASSERT_TRUE(sum.AddSegment(segment, 1024).ok());
  EXPECT_EQ(sum.Vector(), (std::vector<double>{1024, 0, 2 * ulp}));
  EXPECT_EQ(sum.instructions(), 1024);
}

// The bound of the header: 2^62 instructions of output 4096 neither overflow
// nor are refused, and one more is.
TEST(ProgramVectorTest, TheLargestSumFits) {
  ProgramVectorAccumulator sum(kId, 3);
  const uint64_t half = ProgramVectorAccumulator::kMaxInstructions / 2;
  const double segment[] = {4096 * static_cast<double>(half), 0, 1};
  ASSERT_TRUE(sum.AddSegment(segment, half).ok());
  ASSERT_TRUE(sum.Merge(ProgramVectorAccumulator(sum)).ok());
  EXPECT_EQ(sum.Vector(), (std::vector<double>{std::ldexp(1.0, 74), 0, 2}));
  EXPECT_TRUE(*ProgramVectorAccumulator::Parse(sum.Serialize()) == sum);
  const double one[] = {1, 1, 1};
  EXPECT_EQ(sum.AddSegment(one, 1).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(sum.Merge(sum).code(), absl::StatusCode::kOutOfRange);
}

TEST(ProgramVectorTest, ImpossibleSegmentsAreRefusedWhole) {
  ProgramVectorAccumulator sum(kId, 3);
  const std::string before = sum.Serialize();
  for (double bad : {-1e-300, 40960.001, std::nan(""),
                     std::numeric_limits<double>::infinity()}) {
    const double segment[] = {1, 2, bad};
    const absl::Status s = sum.AddSegment(segment, 10);
    EXPECT_EQ(s.code(), absl::StatusCode::kOutOfRange) << bad;
    EXPECT_THAT(std::string(s.message()), HasSubstr("element 2 in [0, 40960]"));
  }
  EXPECT_EQ(sum.Serialize(), before);
}

TEST(ProgramVectorTest, ModelsAndWidthsDoNotMix) {
  ProgramVectorAccumulator sum(kId, 3);
  EXPECT_EQ(sum.Merge(ProgramVectorAccumulator(std::string(64, 'b'), 3)).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(sum.Merge(ProgramVectorAccumulator(kId, 4)).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ProgramVectorTest, SerialisesAndRefusesDamage) {
  ProgramVectorAccumulator sum(kId, 3);
  const double segment[] = {1.25, 700, 0};
  ASSERT_TRUE(sum.AddSegment(segment, 1024).ok());
  const std::string bytes = sum.Serialize();
  EXPECT_EQ(bytes.size(), 48 + 3 * 16);
  absl::StatusOr<ProgramVectorAccumulator> parsed =
      ProgramVectorAccumulator::Parse(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(*parsed == sum);
  EXPECT_EQ(parsed->model_id(), kId);

  auto message = [](std::string damaged) {
    const absl::Status s = ProgramVectorAccumulator::Parse(damaged).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kDataLoss);
    return std::string(s.message());
  };
  for (size_t n = 0; n < bytes.size(); ++n) message(bytes.substr(0, n));
  EXPECT_THAT(message(bytes + "x"), HasSubstr("expected 96 bytes, found 97"));
  std::string b = bytes;
  b[0] = 'X';
  EXPECT_THAT(message(b), HasSubstr("does not start with PVAC"));
  b = bytes;
  b[4] = 2;
  EXPECT_THAT(message(b), HasSubstr("expected version 1, found 2"));
  b = bytes;
  b[6] = b[7] = 0;
  EXPECT_THAT(message(b), HasSubstr("width from 1"));
  b = bytes;
  b[15] = '\x7f';
  EXPECT_THAT(message(b), HasSubstr("instructions"));
  b = bytes;
  b[48 + 15] = '\xff';  // negative
  EXPECT_THAT(message(b), HasSubstr("element 0 is outside [0, 4096 * 1024]"));
  b = bytes;
  b[48 + 16 + 9] = 8;  // 2^75 units = 2 * 4096 * 1024
  EXPECT_THAT(message(b), HasSubstr("element 1 is outside [0, 4096 * 1024]"));
}

}  // namespace
}  // namespace perfvec::compute
