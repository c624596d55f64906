#include "worker/train/fused_lstm_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

namespace perfvec::train {
namespace {

std::vector<float> Random(size_t n, uint64_t seed, float scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// |a - b| / |b|.
double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double distance = 0, length = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    distance += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    length += double{b[i]} * b[i];
  }
  return std::sqrt(distance / length);
}

struct Case {
  NetworkShape shape;
  int steps, lanes;
};

// Odd sizes: partial panels, tiles, pairs of rows and blocks of sums.
NetworkShape PassedInputs(NetworkShape shape, int passed) {
  shape.passed = passed;
  return shape;
}

std::vector<Case> Cases() {
  return {{{5, 16, 1, 3, 7}, 6, 3},
          {{33, 96, 2, 77, 7}, 7, 13},
          {{130, 144, 3, 65, 7}, 5, 1},
          {{51, 64, 2, 20, 7}, 90, 13},
          {PassedInputs({33, 96, 2, 77, 7}, 20), 7, 13}};
}

class FusedLstmNetworkTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if ((GetParam() ? Avx512Bf16Kernels() : Avx512Kernels()) == nullptr) {
      GTEST_SKIP() << "this CPU has no such instructions";
    }
  }
  NetworkShape Shape(NetworkShape shape, int threads = 1) const {
    shape.bf16 = GetParam();
    shape.threads = threads;
    return shape;
  }
  // Of bfloat16's 8 bits, or of rounding in another order.
  double Tolerance() const { return GetParam() ? 1.5e-2 : 3e-6; }
};

// Two pieces, one lane reset between them: every array of both networks.
struct Passes {
  std::vector<float> predictions, representations, gradients, state;
};
Passes RunPieces(Network& net, const Case& c) {
  const size_t rows = size_t(c.steps) * c.lanes;
  const std::vector<float> x = Random(2 * rows * c.shape.inputs, 1);
  net.ResetLanes(c.lanes);
  net.Forward(x.data(), c.steps, c.lanes);
  net.ResetLane(c.lanes - 1);
  net.Forward(&x[rows * c.shape.inputs], c.steps, c.lanes);
  net.Backward(Random(rows * c.shape.architectures, 2, 0.01f));
  return {net.predictions(), net.representations(), net.gradients(),
          net.LaneState()};
}

TEST_P(FusedLstmNetworkTest, AgreesWithThePlainNetwork) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.shape.width);
    FusedLstmNetwork fused(Shape(c.shape));
    LstmNetwork plain(c.shape);
    ASSERT_EQ(fused.parameters(), plain.parameters());
    // A representation near 0 can fall on the ReLU's other side by rounding,
    // and then all of its gradient comes or goes: keep them positive.
    for (Network* net :
         {static_cast<Network*>(&fused), static_cast<Network*>(&plain)}) {
      const int h = c.shape.width;
      float* bias = &net->parameters()[plain.layers().back().bias];
      if (GetParam()) std::fill_n(bias + 2 * h, h, 2.0f);
    }
    const Passes a = RunPieces(fused, c), b = RunPieces(plain, c);
    EXPECT_LT(Difference(a.predictions, b.predictions), Tolerance());
    EXPECT_LT(Difference(a.representations, b.representations), Tolerance());
    EXPECT_LT(Difference(a.state, b.state), Tolerance());
    for (const NamedTensor& t : plain.tensors()) {
      size_t size = 1;
      for (int64_t n : t.shape) size *= n;
      const auto part = [&](const std::vector<float>& v) {
        return std::vector<float>(v.begin() + t.offset,
                                  v.begin() + t.offset + size);
      };
      EXPECT_LT(Difference(part(a.gradients), part(b.gradients)), Tolerance())
          << t.name;
    }
  }
}

TEST_P(FusedLstmNetworkTest, TheSameBitsForAnyNumberOfThreads) {
  const Case c = Cases()[1];
  FusedLstmNetwork one(Shape(c.shape)), again(Shape(c.shape));
  FusedLstmNetwork three(Shape(c.shape, 3));
  const Passes a = RunPieces(one, c);
  for (FusedLstmNetwork* net : {&again, &three}) {
    const Passes b = RunPieces(*net, c);
    EXPECT_EQ(a.predictions, b.predictions);
    EXPECT_EQ(a.gradients, b.gradients);
    EXPECT_EQ(a.state, b.state);
  }
}

TEST_P(FusedLstmNetworkTest, LaneStateResumesBitForBit) {
  const Case c = Cases()[1];
  FusedLstmNetwork net(Shape(c.shape)), other(Shape(c.shape));
  RunPieces(net, c);
  other.SetLaneState(net.LaneState(), c.lanes);
  EXPECT_EQ(other.LaneState(), net.LaneState());
  const std::vector<float> x =
      Random(size_t(c.steps) * c.lanes * c.shape.inputs, 3);
  net.Forward(x.data(), c.steps, c.lanes);
  other.Forward(x.data(), c.steps, c.lanes);
  EXPECT_EQ(other.predictions(), net.predictions());
}

INSTANTIATE_TEST_SUITE_P(Kernels, FusedLstmNetworkTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "bf16" : "fp32";
                         });

TEST(FusedLstmNetworkTest, ServesWholeBlocksOfUnitsOnly) {
  EXPECT_FALSE(FusedLstmNetwork::Serves({.inputs = 5, .width = 24}));
  auto net =
      MakeNetwork({.inputs = 5, .width = 24, .architectures = 3, .bf16 = true});
  ASSERT_TRUE(net.ok());
  EXPECT_EQ((*net)->shape().width, 24);
}

}  // namespace
}  // namespace perfvec::train
