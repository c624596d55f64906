#include "worker/train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "worker/train/encoding.h"
#include "worker/train/evidence.h"
#include "worker/train/fit_choice.h"

namespace perfvec::train {
namespace {

constexpr int kArchitectures = 2;

// Loads cost 40 and 90, all else 10 and 5: learnable from the op class alone.
struct SmallSet {
  std::vector<TrainingProgram> programs;
  TrainingData data;
};

std::unique_ptr<SmallSet> TwoProgramSet() {
  auto set = std::make_unique<SmallSet>();
  for (int p = 0; p < 2; ++p) {
    constexpr size_t kInstructions = 6000;
    std::vector<float> features;
    std::vector<uint16_t> latency;
    for (size_t i = 0; i < kInstructions; ++i) {
      const bool load = i % (3 + p) == 0;
      std::vector<float> row(compute::kFeatureCount);
      row[1] = load ? 48 : 2;
      row[3] = load;
      features.insert(features.end(), row.begin(), row.end());
      latency.push_back(load ? 40 : 10);
      latency.push_back(load ? 90 : 5);
    }
    auto rows = ProgramRows::FromArrays(features, latency, kInstructions);
    EXPECT_TRUE(rows.ok()) << rows.status();
    const std::string name = "p" + std::to_string(p);
    set->programs.push_back({name, name, kInstructions, *rows});
  }
  set->data.architectures = {"fast", "slow"};
  for (const TrainingProgram& p : set->programs) {
    set->data.training.push_back({&p, 0, p.instructions});
  }
  set->data.encoding =
      MakeEncoding(compute::PublishedFeatureSchema(), set->data.training);
  return set;
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
  options.threads = 1;
  return options;
}

double WorstError(TrainedModel& model, const TrainingData& data) {
  double worst = 0;
  const int h = model.network->shape().width;
  const std::vector<float>& parameters = model.network->parameters();
  const std::vector<double> table(
      parameters.begin() + model.network->table_offset(), parameters.end());
  for (const Slice& s : data.training) {
    for (double e :
         TimeErrors(GatherEvidence(model, s, 1024), table, h, kArchitectures)) {
      worst = std::max(worst, e);
    }
  }
  return worst;
}

std::string TempPath(const std::string& name) {
  const std::string path =
      testing::TempDir() + "/trainer." + std::to_string(getpid()) + "." + name;
  std::remove(path.c_str());
  return path;
}

TEST(TrainerTest, LearnsTotalsOfASeparableSet) {
  const auto set = TwoProgramSet();
  auto model = Train(set->data, SmallOptions());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT(WorstError(*model, set->data), 0.05);
}

TEST(TrainerTest, LearnsThemByThePapersLossToo) {
  const auto set = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.loss = "mse";
  auto model = Train(set->data, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->scales[0], model->scales[1]);
  EXPECT_LT(WorstError(*model, set->data), 0.05);
}

TEST(TrainerTest, LearnsAllArchitecturesFromOneAtATime) {
  const auto set = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.architectures_sample = 1;
  auto model = Train(set->data, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT(WorstError(*model, set->data), 0.1);
}

TEST(TrainerTest, TheSameSeedGivesTheSameModel) {
  const auto set = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.updates = 30;
  auto one = Train(set->data, options), two = Train(set->data, options);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->network->parameters(), two->network->parameters());
  options.seed = 2;
  auto three = Train(set->data, options);
  ASSERT_TRUE(three.ok());
  EXPECT_NE(one->network->parameters(), three->network->parameters());
}

TEST(TrainerTest, KeepsTheBestByValidationAndStopsWithPatience) {
  const auto set = TwoProgramSet();
  TrainingData data = set->data;
  data.training.resize(1);
  data.validation = {set->data.training[1]};
  TrainOptions options = SmallOptions();
  options.validate_updates = 20;
  options.validate_segments = 3;
  options.patience = 2;
  options.updates = 5000;
  options.learning_rate = 3e-2;
  options.log = TempPath("log");
  auto model = Train(data, options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_LT(model->updates_done, 5000);
  EXPECT_EQ(model->update, model->updates_done - 2 * 20);
  std::ifstream in(options.log);
  int validations = 0;
  double least = 1e9;
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("validation_error")) continue;
    ++validations;
    least = std::min({least, json["validation_error"].get<double>(),
                      json["validation_error_averaged"].get<double>()});
    EXPECT_TRUE(json["programs"].contains("p1"));
  }
  EXPECT_EQ(validations, model->updates_done / 20);
  EXPECT_EQ(model->validation_error, least);
  std::remove(options.log.c_str());
}

TEST(TrainerTest, GoesOnFromACheckpointToTheSameBits) {
  const auto set = TwoProgramSet();
  TrainingData data = set->data;
  data.training.resize(1);
  data.validation = {set->data.training[1]};
  TrainOptions options = SmallOptions();
  options.updates = 90;
  options.architectures_sample = 1;
  options.validate_updates = 25;
  options.pieces_per_visit = 3;
  options.log = TempPath("straight");
  auto straight = Train(data, options);
  ASSERT_TRUE(straight.ok()) << straight.status();

  // Cut off at 37, in the middle of visits, log lines and validations, and
  // lengthened: the schedule is that of the longer run from its start.
  TrainOptions cut = options;
  cut.checkpoint = TempPath("checkpoint");
  cut.checkpoint_updates = 37;
  cut.log = TempPath("cut");
  ASSERT_TRUE(TrainUntil(data, cut, 40).ok());
  auto resumed = Train(data, cut);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(straight->network->parameters(), resumed->network->parameters());
  EXPECT_EQ(straight->update, resumed->update);
  // What the log says of losses is the same as well.
  const auto losses = [](const std::string& path) {
    std::map<int, double> result;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("loss")) result[json["update"]] = json["loss"];
    }
    return result;
  };
  EXPECT_EQ(losses(options.log), losses(cut.log));
  EXPECT_EQ(losses(cut.log).size(), 4);
  for (const auto* o : {&options, &cut}) std::remove(o->log.c_str());
  std::remove(cut.checkpoint.c_str());
}

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.updates = 10;
    options_.checkpoint = TempPath("checkpoint");
    ASSERT_TRUE(Train(set_->data, options_).ok());
  }
  void TearDown() override { std::remove(options_.checkpoint.c_str()); }

  std::string Read() {
    std::ifstream in(options_.checkpoint, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& bytes) {
    std::ofstream(options_.checkpoint, std::ios::binary) << bytes;
  }
  void ExpectRefused(absl::StatusCode code, const std::string& words) {
    auto model = Train(set_->data, options_);
    EXPECT_EQ(model.status().code(), code) << model.status();
    EXPECT_NE(model.status().message().find(words), std::string::npos)
        << model.status();
  }

  std::unique_ptr<SmallSet> set_ = TwoProgramSet();
  TrainOptions options_ = SmallOptions();
};

TEST_F(CheckpointTest, IsRefusedForAnotherRun) {
  options_.width = 16;
  options_.seed = 9;
  ExpectRefused(absl::StatusCode::kFailedPrecondition,
                "seed (then 1, now 9), width (then 8, now 16)");
  options_ = SmallOptions();
  options_.checkpoint = TempPath("other");
  options_.updates = 10;
  ASSERT_TRUE(Train(set_->data, options_).ok());
  set_->data.training.resize(1);
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "the data");
}

TEST_F(CheckpointTest, IsRefusedWhenDamaged) {
  const std::string good = Read();
  for (const size_t size :
       {good.size() - 1, good.size() / 2, size_t{20}, size_t{9}}) {
    Write(good.substr(0, size));
    ExpectRefused(absl::StatusCode::kDataLoss, "cut or damaged");
  }
  for (size_t at = 8; at < good.size(); at += good.size() / 20) {
    std::string bad = good;
    bad[at] ^= 4;
    Write(bad);
    ExpectRefused(absl::StatusCode::kDataLoss, "cut or damaged");
  }
  Write("");
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "not a checkpoint");
  Write("something else entirely");
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "not a checkpoint");
  Write(good);
  EXPECT_TRUE(Train(set_->data, options_).ok());
}

TEST(TrainerTest, RefusesWhatItCannotTrainOn) {
  const auto set = TwoProgramSet();
  TrainOptions options = SmallOptions();
  options.steps = 10000;
  auto model = Train(set->data, options);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  options = SmallOptions();
  options.lanes = 0;
  model = Train(set->data, options);
  EXPECT_EQ(model.status().message(),
            "option lanes: expected 1 or more, found 0");
  options = SmallOptions();
  options.loss = "l1";
  model = Train(set->data, options);
  EXPECT_EQ(model.status().message(),
            "option loss: expected scaled or mse, found l1");
}

}  // namespace
}  // namespace perfvec::train
