#include "worker/represent/cpu_representer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/reference_lstm.h"

namespace perfvec::compute {
namespace {

constexpr uint64_t kSeed = 20261121;

std::shared_ptr<const FoundationModel> Model(int layers, int width,
                                             double scale = 1,
                                             bool bias = true) {
  Manifest m = SmallManifest(layers, width);
  m.bias = bias;
  absl::StatusOr<FoundationModel> model = RandomModel(m, kSeed, scale);
  EXPECT_TRUE(model.ok()) << model.status();
  return std::make_shared<const FoundationModel>(*std::move(model));
}

std::vector<double> RunLanes(
    const std::shared_ptr<const FoundationModel>& model,
    const std::vector<float>& inputs, const std::vector<Lane>& lanes,
    const CpuOptions& options) {
  auto back_end = MakeCpuRepresenter(model, options);
  EXPECT_TRUE(back_end.ok()) << back_end.status();
  std::vector<double> sums(lanes.size() *
                           static_cast<size_t>(model->manifest().width));
  const absl::Status s = (*back_end)->Run({inputs.data(), lanes}, sums.data());
  EXPECT_TRUE(s.ok()) << s;
  return sums;
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

std::vector<InstructionSet> Supported() {
  std::vector<InstructionSet> sets;
  for (InstructionSet set : {InstructionSet::kGeneric, InstructionSet::kAvx2,
                             InstructionSet::kAvx512}) {
    if (CpuSupports(set)) sets.push_back(set);
  }
  return sets;
}

// Lanes of many lengths, some starting before row 0, one keeping nothing.
std::vector<Lane> MixedLanes() {
  std::vector<Lane> lanes = {{0, 40, 40}, {-7, 8, 1}, {30, 1, 1}, {5, 20, 0}};
  for (int i = 0; i < 15; ++i) lanes.push_back({2 * i, 30 - i, 1 + i});
  return lanes;
}

struct Shape {
  int layers, width;
  double scale;
  bool bias;
};

class CpuRepresenterShapeTest : public ::testing::TestWithParam<Shape> {};

TEST_P(CpuRepresenterShapeTest, AgreesWithTheDefinition) {
  RecordProperty("seed", std::to_string(kSeed));
  const Shape shape = GetParam();
  auto model = Model(shape.layers, shape.width, shape.scale, shape.bias);
  const std::vector<float> inputs =
      RandomRows(80 * model->manifest().inputs.width(), kSeed);
  const std::vector<Lane> lanes = MixedLanes();
  const std::vector<double> expected =
      ReferenceSums(*model, inputs.data(), lanes);
  for (InstructionSet set : Supported()) {
    const std::vector<double> sums = RunLanes(model, inputs, lanes, {1, set});
    for (size_t i = 0; i < sums.size(); ++i) {
      const int kept = lanes[i / static_cast<size_t>(shape.width)].kept;
      EXPECT_NEAR(sums[i], expected[i], 1e-5 * std::max(1, kept))
          << "set " << static_cast<int>(set) << ", lane "
          << i / static_cast<size_t>(shape.width);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CpuRepresenterShapeTest,
                         ::testing::Values(Shape{1, 1, 1, true},
                                           Shape{2, 8, 1, true},
                                           Shape{1, 16, 3, false},
                                           Shape{3, 17, 1, true},
                                           Shape{2, 64, 2, true}));

TEST(CpuRepresenterTest, SaturatedGatesStayExact) {
  auto model = Model(1, 8, /*scale=*/500);
  const std::vector<float> inputs =
      RandomRows(60 * model->manifest().inputs.width(), kSeed, 50);
  const std::vector<Lane> lanes = {{0, 60, 60}, {10, 50, 1}};
  const std::vector<double> expected =
      ReferenceSums(*model, inputs.data(), lanes);
  const std::vector<double> sums =
      RunLanes(model, inputs, lanes, {1, InstructionSet::kBest});
  for (size_t i = 0; i < sums.size(); ++i) {
    EXPECT_NEAR(sums[i], expected[i], 1e-3) << i;
  }
}

TEST(CpuRepresenterTest, PassedInputsTakeThePlaceOfTheFirstElements) {
  constexpr int kWidth = 8, kPassed = 3;
  auto model = [](int passed) {
    return std::make_shared<const FoundationModel>(
        *RandomModel(SmallCoresManifest(2, kWidth, passed), kSeed));
  };
  auto passing = model(kPassed), plain = model(0);
  const size_t columns = passing->manifest().inputs.width();
  std::vector<float> inputs = RandomRows(80 * columns, kSeed);
  for (float& x : inputs) x = std::abs(x);
  const std::vector<Lane> lanes = MixedLanes();
  size_t rows = 0;
  for (const Lane& lane : lanes) rows += lane.kept;
  std::vector<float> outputs[2];
  std::vector<double> sums[2];
  for (int i = 0; i < 2; ++i) {
    outputs[i].resize(rows * kWidth);
    sums[i].resize(lanes.size() * kWidth);
    auto back_end = *MakeCpuRepresenter(i == 0 ? passing : plain, {});
    const absl::Status s = back_end->Run(
        {inputs.data(), lanes, outputs[i].data()}, sums[i].data());
    ASSERT_TRUE(s.ok()) << s;
  }
  const float* output[2] = {outputs[0].data(), outputs[1].data()};
  for (size_t l = 0; l < lanes.size(); ++l) {
    double expected[kPassed] = {};
    for (int r = lanes[l].first_row + lanes[l].steps - lanes[l].kept;
         r < lanes[l].first_row + lanes[l].steps; ++r) {
      for (int k = 0; k < kWidth; ++k) {
        if (k >= kPassed) {
          EXPECT_EQ(output[0][k], output[1][k]);
          continue;
        }
        const float x = r < 0 ? 0 : inputs[(r + 1) * columns - kPassed + k];
        EXPECT_EQ(output[0][k], x);
        expected[k] += x;
      }
      for (const float*& o : output) o += kWidth;
    }
    for (int k = 0; k < kWidth; ++k) {
      EXPECT_EQ(sums[0][l * kWidth + k],
                k < kPassed ? expected[k] : sums[1][l * kWidth + k]);
    }
  }
}

TEST(CpuRepresenterTest, AllInstructionSetsGiveTheSameBits) {
  auto model = Model(2, 40);
  const std::vector<float> inputs =
      RandomRows(80 * model->manifest().inputs.width(), kSeed);
  const std::vector<double> expected =
      RunLanes(model, inputs, MixedLanes(), {1, InstructionSet::kGeneric});
  for (InstructionSet set : Supported()) {
    EXPECT_TRUE(
        SameBits(RunLanes(model, inputs, MixedLanes(), {1, set}), expected))
        << static_cast<int>(set);
  }
  if (Supported().size() < 3) GTEST_SKIP() << "this CPU has not all sets";
}

// Windows share the input part of their rows: computed once or for each, the
// bits are the same.
TEST(CpuRepresenterTest, OverlappingLanesGiveTheBitsOfEachAlone) {
  auto model = Model(2, 40);
  const std::vector<float> inputs =
      RandomRows(80 * model->manifest().inputs.width(), kSeed);
  std::vector<Lane> windows;
  for (int i = 0; i < 70; ++i) windows.push_back({i - 31, 32, 1});
  for (InstructionSet set : Supported()) {
    for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
      if (precision == Precision::kBf16 &&
          set != (CpuSupportsBf16() ? InstructionSet::kAvx512
                                    : InstructionSet::kGeneric)) {
        continue;
      }
      const CpuOptions options = {1, set, precision};
      const std::vector<double> all = RunLanes(model, inputs, windows, options);
      for (size_t i = 0; i < windows.size(); ++i) {
        const std::vector<double> alone =
            RunLanes(model, inputs, {windows[i]}, options);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), &all[i * 40])) << i;
      }
    }
  }
}

CpuOptions Bf16(int threads, InstructionSet set) {
  return {threads, set, Precision::kBf16};
}

// The oracle is vdpbf16ps written down in fused multiply-adds.
TEST(CpuRepresenterTest, Bf16GivesTheBitsOfItsDefinition) {
  if (!CpuSupportsBf16()) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  for (int width : {3, 40}) {
    for (double scale : {1.0, 200.0}) {
      auto model = Model(2, width, scale);
      const std::vector<float> inputs =
          RandomRows(80 * model->manifest().inputs.width(), kSeed);
      EXPECT_TRUE(SameBits(
          RunLanes(model, inputs, MixedLanes(), Bf16(1, InstructionSet::kBest)),
          RunLanes(model, inputs, MixedLanes(),
                   Bf16(1, InstructionSet::kGeneric))))
          << width << " units, weights times " << scale;
    }
  }
}

TEST(CpuRepresenterTest, Bf16IsNearTheDefinition) {
  auto model = Model(2, 64);
  const std::vector<float> inputs =
      RandomRows(80 * model->manifest().inputs.width(), kSeed);
  const std::vector<Lane> lanes = {{0, 60, 60}};
  const std::vector<double> expected =
      ReferenceSums(*model, inputs.data(), lanes);
  const std::vector<double> sums =
      RunLanes(model, inputs, lanes, Bf16(1, InstructionSet::kGeneric));
  double difference = 0, norm = 0, most = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    difference += (sums[i] - expected[i]) * (sums[i] - expected[i]);
    norm += expected[i] * expected[i];
    most = std::max(most, std::fabs(sums[i] - expected[i]));
  }
  EXPECT_LT(std::sqrt(difference / norm), 3e-3);
  EXPECT_GT(most, 0) << "rounded operands cannot give the same bits";
}

TEST(CpuRepresenterTest, NeitherBatchNorThreadsChangeALaneInBf16) {
  if (!CpuSupportsBf16()) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  auto model = Model(2, 40);
  const std::vector<float> inputs =
      RandomRows(600 * model->manifest().inputs.width(), kSeed);
  std::vector<Lane> lanes;
  for (int i = 0; i < 150; ++i) lanes.push_back({i - 3, 20 + i % 37, i % 21});
  const std::vector<double> all =
      RunLanes(model, inputs, lanes, Bf16(1, InstructionSet::kBest));
  for (int threads : {2, 3, 7}) {
    EXPECT_TRUE(SameBits(
        RunLanes(model, inputs, lanes, Bf16(threads, InstructionSet::kBest)),
        all));
  }
  for (size_t i = 0; i < lanes.size(); ++i) {
    const std::vector<double> alone =
        RunLanes(model, inputs, {lanes[i]}, Bf16(1, InstructionSet::kBest));
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), &all[i * 40]));
  }
}

TEST(CpuRepresenterTest, PrecisionIsChosenAndChecked) {
  EXPECT_EQ(*ParsePrecision("fp32"), Precision::kFp32);
  EXPECT_EQ(*ParsePrecision("bf16"), Precision::kBf16);
  EXPECT_EQ(*ParsePrecision("auto"), Precision::kAuto);
  EXPECT_THAT(std::string(ParsePrecision("fp16").status().message()),
              ::testing::HasSubstr("found \"fp16\""));
  auto model = Model(1, 4);
  auto best = MakeCpuRepresenter(model, Bf16(1, InstructionSet::kBest));
  EXPECT_EQ(best.ok(), CpuSupportsBf16()) << best.status();
  auto automatic =
      MakeCpuRepresenter(model, {1, InstructionSet::kBest, Precision::kAuto});
  ASSERT_TRUE(automatic.ok()) << automatic.status();
  EXPECT_EQ((*automatic)->Description().find("bf16") != std::string::npos,
            CpuSupportsBf16());
  auto usual = MakeCpuRepresenter(model, {});
  ASSERT_TRUE(usual.ok());
  EXPECT_EQ((*usual)->Description().find("bf16"), std::string::npos);
}

TEST(CpuRepresenterTest, NeitherBatchNorThreadsChangeALane) {
  auto model = Model(2, 40);
  const size_t width = 40;
  const std::vector<float> inputs =
      RandomRows(600 * model->manifest().inputs.width(), kSeed);
  std::vector<Lane> lanes;
  for (int i = 0; i < 250; ++i) lanes.push_back({i - 3, 20 + i % 37, i % 21});
  for (InstructionSet set : Supported()) {
    if (set == InstructionSet::kGeneric) continue;  // slow, and tested above
    const std::vector<double> all = RunLanes(model, inputs, lanes, {1, set});
    for (int threads : {2, 3, 7}) {
      EXPECT_TRUE(
          SameBits(RunLanes(model, inputs, lanes, {threads, set}), all));
    }
    std::vector<Lane> reversed(lanes.rbegin(), lanes.rend());
    const std::vector<double> back =
        RunLanes(model, inputs, reversed, {2, set});
    for (size_t i = 0; i < lanes.size(); ++i) {
      const std::vector<double> alone =
          RunLanes(model, inputs, {lanes[i]}, {1, set});
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), &all[i * width]));
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                             &back[(lanes.size() - 1 - i) * width]));
    }
  }
}

// The largest weights and inputs that are let in: every gate saturates, and
// what comes out is a number.
TEST(CpuRepresenterTest, SingleOutputsAreTheDefinition) {
  auto model = Model(2, 17);
  const std::vector<float> inputs =
      RandomRows(80 * model->manifest().inputs.width(), kSeed);
  for (int threads : {1, 3}) {
    for (InstructionSet set : Supported()) {
      auto back_end = MakeCpuRepresenter(model, {threads, set});
      EXPECT_LE(LargestOutputError(back_end->get(), inputs, MixedLanes()), 1e-5)
          << threads << " threads, set " << static_cast<int>(set);
    }
  }
}

TEST(CpuRepresenterTest, TheLargestInputsGiveANumber) {
  Manifest m = SmallManifest(2, 4);
  TensorMap tensors = RandomTensors(m, kSeed);
  for (auto& [name, tensor] : tensors) {
    for (float& v : tensor.values) v = v < 0 ? -kMaxWeight : kMaxWeight;
  }
  absl::StatusOr<FoundationModel> made = FoundationModel::Create(m, tensors);
  ASSERT_TRUE(made.ok()) << made.status();
  auto model = std::make_shared<const FoundationModel>(*std::move(made));
  std::vector<float> inputs = RandomRows(9 * m.inputs.width(), kSeed);
  for (float& v : inputs) v = v < 0 ? -kMaxInput : kMaxInput;
  for (InstructionSet set : Supported()) {
    for (double sum : RunLanes(model, inputs, {{0, 9, 9}}, {1, set})) {
      EXPECT_TRUE(sum >= 0 && sum <= 9) << sum;
    }
  }
}

TEST(CpuRepresenterTest, NanIsAnErrorNotANumber) {
  auto model = Model(2, 4);
  std::vector<float> inputs =
      RandomRows(9 * model->manifest().inputs.width(), kSeed);
  inputs[100] = NAN;
  const std::vector<Lane> lanes = {{0, 9, 9}};
  std::vector<double> sums(4);
  for (InstructionSet set : Supported()) {
    auto back_end = MakeCpuRepresenter(model, {1, set});
    const absl::Status s =
        (*back_end)->Run({inputs.data(), lanes}, sums.data());
    EXPECT_EQ(s.code(), absl::StatusCode::kInternal) << s;
    EXPECT_THAT(std::string(s.message()), ::testing::HasSubstr("finite"));
  }
}

TEST(CpuRepresenterTest, OptionsAreChecked) {
  auto model = Model(1, 4);
  EXPECT_EQ(
      MakeCpuRepresenter(model, {-1, InstructionSet::kBest}).status().code(),
      absl::StatusCode::kInvalidArgument);
  auto back_end = MakeCpuRepresenter(model, {});
  ASSERT_TRUE(back_end.ok());
  EXPECT_GT((*back_end)->PreferredLanes(), 0);
  EXPECT_TRUE((*back_end)->Run({nullptr, {}}, nullptr).ok());
}

}  // namespace
}  // namespace perfvec::compute
