#include "worker/train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace perfvec::train {
namespace {

constexpr int kArchitectures = 2;

// Loads cost 40 and 90, all else 10 and 5: learnable from the op class alone.
Dataset TwoProgramSet() {
  Dataset data;
  data.schema = &compute::PublishedFeatureSchema();
  data.architectures = {{"fast", "{}"}, {"slow", "{}"}};
  for (int p = 0; p < 2; ++p) {
    TrainingProgram program;
    program.name = "p" + std::to_string(p);
    program.family = program.name;
    program.instructions = 3000;
    for (size_t i = 0; i < program.instructions; ++i) {
      const bool load = i % (3 + p) == 0;
      std::vector<float> row(compute::kFeatureCount);
      row[1] = load ? 48 : 2;
      row[3] = load;
      program.features.insert(program.features.end(), row.begin(), row.end());
      program.latency.push_back(load ? 40 : 10);
      program.latency.push_back(load ? 90 : 5);
    }
    data.programs.push_back(std::move(program));
  }
  return data;
}

TrainOptions SmallOptions() {
  TrainOptions options;
  options.width = 8;
  options.layers = 1;
  options.lanes = 4;
  options.steps = 32;
  options.warm_up = 8;
  options.updates = 300;
  options.learning_rate = 1e-2;
  return options;
}

double Error(TrainedModel& model, const Dataset& data) {
  double worst = 0;
  const int h = model.network->shape().width;
  for (const TrainingProgram& p : data.programs) {
    const ProgramEvidence e =
        GatherEvidence(model, p, kArchitectures, 0, SIZE_MAX, 1024);
    for (int a = 0; a < kArchitectures; ++a) {
      double predicted = 0, time = 0;
      for (size_t k = 0; k * h < e.interval_sums.size(); ++k) {
        for (int j = 0; j < h; ++j) {
          predicted +=
              e.interval_sums[k * h + j] *
              model.network
                  ->parameters()[model.network->table_offset() + a * h + j];
        }
        time += e.interval_times[k * kArchitectures + a];
      }
      worst = std::max(worst, std::abs(predicted - time) / time);
    }
  }
  return worst;
}

TEST(TrainerTest, LearnsTotalsOfASeparableSet) {
  const Dataset data = TwoProgramSet();
  auto model = Train(data, SmallOptions());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT(Error(*model, data), 0.05);
}

TEST(TrainerTest, TheSameSeedGivesTheSameModel) {
  const Dataset data = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.updates = 30;
  auto one = Train(data, options), two = Train(data, options);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->network->parameters(), two->network->parameters());
  options.seed = 2;
  auto three = Train(data, options);
  ASSERT_TRUE(three.ok());
  EXPECT_NE(one->network->parameters(), three->network->parameters());
}

TEST(TrainerTest, GoesOnFromACheckpoint) {
  const Dataset data = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.checkpoint_path =
      testing::TempDir() + "/checkpoint." + std::to_string(getpid());
  options.checkpoint_updates = 100;
  std::remove(options.checkpoint_path.c_str());
  options.updates = 100;
  ASSERT_TRUE(Train(data, options).ok());
  options.updates = 300;
  auto model = Train(data, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT(Error(*model, data), 0.05);

  options.width = 16;
  auto other = Train(data, options);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.status().message().find("parameters"), std::string::npos);
  std::remove(options.checkpoint_path.c_str());
}

TEST(LoadDatasetTest, NamesTheFileThatIsMissing) {
  auto data = LoadDataset("/nonexistent", {});
  ASSERT_FALSE(data.ok());
  EXPECT_NE(data.status().message().find("/nonexistent/architectures.json"),
            std::string::npos);
}

}  // namespace
}  // namespace perfvec::train
