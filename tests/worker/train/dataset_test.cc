#include "worker/train/dataset.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testing/processes.h"
#include "tests/worker/train/small_data.h"
#include "worker/train/data_plan.h"

namespace perfvec::train {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Names = std::vector<std::string>;

class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.schema = &compute::PublishedFeatureSchema();
    options_.progress = [this](const std::string& line) {
      lines_.push_back(line);
    };
    WriteSmallData(Path("data"), {"a", "b"}, {"fast", "slow"});
  }
  std::string Path(const std::string& name) { return directory_ / name; }

  absl::StatusOr<Dataset> Load(const Names& folders = {"data"}) {
    Names paths;
    for (const std::string& folder : folders) paths.push_back(Path(folder));
    lines_.clear();
    return LoadDataset(paths, options_);
  }
  void ExpectError(absl::StatusCode code, const std::string& words,
                   const Names& folders = {"data"}) {
    auto data = Load(folders);
    EXPECT_EQ(data.status().code(), code) << data.status();
    EXPECT_THAT(std::string(data.status().message()), HasSubstr(words));
  }
  // The only file of the cache whose name begins so.
  std::string CacheFile(const std::string& prefix) {
    std::string found;
    DIR* d = ::opendir(options_.cache_directory.c_str());
    while (const dirent* e = ::readdir(d)) {
      const std::string name = e->d_name;
      if (name.rfind(prefix, 0) != 0) continue;
      EXPECT_EQ(found, "");
      found = options_.cache_directory + "/" + name;
    }
    ::closedir(d);
    return found;
  }

  perfvec::testing::TempDir directory_;
  DatasetOptions options_;
  Names lines_;
};

void ExpectSameRows(const ProgramRows& x, const ProgramRows& y) {
  ASSERT_EQ(x.instructions(), y.instructions());
  std::vector<float> fx(x.instructions() * x.features()), fy(fx);
  x.Features(0, x.instructions(), fx.data());
  y.Features(0, y.instructions(), fy.data());
  EXPECT_EQ(fx, fy);
  std::vector<uint16_t> lx(x.instructions() * x.architectures()), ly(lx);
  x.Latency(0, x.instructions(), lx.data());
  y.Latency(0, y.instructions(), ly.data());
  EXPECT_EQ(lx, ly);
}

TEST_F(DatasetTest, PartialProgramsMayLackArchitectures) {
  // Simulated on one of the two architectures.
  WriteSmallData(Path("some"), {"c"}, {"slow"});
  WriteJson(Path("some") + "/architectures.json",
            json::array({{{"name", "fast"}, {"split", "seen"}},
                         {{"name", "slow"}, {"split", "seen"}}}));
  ExpectError(absl::StatusCode::kInvalidArgument, "found none on fast",
              {"data", "some"});
  WriteJson(Path("some") + "/programs.json",
            json::array({{{"name", "c"},
                          {"family", "c"},
                          {"split", "seen"},
                          {"partial", true}}}));
  auto data = Load({"data", "some"});
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->programs.size(), 3);
  EXPECT_FALSE(data->programs[0].partial);
  EXPECT_TRUE(data->programs[2].partial);
  uint16_t latency[2];
  data->programs[2].rows->Latency(0, 1, latency);
  EXPECT_THAT(latency, ElementsAre(0, 300));

  DataPlanOptions plan;
  plan.validate_families = {"c"};
  EXPECT_THAT(
      std::string(PlanData(*data, plan).status().message()),
      HasSubstr("program c: a program of a validation family (c) must"));
  plan.validate_families = {"b"};
  EXPECT_TRUE(PlanData(*data, plan).ok());
}

TEST_F(DatasetTest, AuxiliaryArchitecturesNeedNotBeEverywhere) {
  WriteSmallData(Path("some"), {"c"}, {"small"});
  const json listed = {{{"name", "small"},
                        {"split", "seen"},
                        {"auxiliary", true},
                        {"kind", "test"}},
                       {{"name", "fast"}, {"split", "seen"}},
                       {{"name", "slow"}, {"split", "seen"}}};
  WriteJson(Path("some") + "/architectures.json", listed);
  ExpectError(absl::StatusCode::kInvalidArgument, "found none on fast, slow",
              {"data", "some"});
  WriteJson(Path("some") + "/programs.json",
            json::array({{{"name", "c"},
                          {"family", "c"},
                          {"split", "seen"},
                          {"partial", true}}}));
  auto data = Load({"data", "some"});
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->architectures.size(), 3);
  EXPECT_EQ(data->served(), 2);
  EXPECT_EQ(data->architectures[2].name, "small");
  EXPECT_EQ(data->architectures[2].parameters_json, "{\"kind\":\"test\"}");
  EXPECT_FALSE(data->programs[0].partial);
  uint16_t latency[3];
  data->programs[0].rows->Latency(0, 1, latency);
  EXPECT_THAT(latency, ElementsAre(300, 400, 0));
  data->programs[2].rows->Latency(0, 1, latency);
  EXPECT_THAT(latency, ElementsAre(0, 0, 300));
  // What is served must be in every folder.
  WriteJson(Path("some") + "/architectures.json",
            json::array({listed[0], listed[1]}));
  ExpectError(absl::StatusCode::kInvalidArgument, "found no slow",
              {"data", "some"});
}

TEST_F(DatasetTest, ReadsTracesAndKeepsThemConverted) {
  auto plain = Load();
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_THAT(lines_, ElementsAre("a read", "b read"));
  ASSERT_EQ(plain->programs.size(), 2);
  EXPECT_EQ(plain->programs[0].instructions, 6000);
  uint16_t latency[2];
  plain->programs[0].rows->Latency(0, 1, latency);
  EXPECT_THAT(latency, ElementsAre(300, 400));

  options_.cache_directory = Path("cache");
  ASSERT_TRUE(Load().ok());
  EXPECT_THAT(lines_, ElementsAre("a converted", "b converted"));
  auto cached = Load();
  ASSERT_TRUE(cached.ok()) << cached.status();
  EXPECT_THAT(lines_, ElementsAre("a cached", "b cached"));
  ExpectSameRows(*plain->programs[1].rows, *cached->programs[1].rows);
}

TEST_F(DatasetTest, MakesDamagedAndOutdatedConversionsAgain) {
  options_.cache_directory = Path("cache");
  auto first = Load();
  ASSERT_TRUE(first.ok());
  const std::string file = CacheFile("a-");
  ASSERT_NE(file, "");
  ASSERT_EQ(::truncate(file.c_str(), 1000), 0);
  auto again = Load();
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(lines_.size(), 2);
  EXPECT_THAT(lines_[0], HasSubstr("a converted again ("));
  EXPECT_THAT(lines_[0], HasSubstr("damaged"));
  ASSERT_TRUE(Load().ok());
  EXPECT_THAT(lines_, ElementsAre("a cached", "b cached"));
  // Another source, schema or choice of architectures has another name.
  options_.only_architectures = {"slow"};
  auto slow = Load();
  ASSERT_TRUE(slow.ok());
  EXPECT_THAT(lines_, ElementsAre("a converted", "b converted"));
  EXPECT_EQ(slow->programs[0].rows->architectures(), 1);
  options_.only_architectures.clear();
  WriteSmallData(Path("data"), {"a", "b"}, {"fast", "slow"}, 6001);
  auto changed = Load();
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_THAT(lines_, ElementsAre("a converted", "b converted"));
  EXPECT_EQ(changed->programs[0].instructions, 6001);
}

TEST_F(DatasetTest, TakesSeveralFoldersAndMatchesArchitecturesByName) {
  WriteSmallData(Path("more"), {"c"}, {"slow", "fast"});
  auto data = Load({"data", "more"});
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->programs.size(), 3);
  EXPECT_EQ(data->architectures[0].name, "fast");
  // In "more" the first column, "slow", costs less.
  uint16_t latency[2];
  data->programs[2].rows->Latency(0, 1, latency);
  EXPECT_THAT(latency, ElementsAre(400, 300));

  WriteSmallData(Path("third"), {"d"}, {"fast"});
  ExpectError(absl::StatusCode::kInvalidArgument, "found no slow",
              {"data", "third"});
  WriteSmallData(Path("fourth"), {"d"}, {"fast", "slow", "odd"});
  ExpectError(absl::StatusCode::kInvalidArgument, "found no odd",
              {"data", "fourth"});
  WriteSmallData(Path("fifth"), {"a"}, {"fast", "slow"});
  ExpectError(absl::StatusCode::kInvalidArgument, "is in another folder too",
              {"data", "fifth"});
}

TEST_F(DatasetTest, OpensNothingOfAnotherSplit) {
  json programs = json::parse(std::ifstream(Path("data/programs.json")));
  programs[1]["split"] = "unseen";
  WriteJson(Path("data/programs.json"), programs);
  json architectures =
      json::parse(std::ifstream(Path("data/architectures.json")));
  architectures[0]["split"] = "unseen";
  WriteJson(Path("data/architectures.json"), architectures);
  std::ofstream(Path("data/pvt/b.pvt")) << "garbage that nobody looks at";
  auto data = Load();
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->programs.size(), 1);
  ASSERT_EQ(data->architectures.size(), 1);
  uint16_t latency;
  data->programs[0].rows->Latency(0, 1, &latency);
  EXPECT_EQ(latency, 400);
}

TEST_F(DatasetTest, NamesWhatIsMissingOrWrong) {
  ExpectError(absl::StatusCode::kNotFound, "nothing/architectures.json",
              {"nothing"});
  options_.only_programs = {"a", "z"};
  ExpectError(absl::StatusCode::kNotFound, "program z: not in the data");
  options_.only_programs = {"a"};
  options_.only_architectures = {"fast", "y"};
  ExpectError(absl::StatusCode::kNotFound, "architecture y: not in the data");
  options_.only_architectures.clear();

  json architectures =
      json::parse(std::ifstream(Path("data/architectures.json")));
  json more = architectures;
  more.push_back({{"name", "third"}, {"split", "seen"}});
  WriteJson(Path("data/architectures.json"), more);
  ExpectError(absl::StatusCode::kInvalidArgument, "found none on third");
  WriteJson(Path("data/architectures.json"), {1, 2});
  ExpectError(absl::StatusCode::kInvalidArgument, "objects with a name");
  WriteJson(Path("data/architectures.json"), "text");
  ExpectError(absl::StatusCode::kInvalidArgument, "expected a JSON list");
  architectures.push_back(architectures[0]);
  WriteJson(Path("data/architectures.json"), architectures);
  ExpectError(absl::StatusCode::kInvalidArgument, "lists fast twice");
  architectures.erase(2);
  WriteJson(Path("data/architectures.json"), architectures);

  const std::string trace = Path("data/pvt/a.pvt");
  ASSERT_EQ(::truncate(trace.c_str(), 600), 0);
  ExpectError(absl::StatusCode::kDataLoss, "program a: ");
  ::unlink(trace.c_str());
  ExpectError(absl::StatusCode::kNotFound, "gem5/a/trace.txt.zst");
  WriteSmallData(Path("data"), {"a"}, {"fast", "slow"});
  json programs = json::parse(std::ifstream(Path("data/programs.json")));
  programs[0]["instructions"] = 7;
  WriteJson(Path("data/programs.json"), programs);
  ExpectError(absl::StatusCode::kInvalidArgument,
              "says 7 instructions, found 6000");
}

// gem5's text pair with a latency matrix gives what the same data as .pvt does.
TEST_F(DatasetTest, ReadsTheSharedDataOfOneProgram) {
  const char* set = std::getenv("PERFVEC_DATA");
  const std::string shared =
      set != nullptr ? set : PERFVEC_SOURCE_DIR "/../shared/data";
  if (::access((shared + "/programs.json").c_str(), F_OK) != 0) {
    GTEST_SKIP() << "no shared data";
  }
  options_.only_programs = {"aec"};
  auto data = LoadDataset({shared}, options_);
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->programs.size(), 1);
  const TrainingProgram& p = data->programs[0];
  std::ifstream in(shared + "/gem5/aec/totals.json");
  const std::string totals((std::istreambuf_iterator<char>(in)), {});
  const auto sums = p.rows->LatencySums(0, p.instructions);
  for (double sum : sums) {
    EXPECT_THAT(totals, HasSubstr(std::to_string(uint64_t(sum))));
  }
}

}  // namespace
}  // namespace perfvec::train
