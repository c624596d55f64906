#include "client/cli/run_evidence.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace perfvec::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RunEvidence, ReadsTimesAndSpread) {
  auto run = ParseRun("lbm@2=12.5ms", 0);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->program(), "lbm@2");
  EXPECT_THAT(run->time_ns(), ElementsAre(12.5e6));
  EXPECT_EQ(run->spread_ns(), 0);
  run = ParseRun("a=1m2.5s, 61s,1.1e6us+-250ms", 0);
  EXPECT_EQ(run.status().code(), absl::StatusCode::kInvalidArgument);
  run = ParseRun("a=1m2.5s, 61s,900us+-250ms", 0);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_THAT(run->time_ns(), ElementsAre(62.5e9, 61e9, 9e5));
  EXPECT_EQ(run->spread_ns(), 250e6);
}

TEST(RunEvidence, CyclesNeedAFrequency) {
  auto run = ParseRun("a=24e6cycles", 2.4);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_THAT(run->time_ns(), ElementsAre(1e7));
  EXPECT_THAT(ParseRun("a=24e6cycles", 0).status().message(),
              HasSubstr("only with --frequency"));
  EXPECT_DOUBLE_EQ(*ParseFrequency("800MHz"), 0.8);
  EXPECT_DOUBLE_EQ(*ParseFrequency("2.4 GHz"), 2.4);
  for (const char* text :
       {"", "GHz", "2.4", "-1GHz", "0MHz", "nanGHz", "1e9GHz", "2.4ghz"}) {
    EXPECT_FALSE(ParseFrequency(text).ok()) << text;
  }
}

TEST(RunEvidence, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "a", "a=", "=1ms", "a=1", "a=0ms", "a=-1ms", "a=nancycles",
        "a=infcycles", "a=inf", "a=1ms,", "a=,1ms", "a=1ms+-", "a=+-1ms",
        "a=1ms+-1ms+-1ms", "a=1e300cycles"}) {
    EXPECT_EQ(ParseRun(text, 1).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(RunEvidence, ReadsFiles) {
  std::istringstream in(
      "# program time\nlbm 12ms,13ms\n\n  mcf\t1s  # slow\nsjeng=2s\n");
  const auto runs = ReadRuns(in, "times.txt", 0);
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 3u);
  EXPECT_THAT((*runs)[0].time_ns(), ElementsAre(12e6, 13e6));
  EXPECT_EQ((*runs)[1].program(), "mcf");
  EXPECT_EQ((*runs)[2].program(), "sjeng");
  std::istringstream bad("lbm 12ms\nmcf soon\n");
  EXPECT_THAT(ReadRuns(bad, "times.txt", 0).status().message(),
              HasSubstr("times.txt:2: \"soon\": expected a time"));
  std::istringstream alone("lbm\n");
  EXPECT_THAT(ReadRuns(alone, "times.txt", 0).status().message(),
              HasSubstr("times.txt:1: expected PROGRAM TIME"));
}

}  // namespace
}  // namespace perfvec::client::cli
