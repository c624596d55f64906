#include "worker/train/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace perfvec::train {
namespace {

constexpr size_t kInstructions = 400, kFeatures = 51, kArchitectures = 3;

// Feature f of instruction i is i + f; a latency `latency[a]` throughout.
TrainingProgram MakeProgram(const std::vector<uint16_t>& latency) {
  TrainingProgram p;
  p.name = "made";
  p.instructions = kInstructions;
  std::vector<float> features(kInstructions * kFeatures);
  std::vector<uint16_t> times(kInstructions * kArchitectures);
  for (size_t i = 0; i < kInstructions; ++i) {
    for (size_t f = 0; f < kFeatures; ++f) features[i * kFeatures + f] = i + f;
    for (size_t a = 0; a < kArchitectures; ++a) {
      times[i * kArchitectures + a] = latency[a];
    }
  }
  p.rows = *ProgramRows::FromArrays(features, times, kInstructions);
  return p;
}

compute::InputEncoding PlainEncoding() {
  compute::InputEncoding encoding;
  encoding.columns.resize(20);
  for (int c = 0; c < 20; ++c) encoding.columns[c].feature = c;
  return encoding;
}

class SamplerTest : public ::testing::Test {
 protected:
  SamplerTest()
      : fast_(MakeProgram({1, 2, 4})),
        slow_(MakeProgram({10, 0, 80})),  // the second was not simulated
        slices_({{&fast_, 0, kInstructions}, {&slow_, 0, kInstructions}}) {
    options_.lanes = 8;
    options_.steps = 16;
    options_.pieces_per_visit = 2;
    options_.warm_up = 4;
  }
  const TrainingProgram fast_, slow_;
  const std::vector<Slice> slices_;
  TrainOptions options_;
};

TEST_F(SamplerTest, ArchitecturesThatWereNotSimulatedDoNotCount) {
  options_.program_power = 1;
  const Scaling scaling = MakeScaling(slices_, options_);
  EXPECT_DOUBLE_EQ(scaling.architecture[0], 5.5);
  EXPECT_DOUBLE_EQ(scaling.architecture[1], 2);  // of one program alone
  EXPECT_DOUBLE_EQ(scaling.architecture[2], 42);
  EXPECT_EQ(scaling.weight[kArchitectures + 1], 0);
  // Mean scaled latencies (1/5.5 + 1 + 4/42) / 3 and (10/5.5 + 80/42) / 2; the
  // slow one's two architectures stand for the third too.
  EXPECT_NEAR(scaling.weight[0] / scaling.weight[kArchitectures],
              1.8614719 / 0.4256854 / std::sqrt(3 / 2.0), 1e-5);
  // Mean 1 over what is drawn, here both alike.
  double sum = 0;
  for (float w : scaling.weight) sum += w;
  EXPECT_NEAR(sum, 5, 1e-5);
}

TEST_F(SamplerTest, CellPowerWeighsArchitecturesApart) {
  options_.program_power = 0;
  options_.cell_power = 2;
  const Scaling scaling = MakeScaling(slices_, options_);
  const double first = 10 / 5.5, third = 80.0 / 42;
  EXPECT_NEAR(
      scaling.weight[kArchitectures] / scaling.weight[kArchitectures + 2],
      (third * third) / (first * first), 1e-5);
}

TEST_F(SamplerTest, DropsTheSameInputsThroughoutAVisit) {
  options_.input_dropout = 0.5;
  const Scaling scaling = MakeScaling(slices_, options_);
  const compute::InputEncoding encoding = PlainEncoding();
  const size_t width = encoding.width();
  Sampler sampler(slices_, encoding, scaling, options_, 5);
  int dropped = 0, whole = 0;
  std::vector<std::vector<bool>> mask(options_.lanes);
  for (int piece = 0; piece < 40; ++piece) {
    const std::vector<int> jumped = sampler.Next();
    for (int lane : jumped) mask[lane].clear();
    for (int b = 0; b < options_.lanes; ++b) {
      // Instruction 0 is 0 in its first column anyway: look at the last step.
      const float* row =
          &sampler
               .inputs()[((options_.steps - 1) * options_.lanes + b) * width];
      std::vector<bool> zero;
      for (size_t c = 0; c < width; ++c) zero.push_back(row[c] == 0);
      if (!mask[b].empty()) {
        EXPECT_EQ(mask[b], zero);
      }
      mask[b] = zero;
      const int count = std::count(zero.begin(), zero.end(), true);
      (count > 0 ? dropped : whole)++;
      EXPECT_LT(count, 20);
    }
  }
  EXPECT_GT(dropped, 80);
  EXPECT_GT(whole, 80);
}

TEST_F(SamplerTest, GoesOnFromASavedState) {
  options_.input_dropout = 0.3;
  const Scaling scaling = MakeScaling(slices_, options_);
  const compute::InputEncoding encoding = PlainEncoding();
  Sampler first(slices_, encoding, scaling, options_, 5);
  for (int i = 0; i < 3; ++i) first.Next();
  Sampler second(slices_, encoding, scaling, options_, 99);
  second.set_state(first.state());
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(first.Next(), second.Next());
    EXPECT_EQ(first.inputs(), second.inputs());
    EXPECT_EQ(first.targets(), second.targets());
    EXPECT_EQ(first.weights(), second.weights());
  }
}

}  // namespace
}  // namespace perfvec::train
