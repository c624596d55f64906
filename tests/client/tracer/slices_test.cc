// Basic-block vectors and the choice of slices by them.
#include "client/tracer/slices.h"

#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/processes.h"

namespace perfvec::tracer {
namespace {

using ::testing::HasSubstr;

class SlicesTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return directory_ / name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }
  std::string Text(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }
  testing::TempDir directory_;
};

TEST_F(SlicesTest, VectorsAreWrittenAsSimPointReadsThem) {
  auto writer = BlockVectorWriter::Create(Path("a.bbv"), 10);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->Add(0, 4, 5);
  (*writer)->Add(2, 3, 4);
  (*writer)->Add(0, 4, 5);   // begins at 9, in the first interval
  (*writer)->Add(1, 7, 20);  // at 14, reaches over the third
  (*writer)->Add(0, 4, 5);   // at 34
  ASSERT_TRUE((*writer)->Finish().ok());
  EXPECT_EQ((*writer)->intervals(), 4);
  EXPECT_EQ(Text("a.bbv"), "T:1:8 :3:3 \nT:2:7 \nT\nT:1:4 \n");
  const auto read = ReadBlockVectors(Path("a.bbv"));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 4);
  EXPECT_EQ((*read)[0], (BlockVector{{1, 8}, {3, 3}}));
  EXPECT_TRUE((*read)[2].empty());
}

TEST_F(SlicesTest, BadVectorsAreNamed) {
  for (const char* bad : {"T:1", "T:1:x", "T:1:-5", "T:1:nan", "T1:2",
                          "T:1:2:3", "T:-1:2", "T:99999999999999999999999:1"}) {
    Write("bad.bbv", absl::StrCat("# a comment\nT:1:1\n", bad, "\n"));
    const auto read = ReadBlockVectors(Path("bad.bbv"));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("line 3"));
  }
  Write("none.bbv", "no vectors\n");
  EXPECT_EQ(ReadBlockVectors(Path("none.bbv")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadBlockVectors(Path("nowhere")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(BlockVectorWriter::Create(Path("a"), 0).ok());
}

// An execution of three phases, with a little noise.
std::vector<BlockVector> Phases() {
  std::mt19937 random(1);
  std::vector<BlockVector> vectors;
  for (int i = 0; i < 100; ++i) {
    const int phase = i < 60 ? 0 : i < 90 ? 1 : 2;
    BlockVector vector;
    for (int block = 0; block < 20; ++block) {
      vector.emplace_back(20 * phase + block,
                          1000 + 100 * block + random() % 16);
    }
    vectors.push_back(vector);
  }
  return vectors;
}

TEST_F(SlicesTest, FindsThePhasesAndTheirWeights) {
  const SliceChoice choice = ChooseSlices(Phases(), SliceOptions());
  ASSERT_EQ(choice.slices.size(), 3);
  EXPECT_LT(choice.slices[0].interval, 60);
  EXPECT_DOUBLE_EQ(choice.slices[0].weight, 0.6);
  EXPECT_GE(choice.slices[1].interval, 60);
  EXPECT_LT(choice.slices[1].interval, 90);
  EXPECT_DOUBLE_EQ(choice.slices[1].weight, 0.3);
  EXPECT_GE(choice.slices[2].interval, 90);
  EXPECT_DOUBLE_EQ(choice.slices[2].weight, 0.1);
  EXPECT_LT(choice.unexplained, 0.01);
}

TEST_F(SlicesTest, IntervalsThatAreAllAlikeNeedOneSlice) {
  const std::vector<BlockVector> alike(50, {{1, 10}, {2, 20}});
  const SliceChoice choice = ChooseSlices(alike, SliceOptions());
  ASSERT_EQ(choice.slices.size(), 1);
  EXPECT_EQ(choice.slices[0].weight, 1);
  EXPECT_EQ(choice.unexplained, 0);
  EXPECT_TRUE(ChooseSlices({}, SliceOptions()).slices.empty());
  EXPECT_EQ(ChooseSlices({{}}, SliceOptions()).slices.size(), 1);
}

TEST_F(SlicesTest, ComeBackAsRegionsWithWarmUp) {
  SliceChoice choice;
  choice.slices = {{0, 0.5}, {3, 0.25}, {4, 0.25}};
  ASSERT_TRUE(WriteSlices(Path("s"), choice).ok());
  EXPECT_EQ(Text("s.simpoints"), "0 0\n3 1\n4 2\n");
  EXPECT_EQ(Text("s.weights"), "0.5 0\n0.25 1\n0.25 2\n");
  const auto slices = ReadSlices(Path("s"), 100, 150);
  ASSERT_TRUE(slices.ok()) << slices.status();
  // The first has nothing before it, the last follows a recorded one.
  ASSERT_EQ(slices->size(), 4);
  const uint64_t expected[][2] = {{0, 100}, {150, 300}, {300, 400}, {400, 500}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ((*slices)[i].begin, expected[i][0]);
    EXPECT_EQ((*slices)[i].end, expected[i][1]);
  }
  EXPECT_EQ((*slices)[1].weight, 0);
  EXPECT_EQ((*slices)[2].weight, 0.25);
}

TEST_F(SlicesTest, ContradictorySlicesAreNamed) {
  auto read = [&](const char* simpoints, const char* weights) {
    Write("s.simpoints", simpoints);
    Write("s.weights", weights);
    return ReadSlices(Path("s"), 100, 0).status().code();
  };
  EXPECT_EQ(read("1 0\n", "1 0\n"), absl::StatusCode::kOk);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(read("1 0\n1 1\n", "0.5 0\n0.5 1\n"), invalid);  // twice
  EXPECT_EQ(read("1 0\n2 0\n", "1 0\n"), invalid);
  EXPECT_EQ(read("1 0\n", "1 1\n"), invalid);
  EXPECT_EQ(read("1 0\n", "0.5 0\n0.5 1\n"), invalid);
  EXPECT_EQ(read("1 0\n", "nan 0\n"), invalid);
  EXPECT_EQ(read("1 0\n", "1.5 0\n"), invalid);
  EXPECT_EQ(read("1.5 0\n", "1 0\n"), invalid);
  EXPECT_EQ(read("-1 0\n", "1 0\n"), invalid);
  EXPECT_EQ(read("1 0 7\n", "1 0\n"), invalid);
  EXPECT_EQ(read("", ""), invalid);
  EXPECT_FALSE(ReadSlices(Path("s"), 0, 0).ok());
  EXPECT_EQ(ReadSlices(Path("nowhere"), 100, 0).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace perfvec::tracer
