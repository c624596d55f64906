#include "worker/represent/torch_representer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/reference_lstm.h"
#include "worker/represent/back_end.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::compute {
namespace {

constexpr uint64_t kSeed = 20261121;

std::shared_ptr<const FoundationModel> Model(Mode mode, int layers, int width,
                                             bool bias = true) {
  Manifest m = SmallManifest(layers, width);
  m.mode = mode;
  m.bias = bias;
  absl::StatusOr<FoundationModel> model = RandomModel(m, kSeed);
  EXPECT_TRUE(model.ok()) << model.status();
  return std::make_shared<const FoundationModel>(*std::move(model));
}

// |a - b| / |b|.
double RelativeError(const std::vector<double>& a,
                     const std::vector<double>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

ProgramVectorAccumulator Represent(Representer* back_end,
                                   const std::vector<float>& features,
                                   InstructionRange range) {
  auto stream = StreamRepresenter::Create(back_end, range, {});
  EXPECT_TRUE(stream.ok()) << stream.status();
  const int64_t from = stream->first_instruction();
  const int64_t end = std::min<int64_t>(
      range.end, static_cast<int64_t>(features.size() / kFeatureCount));
  const absl::Status s =
      stream->Feed(&features[from * kFeatureCount], end - from);
  EXPECT_TRUE(s.ok()) << s;
  absl::StatusOr<ProgramVectorAccumulator> sum = stream->Finish();
  EXPECT_TRUE(sum.ok()) << sum.status();
  return *sum;
}

// The two back ends against each other, at the shape of the real model.
TEST(TorchRepresenterTest, AgreesWithTheCpuKernel) {
  for (bool bias : {true, false}) {
    auto model = Model(Mode::kStream, 2, bias ? 256 : 64, bias);
    auto torch = MakeTorchRepresenter(model, {"cpu", 4});
    auto cpu = MakeCpuRepresenter(model, {});
    ASSERT_TRUE(torch.ok()) << torch.status();
    ASSERT_TRUE(cpu.ok()) << cpu.status();
    const std::vector<float> features = RandomFeatures(2500, kSeed);
    const std::vector<double> a =
        Represent(torch->get(), features, {}).Vector();
    const std::vector<double> b = Represent(cpu->get(), features, {}).Vector();
    EXPECT_LE(RelativeError(a, b), 1e-6);
    // Per instruction: 1e-5 of an output in [0, 1].
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i] / 2500, b[i] / 2500, 1e-5) << i;
    }
  }
}

TEST(TorchRepresenterTest, SingleOutputsAgreeWithTheCpuKernel) {
  auto model = Model(Mode::kStream, 2, 256);
  const std::vector<float> inputs =
      RandomRows(400 * model->manifest().inputs.width(), kSeed);
  std::vector<Lane> lanes;
  for (int i = 0; i < 100; ++i) lanes.push_back({3 * i - 20, 1 + i, 1});
  std::vector<double> a(lanes.size() * 256), b(a.size());
  ASSERT_TRUE((*MakeTorchRepresenter(model, {"cpu", 25}))
                  ->Run({inputs.data(), lanes}, a.data())
                  .ok());
  ASSERT_TRUE((*MakeCpuRepresenter(model, {}))
                  ->Run({inputs.data(), lanes}, b.data())
                  .ok());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5) << i;
}

TEST(TorchRepresenterTest, AgreesWithTheDefinitionOnMixedLanes) {
  auto model = Model(Mode::kStream, 3, 17);
  const std::vector<float> inputs =
      RandomRows(300 * model->manifest().inputs.width(), kSeed);
  std::vector<Lane> lanes = {{0, 300, 40}, {-7, 8, 1}, {30, 1, 1}, {5, 20, 0}};
  for (int i = 0; i < 70; ++i) lanes.push_back({i, 200 - 2 * i, 1 + i % 9});
  const std::vector<double> expected =
      ReferenceSums(*model, inputs.data(), lanes);
  std::vector<double> sums(expected.size());
  auto back_end = MakeTorchRepresenter(model, {"cpu", 32});
  const absl::Status s = (*back_end)->Run({inputs.data(), lanes}, sums.data());
  ASSERT_TRUE(s.ok()) << s;
  for (size_t i = 0; i < sums.size(); ++i) {
    EXPECT_NEAR(sums[i], expected[i], 1e-5 * std::max(1, lanes[i / 17].kept));
  }
  EXPECT_LE(LargestOutputError(back_end->get(), inputs, lanes), 1e-5);
}

TEST(TorchRepresenterTest, WindowModeAgreesWithTheCpuKernel) {
  auto model = Model(Mode::kWindow, 2, 16);
  auto torch = MakeTorchRepresenter(model, {});
  auto cpu = MakeCpuRepresenter(model, {});
  const std::vector<float> features = RandomFeatures(400, kSeed);
  EXPECT_LE(RelativeError(Represent(torch->get(), features, {}).Vector(),
                          Represent(cpu->get(), features, {}).Vector()),
            1e-6);
}

// Batches have a fixed number of lanes, so the split shows in no bit here.
TEST(TorchRepresenterTest, SplitsGiveTheSameBitsOnOneMachine) {
  for (Mode mode : {Mode::kStream, Mode::kWindow}) {
    auto model = Model(mode, 2, 16);
    auto back_end = MakeTorchRepresenter(model, {"cpu", 16});
    const std::vector<float> features =
        RandomFeatures(mode == Mode::kStream ? 9000 : 1500, kSeed);
    ProgramVectorAccumulator sum =
        Represent(back_end->get(), features, {0, 1024});
    const auto rest = Represent(back_end->get(), features, {1024, kEndOfTrace});
    ASSERT_TRUE(sum.Merge(rest).ok());
    EXPECT_EQ(sum.Serialize(),
              Represent(back_end->get(), features, {}).Serialize());
  }
}

TEST(BackEndTest, DevicesByName) {
  auto model = Model(Mode::kStream, 1, 4);
  EXPECT_THAT((*MakeRepresenter(model, {"cpu", 2}))->Description(),
              ::testing::MatchesRegex("cpu .* x2"));
  EXPECT_EQ((*MakeRepresenter(model, {"libtorch-cpu"}))->Description(),
            "libtorch cpu");
  EXPECT_EQ(MakeRepresenter(model, {"abacus"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto automatic = MakeRepresenter(model, {});
  ASSERT_TRUE(automatic.ok()) << automatic.status();
  EXPECT_EQ((*automatic)->Description().substr(0, 8) == "libtorch",
            TorchFindsCuda());
  if (TorchFindsCuda()) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(MakeRepresenter(model, {"cuda"}).status().code(),
            absl::StatusCode::kUnavailable);
}

// Runs only where LibTorch has CUDA.
TEST(TorchRepresenterTest, CudaAgreesWithTheCpuKernel) {
  if (!TorchFindsCuda()) GTEST_SKIP() << "this LibTorch finds no GPU";
  for (Mode mode : {Mode::kStream, Mode::kWindow}) {
    auto model = Model(mode, 2, mode == Mode::kStream ? 256 : 16);
    auto cuda = MakeTorchRepresenter(model, {"cuda"});
    ASSERT_TRUE(cuda.ok()) << cuda.status();
    auto cpu = MakeCpuRepresenter(model, {});
    const std::vector<float> features =
        RandomFeatures(mode == Mode::kStream ? 20000 : 1500, kSeed);
    EXPECT_LE(RelativeError(Represent(cuda->get(), features, {}).Vector(),
                            Represent(cpu->get(), features, {}).Vector()),
              1e-6);
  }
}

}  // namespace
}  // namespace perfvec::compute
