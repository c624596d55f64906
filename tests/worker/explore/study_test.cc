#include "worker/explore/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/worker/model/random_model.h"
#include "worker/explore/slice_study.h"
#include "worker/explore/study_report.h"

namespace perfvec::explore {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr size_t kInstructions = 100000;

// A folder of two training programs and a target, all with the bundled trace,
// and nine designs whose latencies follow a rule.
class StudyTest : public testing::Test {
 protected:
  void SetUp() override {
    // Concurrent test processes must not share it.
    root_ = fs::path(testing::TempDir()) /
            (std::string("study_") +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    for (int a = 1; a <= 4; a *= 2) {
      for (int b = 16; b <= 64; b *= 2) {
        designs_.push_back({{"name", Name(a, b)},
                            {"a", a},
                            {"b", b},
                            {"sampled", a != 2 || b != 32}});
      }
    }
    programs_ = {
        {{"name", "one"}, {"role", "train"}, {"instructions", kInstructions}},
        {{"name", "two"}, {"role", "train"}, {"instructions", kInstructions}},
        {{"name", "new"}, {"role", "target"}, {"instructions", kInstructions}}};
    const fs::path sample =
        fs::path(PERFVEC_SOURCE_DIR) / "deploy/samples/kdtree_nn";
    json totals;
    for (const json& p : programs_) {
      const fs::path folder = root_ / p["name"].get<std::string>();
      fs::create_directories(folder);
      for (const char* file : {"trace.txt.zst", "trace.sq.txt.zst"}) {
        fs::create_symlink(sample / file, folder / file);
      }
      if (p["role"] == "train") WriteLatencies(folder / "latency.u16.zst");
      for (const json& d : designs_) {
        uint64_t total = 0;
        for (size_t i = 0; i < kInstructions; ++i) total += Latency(d, i);
        totals[p["name"].get<std::string>()][d["name"].get<std::string>()] =
            total;
      }
    }
    Write("designs.json", designs_);
    Write("programs.json", programs_);
    Write("totals.json", {{"unit", "0.1 ns"}, {"total", totals}});

    compute::Manifest m = compute::SmallManifest(1, 8);
    for (int k = 0; k < 5; ++k) {
      m.architectures.push_back({"known" + std::to_string(k), "{}"});
    }
    compute::TensorMap tensors = compute::RandomTensors(m, 1);
    compute::Tensor vectors;
    vectors.shape = {5, 8};
    for (int i = 0; i < 40; ++i) {
      vectors.values.push_back(20.0f + static_cast<float>(i * 7 % 11));
    }
    tensors["architecture_vectors"] = vectors;
    auto model = compute::FoundationModel::Create(m, std::move(tensors));
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_TRUE(model->Save((root_ / "model").string()).ok());
    options_.data = root_.string();
    options_.model = (root_ / "model").string();
    options_.evidence.cache = (root_ / "cache").string();
    options_.evidence.cpu.threads = 1;
    options_.objective = "(100 + 10*a + b) * time";
    // A random network sees little: let it fit what it can.
    options_.learn.weights = {{4, 1e-7, 1e4}, {4, 1e-6, 1e4}};
    options_.network.sizes = {{0, 1e-6}, {4, 1e-6}};
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::string Name(int a, int b) {
    return "a" + std::to_string(a) + "_b" + std::to_string(b);
  }
  static uint16_t Latency(const json& design, size_t i) {
    const int a = design["a"], b = design["b"];
    return static_cast<uint16_t>(10 + (i % 3 == 0 ? 40 / a : 0) +
                                 (i % 7 == 0 ? 3000 / b : 0));
  }
  void WriteLatencies(const fs::path& path) {
    std::ofstream out(path, std::ios::binary);
    for (const json& d : designs_) {
      if (!d["sampled"].get<bool>()) continue;
      for (size_t i = 0; i < kInstructions; ++i) {
        const uint16_t t = Latency(d, i);
        out.put(static_cast<char>(t & 255)).put(static_cast<char>(t >> 8));
      }
    }
  }
  void Write(const char* file, const json& value) {
    std::ofstream(root_ / file) << value;
  }
  void ExpectRefused(const char* message) {
    const auto folder = ReadStudyFolder(root_.string());
    ASSERT_FALSE(folder.ok());
    EXPECT_THAT(std::string(folder.status().message()), HasSubstr(message));
  }

  fs::path root_;
  json designs_, programs_;
  StudyOptions options_;
};

TEST_F(StudyTest, RunsTheWholeCaseAndKeepsWhatItRepresented) {
  const auto study = RunStudy(options_);
  ASSERT_TRUE(study.ok()) << study.status();
  EXPECT_GT(study->represented_instructions, 2.9 * kInstructions);
  // All programs are the same, so the target is predicted as well as they.
  EXPECT_LT(study->time_error[2], 0.15);
  EXPECT_LE(study->choosers[0].choices[2].excess, 0.1);
  EXPECT_EQ(study->choosers.size(), 3);
  EXPECT_EQ(study->folder.designs[study->choosers[1].choices[2].design].name,
            "a1_b16");

  const std::string text = StudyText(*study);
  EXPECT_THAT(text, HasSubstr("9 designs, 8 sampled"));
  const json report = StudyJson(*study);
  EXPECT_EQ(report["programs"][2]["time_ns"].size(), 9);
  EXPECT_EQ(report["choosers"][0]["name"], "perfvec");
  const auto picture = StudyPicture(*study);
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_THAT(*picture, HasSubstr("simulated"));

  const auto again = RunStudy(options_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->represented_instructions, 0);
  EXPECT_EQ(again->exploration.programs[2].time_ns,
            study->exploration.programs[2].time_ns);
}

TEST_F(StudyTest, TargetsTeachNothing) {
  ASSERT_TRUE(RunStudy(options_).ok());  // fills the cache
  const auto before = RunStudy(options_);
  json totals = json::parse(std::ifstream(root_ / "totals.json"));
  for (auto& [name, total] : totals["total"]["new"].items()) {
    total = total.get<uint64_t>() * 3;
  }
  Write("totals.json", totals);
  const auto after = RunStudy(options_);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->exploration.programs[2].time_ns,
            after->exploration.programs[2].time_ns);
}

TEST_F(StudyTest, PredictsVariantsOnTheDesignsNamed) {
  const fs::path folder = root_ / "variants";
  json variants = {{"designs", {"a4_b64", "a2_b32"}}};
  for (const char* name : {"tile_1", "tile_2"}) {
    fs::create_directories(folder / name);
    for (const char* file : {"trace.txt.zst", "trace.sq.txt.zst"}) {
      fs::create_symlink(root_ / "new" / file, folder / name / file);
    }
    variants["programs"].push_back(
        {{"name", name},
         {"instructions", kInstructions},
         {"total", {{"a4_b64", 1000000}, {"a2_b32", 1200000}}}});
  }
  variants["programs"][1]["total"]["a4_b64"] = 800000;
  Write("variants/programs.json", variants);
  options_.variants = folder.string();
  const auto study = RunStudy(options_);
  ASSERT_TRUE(study.ok()) << study.status();
  ASSERT_EQ(study->variant_times.programs.size(), 2);
  // The same trace as the target's, so the same times there.
  const auto& target = study->exploration.programs[2].time_ns;
  for (const ExploredTimes& t : study->variant_times.programs) {
    EXPECT_EQ(t.time_ns, (std::vector<double>{target[8], target[4]}));
  }
  const std::string text = StudyText(*study);
  EXPECT_THAT(text, HasSubstr("fastest simulated tile_2, predicted tile_1, "
                              "which is 25.0 % slower"));
  EXPECT_EQ(StudyJson(*study)["variants"][1]["name"], "tile_2");

  variants["designs"][0] = "a9_b9";
  Write("variants/programs.json", variants);
  EXPECT_THAT(std::string(RunStudy(options_).status().message()),
              HasSubstr("a9_b9"));
  variants["designs"][0] = "a1_b16";  // has no totals
  Write("variants/programs.json", variants);
  EXPECT_THAT(std::string(RunStudy(options_).status().message()),
              HasSubstr("total of tile_1"));
}

TEST_F(StudyTest, SlicesStandForTheWholeTheBetterTheMoreThereAre) {
  const auto folder = ReadStudyFolder(root_.string());
  ASSERT_TRUE(folder.ok());
  auto model = compute::FoundationModel::Load((root_ / "model").string());
  ASSERT_TRUE(model.ok());
  options_.evidence.interval_instructions = 2000;
  const auto study = RunSliceStudy(
      *folder,
      std::make_shared<const compute::FoundationModel>(*std::move(model)),
      {1, 25, 26}, options_.evidence);
  ASSERT_TRUE(study.ok()) << study.status();
  ASSERT_EQ(study->rows.size(), 2);  // 50 intervals: 26 slices are too many
  EXPECT_EQ(study->rows[0].programs, 3);
  EXPECT_NEAR(study->rows[0].recorded, 0.02, 0.001);
  EXPECT_EQ(study->rows[0].mean_deviation, 0);  // one slice tells nothing
  EXPECT_LT(study->rows[1].mean_error, 0.5 * study->rows[0].mean_error);
  EXPECT_GT(study->rows[1].mean_deviation, 0);
  EXPECT_EQ(
      RunSliceStudy(*folder, nullptr, {0}, options_.evidence).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(ChooseSlicesTest, TakesOneOfEachKindWithItsShare) {
  std::vector<std::vector<double>> features;
  std::vector<double> counts;
  for (int i = 0; i < 10; ++i) {
    features.push_back(i < 7 ? std::vector<double>{1.0, 5.0 + 0.001 * i}
                             : std::vector<double>{9.0, 5.0});
    counts.push_back(i == 9 ? 50 : 100);
  }
  const ChosenSlices chosen = ChooseSlices(features, counts, 2);
  ASSERT_EQ(chosen.intervals.size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NEAR(chosen.weights[i],
                chosen.intervals[i] < 7 ? 700.0 / 950 : 250.0 / 950, 1e-12);
  }
  EXPECT_NE(chosen.intervals[0] < 7, chosen.intervals[1] < 7);
}

TEST_F(StudyTest, NamesWhatIsWrongInTheFolder) {
  json bad = designs_;
  bad[3]["name"] = "a1_b16";
  Write("designs.json", bad);
  ExpectRefused("listed twice");
  bad = designs_;
  bad[3].erase("b");
  Write("designs.json", bad);
  ExpectRefused("expected the parameters a, b");
  bad = designs_;
  bad[3]["b"] = "much";
  Write("designs.json", bad);
  ExpectRefused("a number");
  bad = designs_;
  bad[1]["b"] = 16;
  Write("designs.json", bad);
  ExpectRefused("same parameters");
  bad = designs_;
  bad[1]["name"] = "../x";
  Write("designs.json", bad);
  ExpectRefused("without '/'");
  Write("designs.json", designs_);

  bad = programs_;
  bad[0]["role"] = "teacher";
  Write("programs.json", bad);
  ExpectRefused("\"train\" or \"target\"");
  bad = programs_;
  bad[0]["instructions"] = -1;
  Write("programs.json", bad);
  ExpectRefused("positive number");
  Write("programs.json", programs_);

  Write("totals.json", {{"total", {{"one", {{"a1_b16", 0}}}}}});
  ExpectRefused("positive total of one on a1_b16");
  std::ofstream(root_ / "totals.json") << "{";
  ExpectRefused("is not JSON");
}

TEST_F(StudyTest, NamesTheProgramThatCannotBeRead) {
  fs::resize_file(root_ / "two/latency.u16.zst", 100);
  const auto study = RunStudy(options_);
  ASSERT_FALSE(study.ok());
  EXPECT_THAT(
      std::string(study.status().message()),
      testing::AllOf(HasSubstr("program two"), HasSubstr("latency.u16.zst")));
}

TEST_F(StudyTest, RefusesBadOptions) {
  options_.linear_scale = {"c"};
  EXPECT_THAT(std::string(RunStudy(options_).status().message()),
              HasSubstr("expected one of a, b"));
  options_.linear_scale.clear();
  options_.objective = "cost";
  EXPECT_THAT(std::string(RunStudy(options_).status().message()),
              HasSubstr("it may use a, b, time"));
}

TEST(StudyFolder, ReadsTheSharedDesigns) {
  const char* variable = std::getenv("PERFVEC_DATA");
  const fs::path data = variable != nullptr
                            ? fs::path(variable)
                            : fs::path(PERFVEC_SOURCE_DIR) / "../shared/data";
  if (!fs::exists(data / "dse/designs.json")) GTEST_SKIP() << "no shared data";
  const auto folder = ReadStudyFolder((data / "dse").string());
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->designs.size(), 36);
  EXPECT_EQ(folder->Sampled().size(), 18);
  EXPECT_EQ(SpaceOf(*folder, {}).parameters[1].values.size(), 6);
}

TEST(JudgeChoice, CountsWhatIsBetter) {
  const Choice c = JudgeChoice({4, 2, 3, 8}, 0);
  EXPECT_EQ(c.beaten, 0.5);
  EXPECT_EQ(c.excess, 1);
  EXPECT_EQ(JudgeChoice({4, 2, 3, 8}, 1).beaten, 0);
}

}  // namespace
}  // namespace perfvec::explore
