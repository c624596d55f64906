// The command as it is run: killed at any instant it goes on to the same bytes.
#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/testing/processes.h"
#include "tests/worker/train/small_data.h"

namespace perfvec::train {
namespace {

using perfvec::testing::BinaryPath;
using perfvec::testing::CommandResult;
using perfvec::testing::Process;
using ::testing::HasSubstr;
using Arguments = std::vector<std::string>;

constexpr absl::Duration kLong = absl::Seconds(300);

class TrainCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteSmallData(Path("data"), {"a", "b", "c", "d", "e", "f"},
                   {"fast", "middle", "slow"}, 16000);
    WriteJson(Path("config.json"), {{"data", {Path("data")}},
                                    {"cache", Path("cache")},
                                    {"features", "perfvec-51-v1"},
                                    {"width", 16},
                                    {"layers", 1},
                                    {"lanes", 4},
                                    {"steps", 32},
                                    {"warm_up", 8},
                                    {"pieces_per_visit", 3},
                                    {"updates", 60},
                                    {"threads", 1},
                                    {"validate_families", {"b"}},
                                    {"validate_updates", 20},
                                    {"validate_segments", 2},
                                    {"holdout_tail", 0.1},
                                    {"log_updates", 7},
                                    {"checkpoint_updates", 5}});
  }
  std::string Path(const std::string& name) { return directory_ / name; }
  std::string Read(const std::string& name) {
    std::ifstream in(Path(name), std::ios::binary);
    EXPECT_TRUE(in) << name;
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Arguments Command(const Arguments& more) {
    Arguments argv = {BinaryPath("worker/perfvec-worker"), "train", "--config",
                      Path("config.json")};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  CommandResult Run(const Arguments& more) {
    auto result = perfvec::testing::RunCommand({Command(more)}, kLong);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : CommandResult{-1, "", ""};
  }
  void ExpectSameModel(const std::string& one, const std::string& two) {
    for (const char* file : {"/manifest.json", "/model.safetensors"}) {
      EXPECT_EQ(Read(one + file), Read(two + file)) << file;
    }
  }

  perfvec::testing::TempDir directory_;
};

TEST_F(TrainCommandTest, KilledAtAnyInstantItGoesOnToTheSameBytes) {
  const CommandResult straight =
      Run({"--out", Path("straight"), "--checkpoint", Path("unused")});
  ASSERT_EQ(straight.exit_code, 0) << straight.err;
  std::mt19937 random(11);
  const Arguments command = Command({"--out", Path("killed"), "--checkpoint",
                                     Path("checkpoint"), "--log", Path("log")});
  // Each run is killed once it has told of an update a little further on,
  // wherever it is by then.
  for (int update = 7; update < 60; update += 7 * (1 + random() % 2)) {
    auto process = Process::Start({command});
    ASSERT_TRUE(process.ok()) << process.status();
    auto told =
        (*process)->WaitFor(absl::StrCat("\"update\":", update, "[,}]"), kLong);
    ASSERT_TRUE(told.ok()) << told.status();
    ASSERT_TRUE((*process)->Signal(SIGKILL).ok());
    ASSERT_TRUE((*process)->Wait(kLong).ok());
  }
  const CommandResult last = Run({"--out", Path("killed"), "--checkpoint",
                                  Path("checkpoint"), "--log", Path("log")});
  ASSERT_EQ(last.exit_code, 0) << last.err;
  ExpectSameModel("straight", "killed");
  EXPECT_THAT(Read("log"), HasSubstr("resumed_at"));
  // Once it is done, the same command makes the same model without training.
  ASSERT_EQ(Run({"--out", Path("again"), "--checkpoint", Path("checkpoint")})
                .exit_code,
            0);
  ExpectSameModel("straight", "again");
}

class TwoProcessesTest : public TrainCommandTest {
 protected:
  // Rank 0 and 1 of a run; `meeting` is new to each.
  std::vector<std::unique_ptr<Process>> Start(const std::string& out,
                                              const std::string& checkpoint,
                                              const std::string& meeting) {
    std::vector<std::unique_ptr<Process>> processes;
    for (int rank = 0; rank < 2; ++rank) {
      auto process = Process::Start(
          {Command({"--out", Path(out), "--checkpoint", Path(checkpoint),
                    "--log", Path(out + ".log"), "--world-size", "2", "--rank",
                    std::to_string(rank), "--rendezvous", Path(meeting)})});
      EXPECT_TRUE(process.ok()) << process.status();
      if (process.ok()) processes.push_back(*std::move(process));
    }
    return processes;
  }
  void ExpectSuccess(std::vector<std::unique_ptr<Process>> processes) {
    for (auto& process : processes) {
      auto code = process->Wait(kLong);
      ASSERT_TRUE(code.ok()) << process->Describe();
      EXPECT_EQ(*code, 0) << process->Describe();
    }
  }
  double LastLoss(const std::string& log) {
    std::ifstream in(Path(log));
    double loss = -1;
    for (std::string line; std::getline(in, line);) {
      const auto json = nlohmann::json::parse(line);
      if (json.contains("loss")) loss = json["loss"];
    }
    return loss;
  }
};

TEST_F(TwoProcessesTest, ReachTheLossOfOne) {
  const CommandResult one =
      Run({"--out", Path("one"), "--log", Path("one.log")});
  ASSERT_EQ(one.exit_code, 0) << one.err;
  ExpectSuccess(Start("two", "checkpoint", "meeting"));
  const double alone = LastLoss("one.log"), together = LastLoss("two.log");
  EXPECT_GT(together, 0);
  EXPECT_NEAR(together / alone, 1, 0.3);
  EXPECT_EQ(nlohmann::json::parse(Read(
                "two/manifest.json"))["provenance"]["options"]["world_size"],
            2);
}

TEST_F(TwoProcessesTest, OneThatDiesEndsTheOtherAndBothGoOnToTheSameBytes) {
  ExpectSuccess(Start("straight", "unused", "meeting0"));
  for (int victim = 0; victim < 2; ++victim) {
    auto processes = Start("killed", "checkpoint", absl::StrCat("m", victim));
    ASSERT_EQ(processes.size(), 2);
    ASSERT_TRUE(
        processes[0]
            ->WaitFor(absl::StrCat("\"update\":", 14 + 21 * victim, "[,}]"),
                      kLong)
            .ok());
    ASSERT_TRUE(processes[victim]->Signal(SIGKILL).ok());
    auto& other = processes[1 - victim];
    auto code = other->Wait(kLong);
    ASSERT_TRUE(code.ok()) << other->Describe();
    EXPECT_EQ(*code, 1) << other->Describe();
    EXPECT_THAT(other->err(),
                HasSubstr("another process of this run has ended"));
  }
  ExpectSuccess(Start("killed", "checkpoint", "last"));
  ExpectSameModel("straight", "killed");
  EXPECT_THAT(Read("killed.log"), HasSubstr("resumed_at"));
}

TEST_F(TwoProcessesTest, MustHaveTheSameOptions) {
  std::vector<std::unique_ptr<Process>> processes;
  for (int rank = 0; rank < 2; ++rank) {
    auto process = Process::Start(
        {Command({"--out", Path("out"), "--world-size", "2", "--rank",
                  std::to_string(rank), "--rendezvous", Path("meeting"),
                  "--learning-rate", rank == 0 ? "0.001" : "0.002"})});
    ASSERT_TRUE(process.ok()) << process.status();
    processes.push_back(*std::move(process));
  }
  for (auto& process : processes) {
    auto code = process->Wait(kLong);
    ASSERT_TRUE(code.ok()) << process->Describe();
    EXPECT_EQ(*code, 1);
    EXPECT_THAT(process->err(), HasSubstr("the same options and data"));
  }
}

TEST_F(TrainCommandTest, AuxiliaryArchitecturesAreTrainedOnAndNotSaved) {
  const nlohmann::json listed = {
      {{"name", "fast"}, {"split", "seen"}, {"kind", "test"}},
      {{"name", "small"}, {"split", "seen"}, {"auxiliary", true}},
      {{"name", "slow"}, {"split", "seen"}, {"kind", "test"}}};
  WriteJson(Path("data") + "/architectures.json", listed);
  WriteSmallData(Path("more"), {"g"}, {"small"}, 16000);
  WriteJson(Path("more") + "/architectures.json", listed);
  WriteJson(
      Path("more") + "/programs.json",
      {{{"name", "g"}, {"family", "g"}, {"split", "seen"}, {"partial", true}}});
  const CommandResult result = Run(
      {"--data", Path("data"), "--data", Path("more"), "--out", Path("model")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto manifest = nlohmann::json::parse(Read("model/manifest.json"));
  ASSERT_EQ(manifest["architectures"].size(), 2);
  EXPECT_EQ(manifest["architectures"][0]["name"], "fast");
  EXPECT_EQ(manifest["architectures"][1]["name"], "slow");
  const auto& errors = manifest["provenance"]["validation"];
  EXPECT_LT(errors["mean_error"].get<double>(), 0.5);
}

TEST_F(TrainCommandTest, TheManifestSaysWhatWasTrainedOnAndHow) {
  const CommandResult result =
      Run({"--out", Path("model"), "--seed", "5", "--report",
           Path("report.json"), "--drop-features", "memory"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto manifest = nlohmann::json::parse(Read("model/manifest.json"));
  const auto& provenance = manifest["provenance"];
  EXPECT_EQ(provenance["options"]["seed"], 5);
  EXPECT_EQ(provenance["options"]["width"], 16);
  EXPECT_FALSE(provenance["options"].contains("data"));
  EXPECT_EQ(provenance["training_programs"],
            nlohmann::json({"a", "c", "d", "e", "f"}));
  EXPECT_EQ(provenance["validation_families"], nlohmann::json({"b"}));
  EXPECT_EQ(provenance["held_out_tails"]["a"], nlohmann::json({14400, 16000}));
  auto report = nlohmann::json::parse(Read("report.json"));
  auto& errors = report["programs"][0]["errors"];  // for the file alone
  ASSERT_EQ(errors.size(), 3);
  const double sum = errors["fast"].get<double>() +
                     errors["middle"].get<double>() +
                     errors["slow"].get<double>();
  EXPECT_DOUBLE_EQ(sum / 3, report["programs"][0]["mean_error"]);
  report["programs"][0].erase("errors");
  EXPECT_EQ(provenance["validation"], report);
  EXPECT_TRUE(
      provenance["validation"]["programs"][0]["mean_error"].is_number());
  // No input looks at a stack distance.
  for (const auto& column : manifest["inputs"]) {
    EXPECT_NE(column["feature"], 18) << column;
    EXPECT_NE(column["feature"], 22) << column;
  }
}

TEST_F(TrainCommandTest, SaysWhatIsWrong) {
  const auto fail = [&](const Arguments& more, const std::string& words) {
    const CommandResult result = Run(more);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
  };
  fail({}, "option out: must be given");
  const Arguments out = {"--out", Path("model")};
  const auto with = [&](Arguments more) {
    more.insert(more.end(), out.begin(), out.end());
    return more;
  };
  fail(with({"--world-size", "2"}), "option rendezvous: several processes");
  fail(with({"--world-size", "2", "--rank", "2"}), "a rank below the size");
  fail(with({"--world-size", "2", "--rendezvous", "tcp://nowhere"}),
       "expected tcp://HOST:PORT");
  fail(with({"--world-size", "2", "--rendezvous", Path("alone"),
             "--peer-timeout-seconds", "1"}),
       "the others were not found");
  fail(with({"--width", "0"}), "option width: expected 1 or more, found 0");
  fail(with({"--features", "all"}), "option features: expected perfvec-51-v1");
  fail(with({"--family", "oracle"}), "family");
  fail(with({"--validate-families", "z"}), "z is no family of the data");
  fail(with({"--drop-features", "colour"}), "expected memory, branch");
  fail(with({"--holdout-tail", "0.99"}), "nothing is left");
  fail(with({"--data-fraction", "0"}), "data_fraction");
  fail(with({"--programs", "b"}), "no program is left to train on");
  WriteJson(Path("config.json"), {{"dta", "x"}});
  fail(out, "unknown key dta; the nearest is data");
}

}  // namespace
}  // namespace perfvec::train
