#include "worker/train/lstm_network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace perfvec::train {
namespace {

constexpr int kSteps = 6, kLanes = 3;

std::vector<float> Random(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// The definition, one element at a time, in double precision.
std::vector<double> Reference(const LstmNetwork& net,
                              const std::vector<float>& x) {
  const NetworkShape& s = net.shape();
  const std::vector<float>& p = net.parameters();
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  std::vector<double> out;
  std::vector<std::vector<double>> h(s.layers * kLanes,
                                     std::vector<double>(s.width)),
      c = h;
  for (int t = 0; t < kSteps; ++t) {
    for (int b = 0; b < kLanes; ++b) {
      const float* row = &x[(t * kLanes + b) * s.inputs];
      std::vector<double> in(row, row + s.inputs);
      for (int l = 0; l < s.layers; ++l) {
        const LstmNetwork::LayerOffsets& o = net.layers()[l];
        std::vector<double> gate(4 * s.width);
        std::vector<double>& hidden = h[l * kLanes + b];
        std::vector<double>& cell = c[l * kLanes + b];
        for (int g = 0; g < 4 * s.width; ++g) {
          gate[g] = p[o.bias + g];
          for (int i = 0; i < o.inputs; ++i) {
            gate[g] += p[o.weight_ih + g * o.inputs + i] * in[i];
          }
          for (int i = 0; i < s.width; ++i) {
            gate[g] += p[o.weight_hh + g * s.width + i] * hidden[i];
          }
        }
        for (int j = 0; j < s.width; ++j) {
          cell[j] = sigmoid(gate[s.width + j]) * cell[j] +
                    sigmoid(gate[j]) * std::tanh(gate[2 * s.width + j]);
          hidden[j] = sigmoid(gate[3 * s.width + j]) * std::tanh(cell[j]);
        }
        in = hidden;
      }
      for (int j = 0; j < s.passed; ++j) {
        in[j] = row[s.inputs - s.passed + j];
      }
      for (int a = 0; a < s.architectures; ++a) {
        double y = 0;
        for (int j = 0; j < s.width; ++j) {
          const double r = j < s.passed ? in[j] : std::max(0.0, in[j]);
          y += r * p[net.table_offset() + a * s.width + j];
        }
        out.push_back(y);
      }
    }
  }
  return out;
}

TEST(LstmNetworkTest, ForwardIsTheDefinition) {
  LstmNetwork net({5, 16, 2, 3, /*seed=*/7});
  const std::vector<float> x = Random(kSteps * kLanes * 5, 1);
  net.ResetLanes(kLanes);
  net.Forward(x.data(), kSteps, kLanes);
  const std::vector<double> expected = Reference(net, x);
  ASSERT_EQ(net.predictions().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(net.predictions()[i], expected[i], 2e-6) << i;
  }
}

TEST(LstmNetworkTest, PassedInputsAreTheFirstElements) {
  LstmNetwork net({.inputs = 5,
                   .width = 16,
                   .layers = 2,
                   .architectures = 3,
                   .seed = 7,
                   .passed = 2});
  const std::vector<float> x = Random(kSteps * kLanes * 5, 1);
  net.ResetLanes(kLanes);
  net.Forward(x.data(), kSteps, kLanes);
  const std::vector<double> expected = Reference(net, x);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(net.predictions()[i], expected[i], 2e-6) << i;
  }
  EXPECT_EQ(net.representations()[16], x[8]);
  EXPECT_EQ(net.representations()[17], x[9]);
}

TEST(LstmNetworkTest, StateIsCarriedFromPieceToPiece) {
  LstmNetwork net({5, 16, 2, 3, 7});
  const std::vector<float> x = Random(kSteps * kLanes * 5, 1);
  net.ResetLanes(kLanes);
  net.Forward(x.data(), kSteps, kLanes);
  const std::vector<float> whole = net.predictions();
  net.ResetLanes(kLanes);
  net.Forward(x.data(), 2, kLanes);
  net.Forward(&x[2 * kLanes * 5], kSteps - 2, kLanes);
  const std::vector<float>& rest = net.predictions();
  for (size_t i = 0; i < rest.size(); ++i) {
    EXPECT_NEAR(rest[i], whole[2 * kLanes * 3 + i], 1e-6);
  }
}

TEST(LstmNetworkTest, LaneStateResumesBitForBit) {
  LstmNetwork net({5, 16, 2, 3, 7}), other({5, 16, 2, 3, 7});
  const std::vector<float> x = Random(kSteps * kLanes * 5, 1);
  net.ResetLanes(kLanes);
  net.Forward(x.data(), 2, kLanes);
  other.SetLaneState(net.LaneState(), kLanes);
  EXPECT_EQ(other.LaneState(), net.LaneState());
  net.Forward(&x[2 * kLanes * 5], kSteps - 2, kLanes);
  other.Forward(&x[2 * kLanes * 5], kSteps - 2, kLanes);
  EXPECT_EQ(other.predictions(), net.predictions());
}

TEST(MakeNetworkTest, NamesTheFieldThatIsWrong) {
  auto none = MakeNetwork({.inputs = 5});
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.status().message().find("architectures"), std::string::npos);
  auto unknown =
      MakeNetwork({.inputs = 5, .architectures = 3, .family = "rnn?"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("rnn?"), std::string::npos);
  auto net = MakeNetwork({.inputs = 5, .width = 16, .architectures = 3});
  ASSERT_TRUE(net.ok()) << net.status();
  const NamedTensor& table = (*net)->tensors().back();
  EXPECT_EQ(table.name, "architecture_vectors");
  EXPECT_EQ(table.offset, (*net)->table_offset());
  EXPECT_EQ(table.shape, (std::vector<int64_t>{3, 16}));
}

// Reference() in double precision makes finite differences exact enough.
void ExpectDerivative(int passed) {
  SCOPED_TRACE(passed);
  LstmNetwork net({.inputs = 5,
                   .width = 16,
                   .layers = 2,
                   .architectures = 3,
                   .seed = 7,
                   .passed = passed});
  const std::vector<float> x = Random(kSteps * kLanes * 5, 1);
  const std::vector<float> y = Random(kSteps * kLanes * 3, 2);
  const auto loss = [&] {
    const std::vector<double> out = Reference(net, x);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      sum += (out[i] - y[i]) * (out[i] - y[i]) / 2;
    }
    return sum;
  };
  net.ResetLanes(kLanes);
  net.Forward(x.data(), kSteps, kLanes);
  std::vector<float> d(y.size());
  for (size_t i = 0; i < d.size(); ++i) d[i] = net.predictions()[i] - y[i];
  net.Backward(d);
  int checked = 0;
  for (size_t i = 0; i < net.parameters().size(); i += 13) {
    float& p = net.parameters()[i];
    const float saved = p, high = saved + 1e-3f, low = saved - 1e-3f;
    p = high;
    const double above = loss();
    p = low;
    const double below = loss();
    p = saved;
    const double numeric = (above - below) / (double{high} - low);
    EXPECT_NEAR(net.gradients()[i], numeric, 5e-3 * (0.2 + std::abs(numeric)))
        << "parameter " << i;
    ++checked;
  }
  EXPECT_GT(checked, 200);
}

TEST(LstmNetworkTest, BackwardIsTheDerivative) {
  ExpectDerivative(0);
  ExpectDerivative(3);
}

}  // namespace
}  // namespace perfvec::train
