// What every family keeps of network.h's contract.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "worker/train/network.h"
#include "worker/train/torch_network.h"

namespace perfvec::train {
namespace {

constexpr int kSteps = 12, kLanes = 4, kInputs = 6, kArchitectures = 3;

std::vector<float> Random(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

NetworkShape Shape(const std::string& family, uint64_t seed = 1) {
  return {kInputs, 16, 2, kArchitectures, seed, family};
}

std::unique_ptr<Network> Make(const NetworkShape& shape) {
  auto net = MakeNetwork(shape);
  EXPECT_TRUE(net.ok()) << net.status();
  return *std::move(net);
}

class NetworkFamiliesTest : public testing::TestWithParam<const char*> {
 protected:
  bool HasState() const {
    const std::string family = GetParam();
    return family == "lstm" || family == "gru";
  }
};

TEST_P(NetworkFamiliesTest, ArraysHaveTheContractsShapes) {
  auto net = Make(Shape(GetParam()));
  const std::vector<float> x = Random(kSteps * kLanes * kInputs, 1);
  net->ResetLanes(kLanes);
  net->Forward(x.data(), kSteps, kLanes);
  EXPECT_EQ(net->representations().size(), kSteps * kLanes * 16);
  for (float r : net->representations()) EXPECT_GE(r, 0);
  ASSERT_EQ(net->predictions().size(), kSteps * kLanes * kArchitectures);
  EXPECT_EQ(net->LaneState().empty(), !HasState());
  // The table is last, and predictions are its products.
  const NamedTensor& table = net->tensors().back();
  EXPECT_EQ(table.name, "architecture_vectors");
  EXPECT_EQ(table.offset, net->table_offset());
  EXPECT_EQ(net->parameters().size(),
            net->table_offset() + kArchitectures * 16);
  double y = 0;
  for (int j = 0; j < 16; ++j) {
    y += net->representations()[5 * 16 + j] *
         net->parameters()[net->table_offset() + 16 + j];
  }
  EXPECT_NEAR(net->predictions()[5 * kArchitectures + 1], y, 1e-5);
  const std::vector<float> same = net->representations();
  net->ResetLanes(kLanes);
  net->Represent(x.data(), kSteps, kLanes);
  EXPECT_EQ(net->representations(), same);
}

TEST_P(NetworkFamiliesTest, GradientsAreDerivativesAndReachEveryTensor) {
  auto net = Make(Shape(GetParam()));
  const std::vector<float> x = Random(kSteps * kLanes * kInputs, 1);
  const std::vector<float> d = Random(kSteps * kLanes * kArchitectures, 2);
  const auto value = [&] {
    net->ResetLanes(kLanes);
    net->Forward(x.data(), kSteps, kLanes);
    double sum = 0;
    for (size_t i = 0; i < d.size(); ++i) {
      sum += double{d[i]} * net->predictions()[i];
    }
    return sum;
  };
  value();
  net->Backward(d);
  const std::vector<float> gradients = net->gradients();
  for (const NamedTensor& t : net->tensors()) {
    size_t size = 1, largest = t.offset;
    for (int64_t n : t.shape) size *= n;
    for (size_t i = t.offset; i < t.offset + size; ++i) {
      if (std::abs(gradients[i]) > std::abs(gradients[largest])) largest = i;
    }
    ASSERT_GT(std::abs(gradients[largest]), 1e-3) << t.name;
    float& p = net->parameters()[largest];
    const float saved = p;
    p = saved + 2e-3f;
    const double above = value();
    p = saved - 2e-3f;
    const double below = value();
    p = saved;
    EXPECT_NEAR((above - below) / 4e-3 / gradients[largest], 1, 0.05) << t.name;
  }
}

TEST_P(NetworkFamiliesTest, TheLossOfALearnableTaskFalls) {
  auto net = Make(Shape(GetParam()));
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(kSteps * kLanes * kInputs);
  std::vector<float> d(kSteps * kLanes * kArchitectures);
  std::vector<float> mean(net->parameters().size()), square = mean;
  net->ResetLanes(kLanes);
  double first = 0, last = 0;
  constexpr int kUpdates = 300;
  for (int update = 1; update <= kUpdates; ++update) {
    for (float& v : x) v = normal(random);
    net->Forward(x.data(), kSteps, kLanes);
    double loss = 0;
    for (size_t i = 0; i < d.size(); ++i) {
      // The time of an instruction alone, another on each architecture.
      const float* in = &x[i / kArchitectures * kInputs];
      const float y = (in[0] > 0 ? 2 : 0) + (1 + i % kArchitectures) * 0.5f;
      d[i] = (net->predictions()[i] - y) / d.size();
      loss += d[i] * d[i] * d.size();
    }
    net->Backward(d);
    for (size_t i = 0; i < mean.size(); ++i) {
      const float g = net->gradients()[i];
      mean[i] = 0.9f * mean[i] + 0.1f * g;
      square[i] = 0.99f * square[i] + 0.01f * g * g;
      net->parameters()[i] -= 1e-2f * mean[i] / (std::sqrt(square[i]) + 1e-8f);
    }
    if (update <= 10) first += loss / 10;
    if (update > kUpdates - 10) last += loss / 10;
  }
  EXPECT_LT(last, 0.25 * first) << first;
}

TEST_P(NetworkFamiliesTest, TheSeedDecidesEveryBit) {
  const std::vector<float> x = Random(kSteps * kLanes * kInputs, 1);
  const std::vector<float> d = Random(kSteps * kLanes * kArchitectures, 2);
  const auto gradients = [&](uint64_t seed) {
    auto net = Make(Shape(GetParam(), seed));
    net->ResetLanes(kLanes);
    net->Forward(x.data(), kSteps, kLanes);
    net->Backward(d);
    return net->gradients();
  };
  EXPECT_EQ(gradients(1), gradients(1));
  EXPECT_NE(gradients(1), gradients(2));
}

TEST_P(NetworkFamiliesTest, CarriedStateResumesBitForBit) {
  auto net = Make(Shape(GetParam())), other = Make(Shape(GetParam()));
  const std::vector<float> x = Random(kSteps * kLanes * kInputs, 1);
  net->ResetLanes(kLanes);
  net->Forward(x.data(), kSteps, kLanes);
  other->SetLaneState(net->LaneState(), kLanes);
  net->ResetLane(1);
  other->ResetLane(1);
  net->Forward(x.data(), kSteps, kLanes);
  other->Forward(x.data(), kSteps, kLanes);
  EXPECT_EQ(net->predictions(), other->predictions());
  // Lane 1 has started afresh; with state the others have not.
  auto fresh = Make(Shape(GetParam()));
  fresh->ResetLanes(kLanes);
  fresh->Forward(x.data(), kSteps, kLanes);
  EXPECT_EQ(net->predictions()[kArchitectures],
            fresh->predictions()[kArchitectures]);
  EXPECT_EQ(net->predictions()[0] == fresh->predictions()[0], !HasState());
}

INSTANTIATE_TEST_SUITE_P(Families, NetworkFamiliesTest,
                         testing::Values("linear", "mlp", "gru", "lstm",
                                         "bilstm", "transformer"));

// In a transformer the instruction sees those before it, in a bilstm all.
TEST(TorchNetworkTest, OnlyBilstmLooksAhead) {
  for (const std::string family : {"mlp", "gru", "bilstm", "transformer"}) {
    auto net = Make(Shape(family));
    std::vector<float> x = Random(kSteps * kLanes * kInputs, 1);
    net->ResetLanes(kLanes);
    net->Forward(x.data(), kSteps, kLanes);
    const float before = net->predictions()[0];
    x[(kSteps - 1) * kLanes * kInputs] += 1;
    net->ResetLanes(kLanes);
    net->Forward(x.data(), kSteps, kLanes);
    EXPECT_EQ(net->predictions()[0] == before, family != "bilstm") << family;
  }
}

// Ours against LibTorch's autograd, from the same parameters.
TEST(TorchNetworkTest, LstmAgreesWithLstmNetwork) {
  const NetworkShape shape = {kInputs, 32, 2, kArchitectures, 1};
  auto ours = Make(shape);
  auto made = MakeTorchNetwork(shape);
  ASSERT_TRUE(made.ok()) << made.status();
  Network& theirs = **made;
  for (const NamedTensor& t : theirs.tensors()) {
    size_t size = 1;
    for (int64_t n : t.shape) size *= n;
    float* to = &theirs.parameters()[t.offset];
    std::fill_n(to, size, 0.0f);
    for (const NamedTensor& u : ours->tensors()) {
      if (u.name != t.name) continue;
      ASSERT_EQ(u.shape, t.shape);
      std::copy_n(&ours->parameters()[u.offset], size, to);
    }
  }
  const std::vector<float> x = Random(2 * kSteps * kLanes * kInputs, 1);
  const std::vector<float> d = Random(kSteps * kLanes * kArchitectures, 2);
  for (Network* net : {ours.get(), &theirs}) {
    net->ResetLanes(kLanes);
    net->Forward(x.data(), kSteps, kLanes);
    net->ResetLane(2);
    net->Forward(&x[kSteps * kLanes * kInputs], kSteps, kLanes);
    net->Backward(d);
  }
  for (size_t i = 0; i < ours->predictions().size(); ++i) {
    EXPECT_NEAR(ours->predictions()[i], theirs.predictions()[i], 1e-6);
  }
  int compared = 0;
  for (const NamedTensor& t : theirs.tensors()) {
    for (const NamedTensor& u : ours->tensors()) {
      if (u.name != t.name) continue;
      ++compared;
      size_t size = 1;
      for (int64_t n : t.shape) size *= n;
      for (size_t i = 0; i < size; ++i) {
        EXPECT_NEAR(ours->gradients()[u.offset + i],
                    theirs.gradients()[t.offset + i], 1e-5)
            << t.name;
      }
    }
  }
  EXPECT_EQ(compared, 7);
}

TEST(CheckServableTest, OnlyAnLstmCanBeServed) {
  EXPECT_TRUE(CheckServable(Shape("lstm")).ok());
  EXPECT_NE(CheckServable(Shape("gru")).message().find("gru"),
            std::string::npos);
}

}  // namespace
}  // namespace perfvec::train
