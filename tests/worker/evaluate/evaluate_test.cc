#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/worker/evaluate/synthetic_data.h"
#include "worker/evaluate/evaluate_command.h"
#include "worker/evaluate/evaluation.h"
#include "worker/evaluate/program_table.h"
#include "worker/evaluate/report.h"

namespace perfvec::train {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const char kModel[] = PERFVEC_SOURCE_DIR "/deploy/models/default";

struct Outcome {
  int code = 0;
  std::string out, err;
};

Outcome Command(const std::string& arguments) {
  CLI::App app;
  Outcome outcome;
  AddEvaluateCommand(&app, &outcome.code);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  app.parse("evaluate " + arguments);
  outcome.out = testing::internal::GetCapturedStdout();
  outcome.err = testing::internal::GetCapturedStderr();
  return outcome;
}

json ReadJson(const std::string& path) {
  return json::parse(std::ifstream(path), nullptr, false);
}

// Six training programs, two left out, two unseen; six machines known, one of
// split unseen.
class EvaluateTest : public testing::Test {
 protected:
  static constexpr int kInstructions = 21000;

  EvaluateTest() {
    for (int i = 0; i < 6; ++i) {
      programs_.push_back({absl::StrCat("train", i), absl::StrCat("f", i),
                           "seen", kInstructions, 20 + 40 * i});
    }
    programs_.push_back({"left", "f0", "seen", kInstructions, 100});
    programs_.push_back({"other", "g", "seen", kInstructions, 300});
    programs_.push_back({"new", "h", "unseen", kInstructions, 200});
    for (int a = 0; a < 6; ++a) {
      machines_.push_back({absl::StrCat("m", a), "seen", 20 + 9 * a, 3 + a});
    }
    machines_.push_back({"hidden", "unseen", 33, 7});
    json names = json::array(), tails;
    for (int i = 0; i < 6; ++i) {
      names.push_back(programs_[i].name);
      tails[programs_[i].name] = {kInstructions - 3000, kInstructions};
    }
    provenance_ = {{"training_programs", names}, {"held_out_tails", tails}};
    Write();
  }

  void Write() {
    WriteDataFolder(data(), programs_, machines_);
    ASSERT_TRUE(
        SyntheticModel({"m0", "m1", "m2", "m3", "m4", "m5"}, provenance_)
            .Save(model())
            .ok());
  }

  std::string data() const { return folder_.path() + "/data"; }
  std::string model() const { return folder_.path() + "/model"; }
  std::string file(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  std::string Arguments() const {
    return "--data " + data() + " --model " + model() + " --reference m0 " +
           "--json " + file("out.json");
  }
  json Report() const { return ReadJson(file("out.json")); }

  TemporaryFolder folder_;
  std::vector<SyntheticProgram> programs_;
  std::vector<SyntheticArchitecture> machines_;
  json provenance_;
};

const json& SplitOf(const json& report, const std::string& name) {
  for (const json& s : report["splits"]) {
    if (s["split"] == name) return s;
  }
  static const json& none = *new json;
  return none;
}

TEST_F(EvaluateTest, ErrorsAreThoseOfTotalTimes) {
  const Outcome outcome = Command(Arguments());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = Report();
  EXPECT_EQ(report["times_opened_on_unseen"], 0);
  ASSERT_EQ(report["splits"].size(), 2);
  for (const auto& [name, programs, instructions] :
       {std::tuple("tail", 6, 3000),
        std::tuple("left-out", 2, kInstructions - 10000)}) {
    const json& split = SplitOf(report, name);
    ASSERT_EQ(split["programs"].size(), programs) << name;
    double mean = 0, worst = 0;
    for (const json& p : split["programs"]) {
      EXPECT_EQ(p["instructions"], instructions);
      ASSERT_EQ(p["architectures"].size(), 6);
      double of_program = 0;
      for (const auto& [machine, cell] : p["architectures"].items()) {
        const double time = cell["time_tenth_ns"];
        const double predicted = cell["predicted_tenth_ns"];
        const double error = cell["error"];
        EXPECT_NEAR(error, std::abs(predicted - time) / time, 1e-12);
        EXPECT_NEAR(cell["cold"]["time_tenth_ns"].get<double>() +
                        cell["rest"]["time_tenth_ns"].get<double>(),
                    time, 1e-6);
        double kinds = 0;
        for (const auto& [kind, pair] : cell["kinds"].items()) {
          kinds += pair[1].get<double>();
        }
        EXPECT_NEAR(kinds, predicted, 1e-6 * std::abs(predicted)) << machine;
        of_program += error / 6;
        worst = std::max(worst, error);
      }
      EXPECT_NEAR(p["mean_error"].get<double>(), of_program, 1e-12);
      mean += of_program / programs;
    }
    EXPECT_NEAR(split["summary"]["mean_error"].get<double>(), mean, 1e-12);
    EXPECT_NEAR(split["summary"]["max_error"].get<double>(), worst, 1e-12);
    EXPECT_LE(split["summary"]["mean_error_low"].get<double>(), mean);
    EXPECT_GE(split["summary"]["mean_error_high"].get<double>(), mean);
    EXPECT_EQ(split["rivals"].size(), 4);
  }
  // The simulated time itself, of one program, from the data.
  const json& left = SplitOf(report, "left-out")["programs"][0];
  EXPECT_EQ(left["program"], "left");
  EXPECT_TRUE(left["family_shared"].get<bool>());
  double time = 0, whole = 0;
  for (int i = 0; i < kInstructions; ++i) {
    const double t = SyntheticLatency(machines_[3], programs_[6], i);
    whole += t;
    if (i >= 10000) time += t;
  }
  const json& cell = left["architectures"]["m3"];
  EXPECT_EQ(cell["time_tenth_ns"], time);
  EXPECT_EQ(cell["whole_trace"]["time_tenth_ns"], whole);
  EXPECT_THAT(outcome.out, HasSubstr("opened on unseen data 0 times"));
  EXPECT_THAT(outcome.out, HasSubstr("rival completion"));
}

// These programs differ by one number: completion from three machines must be
// all but exact, the mean must not.
TEST_F(EvaluateTest, RivalsAreJudgedOnTheSameErrors) {
  ASSERT_EQ(Command(Arguments() + " --split left-out").code, 0);
  const json report = Report();
  const json& rivals = SplitOf(report, "left-out")["rivals"];
  const double mean = rivals["mean-cpi"]["summary"]["mean_error"];
  const double completion = rivals["completion"]["summary"]["mean_error"];
  EXPECT_GT(mean, 0.02);
  EXPECT_LT(completion, 0.02);
  EXPECT_EQ(rivals["mean-cpi"]["summary"]["errors"], 2 * 6);
  EXPECT_EQ(rivals["scaled"]["summary"]["errors"], 2 * 5);
  EXPECT_EQ(rivals["completion"]["summary"]["errors"], 2 * 3);
  const json& cells = rivals["scaled"]["programs"][0]["architectures"];
  EXPECT_FALSE(cells.contains("m0"));
  EXPECT_EQ(
      cells["m4"]["time_tenth_ns"],
      SplitOf(
          report,
          "left-out")["programs"][0]["architectures"]["m4"]["time_tenth_ns"]);
}

TEST_F(EvaluateTest, UnseenDataIsNotTouchedWithoutTheFlag) {
  std::filesystem::remove_all(data() + "/gem5/new");
  ASSERT_EQ(Command(Arguments() + " --learn-from train0,train1").code, 0);
  EXPECT_EQ(Report().dump().find("hidden"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(model() + "/evaluations.json"));
  const Outcome opened =
      Command(Arguments() + " --learn-from train0,train1 --open-unseen");
  EXPECT_EQ(opened.code, 1);
  EXPECT_THAT(opened.err, HasSubstr("/gem5/new/"));
  // It was counted all the same: before opening, not after.
  EXPECT_EQ(ReadJson(model() + "/evaluations.json").size(), 1);
}

TEST_F(EvaluateTest, EveryOpeningIsCounted) {
  const std::string arguments =
      Arguments() + " --open-unseen --learn-from train0,train2,train4";
  Outcome outcome = Command(arguments);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("opened on unseen data 1 time\n"));
  const json report = Report();
  EXPECT_EQ(report["times_opened_on_unseen"], 1);
  ASSERT_EQ(report["splits"].size(), 5);
  EXPECT_EQ(SplitOf(report, "unseen-programs")["programs"].size(), 1);
  EXPECT_EQ(SplitOf(report, "unseen-architectures")["programs"].size(), 5);
  EXPECT_EQ(SplitOf(report, "unseen-both")["architectures"],
            json::array({"hidden"}));
  EXPECT_THAT(report["learning"].get<std::string>(),
              HasSubstr("1 architectures learned from train0, train2, train4"));

  outcome = Command(arguments + " --split unseen-both");
  EXPECT_THAT(outcome.out, HasSubstr("opened on unseen data 2 times"));
  outcome = Command(Arguments());  // opens nothing, but says so
  EXPECT_THAT(outcome.out, HasSubstr("opened on unseen data 2 times"));
  const json ledger = ReadJson(model() + "/evaluations.json");
  ASSERT_EQ(ledger.size(), 2);
  EXPECT_EQ(ledger[0]["programs"], json::array({"new"}));
  EXPECT_EQ(ledger[0]["architectures"], json::array({"hidden"}));
  EXPECT_EQ(ledger[0]["model_id"], report["model_id"]);

  // A damaged ledger stops everything: it cannot be counted on.
  WriteText(model() + "/evaluations.json", "{");
  outcome = Command(arguments);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("evaluations.json"));
}

// Times that a vector explains exactly are learned: the machine "hidden" gets
// latencies that the network's own outputs predict nearly, through many
// programs, so its error is near that of known machines fitted the same way.
TEST_F(EvaluateTest, LearnedVectorsPredictBetterThanNone) {
  ASSERT_EQ(
      Command(Arguments() +
              " --open-unseen --learn-from train0,train1,train3,train4,train5")
          .code,
      0);
  const json report = Report();
  // A random network; yet loads and the rest are told apart by it, and these
  // machines differ in nothing else.
  EXPECT_LT(SplitOf(report, "unseen-architectures")["summary"]["mean_error"]
                .get<double>(),
            0.12);
}

// A folder of a new machine's times alone: what the model knows of others is
// the prior still.
TEST_F(EvaluateTest, LearnsFromAFolderWithoutKnownMachines) {
  const std::vector<SyntheticArchitecture> hidden = {machines_.back()};
  WriteDataFolder(data(), programs_, hidden);
  const Outcome outcome =
      Command(Arguments() +
              " --open-unseen --no-rivals --split unseen-architectures "
              "--learn-from train0,train1,train3,train4,train5");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = Report();
  EXPECT_EQ(report["learning"],
            "1 architectures learned from train0, train1, train3, train4, "
            "train5; prior of 6 known");
  EXPECT_LT(SplitOf(report, "unseen-architectures")["summary"]["mean_error"]
                .get<double>(),
            0.15);
}

// Saved, "hidden" is one of the model's own; learned again it has one row
// still.
TEST_F(EvaluateTest, SavesLearnedVectorsWithTheModel) {
  const std::string arguments =
      Arguments() + " --open-unseen --learn-from train0,train1,train3";
  auto before = compute::FoundationModel::Load(model());
  ASSERT_TRUE(before.ok()) << before.status();
  const size_t known = before->manifest().architectures.size();
  for (int i = 0; i < 2; ++i) {
    const Outcome outcome = Command(arguments + " --save-learned " + model());
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    auto after = compute::FoundationModel::Load(model());
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(after->id(), before->id());
    ASSERT_EQ(after->manifest().architectures.size(), known + 1);
    EXPECT_EQ(after->manifest().architectures.back().name, "hidden");
    const int width = after->manifest().width;
    EXPECT_TRUE(std::equal(before->ArchitectureVector(0),
                           before->ArchitectureVector(0) + known * width,
                           after->ArchitectureVector(0)));
    const float* learned = after->ArchitectureVector(known);
    EXPECT_TRUE(
        std::any_of(learned, learned + width, [](float v) { return v != 0; }));
  }
}

TEST_F(EvaluateTest, StudiesDoNotTakeUnseenMachinesForKnown) {
  EXPECT_EQ(*UnseenArchitectures({data()}), std::set<std::string>{"hidden"});
  compute::Manifest manifest;
  for (const char* name : {"a", "hidden", "elsewhere"}) {
    manifest.architectures.emplace_back();
    manifest.architectures.back().name = name;
  }
  EXPECT_EQ(*KnownArchitectures(manifest, {data()}),
            (std::vector<size_t>{0, 2}));
  EXPECT_FALSE(KnownArchitectures(manifest, {data() + "/none"}).ok());
}

TEST_F(EvaluateTest, SameSeedSameReport) {
  ASSERT_EQ(Command(Arguments()).code, 0);
  const json first = Report();
  ASSERT_EQ(Command(Arguments() + " --threads 1").code, 0);
  EXPECT_EQ(first, Report());
}

TEST_F(EvaluateTest, DrawsPictures) {
  ASSERT_EQ(Command(Arguments() + " --no-rivals --plot " + file("p")).code, 0);
  for (const char* name : {"representations.svg", "architectures.svg",
                           "errors_tail.svg", "errors_left-out.svg"}) {
    std::ifstream in(file("p/") + name);
    std::stringstream text;
    text << in.rdbuf();
    EXPECT_THAT(text.str(), HasSubstr("</svg>")) << name;
    EXPECT_EQ(text.str().find("nan"), std::string::npos) << name;
  }
}

TEST_F(EvaluateTest, SaysWhatIsWrongWithTheData) {
  const auto error = [&](const std::string& more) {
    const Outcome outcome = Command(Arguments() + more);
    EXPECT_EQ(outcome.code, 1);
    return outcome.err;
  };
  EXPECT_THAT(error(" --programs absent"), HasSubstr("program absent"));
  EXPECT_THAT(error(" --learn-from absent"), HasSubstr("program absent"));
  EXPECT_THAT(error(" --split unseen-programs"), HasSubstr("--open-unseen"));
  EXPECT_THAT(error(" --split tail --programs left"), HasSubstr("empty"));

  const std::string latency = data() + "/gem5/left/latency.u16.zst";
  std::filesystem::resize_file(latency, 1000);
  EXPECT_THAT(error(""), HasSubstr("gem5/left/latency.u16.zst"));
  std::filesystem::remove(latency);
  EXPECT_THAT(error(""), HasSubstr("gem5/left/latency.u16.zst"));
  Write();
  std::filesystem::remove_all(data() + "/gem5/other");
  EXPECT_THAT(error(""), HasSubstr("gem5/other/trace.txt.zst"));
  Write();
  WriteText(data() + "/gem5/other/trace.txt.zst", "0 -1 rubbish\n");
  EXPECT_THAT(error(""), HasSubstr("trace.txt.zst"));
  Write();
  std::string list = ReadJson(data() + "/programs.json").dump();
  const auto damage = [&](const std::string& from, const std::string& to) {
    std::string text = list;
    text.replace(text.find(from), from.size(), to);
    WriteText(data() + "/programs.json", text);
    return error("");
  };
  EXPECT_THAT(damage("21000", "21001"), HasSubstr("21001"));
  EXPECT_THAT(damage("21000", "-5"), HasSubstr("positive number"));
  EXPECT_THAT(damage("\"seen\"", "\"often\""), HasSubstr("often"));
  EXPECT_THAT(damage("train0", "../up"), HasSubstr("../up"));
  EXPECT_THAT(damage("train0", "train1"), HasSubstr("listed twice"));
  EXPECT_THAT(damage("[", "[["), HasSubstr("expected a JSON list"));
  Write();
  // Times of zero cannot be divided by.
  WriteText(data() + "/gem5/left/latency.u16.zst",
            std::string(machines_.size() * kInstructions * 2, '\0'));
  EXPECT_THAT(error(" --split left-out --no-rivals"),
              HasSubstr("program left: "));
}

TEST_F(EvaluateTest, SaysWhatIsWrongWithTheModel) {
  Outcome outcome = Command("--data " + data() + " --model /nonexistent/model");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/model"));
  outcome = Command(std::string("--data /nonexistent --model ") + kModel);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/architectures.json"));
  // None of these machines is known to the bundled model.
  outcome = Command("--data " + data() + " --model " + kModel);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("--learn-from"));
  json manifest = ReadJson(model() + "/manifest.json");
  manifest["feature_schema"] = "perfvec-99-v1";
  WriteText(model() + "/manifest.json", manifest.dump());
  outcome = Command(Arguments());
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("perfvec-99-v1"));
}

std::string SharedData() {
  const char* set = std::getenv("PERFVEC_DATA");
  return set != nullptr ? set : PERFVEC_SOURCE_DIR "/../shared/data";
}

// A seen program on all seen machines, by whatever model is bundled.
TEST(EvaluateSharedDataTest, TheBundledModelIsNotFarOff) {
  if (!std::filesystem::exists(SharedData() + "/programs.json")) {
    GTEST_SKIP() << "no simulated traces at " << SharedData();
  }
  TemporaryFolder folder;
  const std::string file = folder.path() + "/out.json";
  const Outcome outcome = Command(
      "--data " + SharedData() + " --model " + kModel +
      " --programs skip_list --no-rivals --split left-out --json " + file);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = ReadJson(file);
  const json& program = report["splits"][0]["programs"][0];
  EXPECT_EQ(program["architectures"].size(), 77);
  EXPECT_EQ(program["first_instruction"], 10000);
  EXPECT_LT(program["mean_error"].get<double>(), 0.2);
  EXPECT_GT(program["kendall_tau"].get<double>(), 0.8);
}

}  // namespace
}  // namespace perfvec::train
