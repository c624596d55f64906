// perfvec analyze and weighted slices, through a real server and worker.
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tests/client/cli_fixture.h"

namespace perfvec::client {
namespace {

using ::testing::HasSubstr;

class AnalyzeTest : public CliTest {
 protected:
  // A trace of 30,000 random instructions under this name.
  static std::string SomeTrace(const std::string& name, uint64_t seed,
                               const trace::TraceExtras* extras = nullptr,
                               std::vector<trace::IntervalMark> marks = {}) {
    trace::RandomTrace random(seed);
    trace::TraceHeader header = trace::TestHeader(0);
    header.version = extras == nullptr ? 1 : 2;
    std::string bytes;
    auto writer = trace::TraceWriter::Create(
        std::make_unique<trace::StringSink>(&bytes), header);
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE((*writer)->Append(random.Chunk(10'000, 0)).ok());
    }
    for (const auto& mark : marks) {
      EXPECT_TRUE((*writer)->Mark(mark.instruction, mark.label).ok());
    }
    if (extras != nullptr) {
      EXPECT_TRUE((*writer)->SetExtras(*extras).ok());
    }
    EXPECT_TRUE((*writer)->Finish().ok());
    Write(name, bytes);
    return Path(name);
  }

  static double SumOf(const json& answer, int architecture) {
    double sum = 0;
    for (const json& part : answer["parts"]) {
      sum += part["time_ns"][architecture].get<double>();
    }
    return sum;
  }
};

TEST_F(AnalyzeTest, IntervalsAddUpToThePrediction) {
  ASSERT_EQ(Run({"upload", SomeTrace("p.pvt", 1), "--program", "phased",
                 "--interval", "2000", "--wait"})
                .exit_code,
            0);
  const json answer = RunJson({"analyze", "phased", "--on", "little",
                               "--against", "big", "--phases", "3"});
  EXPECT_EQ(answer["interval_instructions"], "2048");
  EXPECT_EQ(answer["parts"].size(), 15);
  EXPECT_EQ(answer["phases"], 3);
  const char* names[] = {"little", "big"};
  for (int a : {0, 1}) {
    const double predicted =
        RunJson({"predict", "phased", names[a]})["time_ns"].get<double>();
    EXPECT_EQ(answer["time_ns"][a].get<double>(), predicted);
    EXPECT_NEAR(SumOf(answer, a), predicted, 1e-5 * predicted);
  }
  EXPECT_THAT(Run({"analyze", "phased", "--on", "little", "--against", "big",
                   "--most", "2"})
                  .out,
              HasSubstr("others"));
  // Other parts are computed anew; the same ones are not.
  const json same = RunJson(
      {"program", "represent", "phased", "--interval", "2000", "--wait"});
  const json anew = RunJson(
      {"program", "represent", "phased", "--interval", "5000", "--wait"});
  EXPECT_NE(same["job_id"], anew["job_id"]);
  EXPECT_EQ(RunJson({"program", "represent", "phased"})["job_id"],
            anew["job_id"]);
  EXPECT_EQ(RunJson({"analyze", "phased", "--on", "little"})["parts"].size(),
            6);
}

TEST_F(AnalyzeTest, FunctionsAndAddressesOfATracedProgramAddUp) {
  const std::string sample =
      std::string(PERFVEC_SOURCE_DIR) + "/tests/client/tracer/coverage.pvt";
  ASSERT_EQ(
      Run({"upload", sample, "--program", "coverage", "--by-address", "--wait"})
          .exit_code,
      0);
  const double predicted =
      RunJson({"predict", "coverage", "middle"})["time_ns"].get<double>();
  for (const char* kind : {"--functions", "--addresses"}) {
    const json answer =
        RunJson({"analyze", "coverage", "--on", "middle", kind});
    EXPECT_NEAR(SumOf(answer, 0), predicted, 1e-5 * predicted) << kind;
    uint64_t instructions = 0;
    for (const json& part : answer["parts"]) {
      instructions += std::stoull(part["instructions"].get<std::string>());
    }
    EXPECT_EQ(std::to_string(instructions), answer["instructions"]) << kind;
    // The sample names no functions: all its code is one part of them.
    EXPECT_EQ(answer["parts"].size() > 1, kind == std::string("--addresses"));
  }
  const CommandResult drawn =
      Run({"analyze", "coverage", "--on", "middle", "--addresses", "--limit",
           "3", "--plot", Path("c.svg"), "--csv", Path("c.csv")});
  ASSERT_EQ(drawn.exit_code, 0) << drawn.err;
  EXPECT_THAT(drawn.out, HasSubstr("0x"));
  for (const auto& [file, begin] :
       {std::pair<std::string, std::string>{"c.svg", "<svg"},
        {"c.csv", "address,function,instructions"}}) {
    std::ifstream in(Path(file));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(text.substr(0, begin.size()), begin);
  }
}

TEST_F(AnalyzeTest, NamesOfFunctionsComeFromTheTrace) {
  trace::TraceExtras extras;
  // All of the address space, in two halves.
  extras.functions.push_back({0, uint64_t{1} << 62, "_Z3lowv"});
  extras.functions.push_back({uint64_t{1} << 62, uint64_t{1} << 63, "high"});
  ASSERT_EQ(Run({"upload", SomeTrace("f.pvt", 2, &extras), "--program", "named",
                 "--by-address", "--wait"})
                .exit_code,
            0);
  EXPECT_THAT(Run({"analyze", "named", "--on", "big", "--functions"}).out,
              HasSubstr("low()"));
}

TEST_F(AnalyzeTest, WeightedSlicesStandForTheWholeWithAnError) {
  trace::TraceExtras extras;
  extras.whole_instructions = 1'000'000'000;
  extras.weights = {0, 0.5, 0.3, 0.2};
  const std::vector<trace::IntervalMark> marks = {
      {0, "warm"}, {3000, "a"}, {10'000, "b"}, {17'777, "c"}};
  ASSERT_EQ(Run({"upload", SomeTrace("s.pvt", 3, &extras, marks), "--program",
                 "sliced", "--wait"})
                .exit_code,
            0);
  const json answer = RunJson({"analyze", "sliced", "--on", "little"});
  EXPECT_EQ(answer["weighted"], true);
  EXPECT_EQ(answer["instructions"], "1000000000");
  ASSERT_EQ(answer["parts"].size(), 4);
  EXPECT_EQ(answer["parts"][0]["time_ns"][0], 0);
  const json predicted = RunJson({"predict", "sliced", "little"});
  const double time_ns = predicted["time_ns"].get<double>();
  EXPECT_EQ(predicted["instructions"], "1000000000");
  EXPECT_NEAR(SumOf(answer, 0), time_ns, 1e-5 * time_ns);
  EXPECT_GT(predicted["sampling_error"].get<double>(), 0);
  EXPECT_LT(predicted["sampling_error"].get<double>(), 0.5);

  extras.weights = {0, 0.5, 0.3, 0.1};
  EXPECT_THAT(Fail(4, {"upload", SomeTrace("w.pvt", 4, &extras, marks),
                       "--program", "wrong"}),
              HasSubstr("add up to 0.9"));
}

TEST_F(AnalyzeTest, ErrorsSayWhatToDo) {
  ASSERT_EQ(Run({"upload", SomeTrace("e.pvt", 5), "--program", "plain",
                 "--interval", "0", "--wait"})
                .exit_code,
            0);
  EXPECT_THAT(Fail(6, {"analyze", "plain", "--on", "little"}),
              HasSubstr("--interval"));
  EXPECT_THAT(Fail(6, {"analyze", "plain", "--on", "little", "--functions"}),
              HasSubstr("--by-address"));
  EXPECT_THAT(Fail(3, {"analyze", "plain", "--on", "litle"}),
              HasSubstr("little"));
  EXPECT_THAT(Fail(3, {"analyze", "plian", "--on", "little"}),
              HasSubstr("plain"));
  Fail(2, {"analyze", "plain", "--on", "little", "--phases", "0"});
  Fail(2, {"upload", Path("e.pvt"), "--program", "x", "--interval", "-5"});
}

}  // namespace
}  // namespace perfvec::client
