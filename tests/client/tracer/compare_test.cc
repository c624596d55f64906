// Small traces that differ in known places.
#include "client/tracer/compare.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "storage/trace/block_builder.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/writer.h"

namespace perfvec::tracer {
namespace {

class CompareTest : public ::testing::Test {
 protected:
  CompareTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "/perfvec_compare_", getpid());
    std::filesystem::create_directories(folder_);
  }
  ~CompareTest() override { std::filesystem::remove_all(folder_); }

  // A loop of 50 additions with different destinations, `rounds` times;
  // `change` may alter one instruction or give false to leave it out.
  std::string Write(
      const std::string& name, int rounds,
      const std::function<bool(int, trace::StaticInstruction*)>& change) {
    trace::BlockBuilder builder;
    for (int i = 0; i < 50 * rounds; ++i) {
      trace::StaticInstruction add;
      add.pc = 0x1000 + 4 * (i % 50);
      add.op_class = 1;
      add.destination_count = 1;
      add.destinations[0] = {0, static_cast<uint16_t>(i % 30)};
      if (change(i, &add)) builder.Append(add, 0, false);
    }
    const std::string file = absl::StrCat(folder_, "/", name);
    auto sink = trace::CreateFileSink(file);
    EXPECT_TRUE(sink.ok()) << sink.status();
    auto writer =
        trace::TraceWriter::Create(*std::move(sink), trace::TraceHeader());
    EXPECT_TRUE(writer.ok()) << writer.status();
    trace::TraceChunk chunk;
    chunk.block = builder.Take();
    EXPECT_TRUE((*writer)->Append(chunk).ok());
    EXPECT_TRUE((*writer)->Finish().ok());
    return file;
  }

  static bool AsItIs(int, trace::StaticInstruction*) { return true; }

  std::string folder_;
};

TEST_F(CompareTest, ATraceIsLikeItself) {
  const std::string a = Write("a.pvt", 10, AsItIs);
  const auto report = CompareTraces(a, a, CompareOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->aligned, 500);
  EXPECT_EQ(report->identical, 500);
  EXPECT_EQ(report->identical_share(), 1);
  EXPECT_TRUE(report->gaps.empty());
}

TEST_F(CompareTest, CountsDifferencesByFeatureAndKind) {
  const std::string a = Write("a.pvt", 10, AsItIs);
  const std::string b =
      Write("b.pvt", 10, [](int i, trace::StaticInstruction* s) {
        if (i % 50 == 7) s->destinations[0].index = 29;
        return true;
      });
  CompareOptions options;
  options.mnemonic = [](uint64_t pc) {
    return pc == 0x1000 + 4 * 7 ? "seventh" : "other";
  };
  const auto report = CompareTraces(a, b, options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->aligned, 500);
  EXPECT_EQ(report->identical, 490);
  const auto& feature = report->features[compute::kFeatureDestinations + 1];
  EXPECT_EQ(feature.different, 10);
  ASSERT_EQ(feature.examples.size(), 3);
  EXPECT_EQ(feature.examples[0].pc, 0x1000 + 4 * 7);
  EXPECT_EQ(feature.examples[0].value_a, 8);
  EXPECT_EQ(feature.examples[0].value_b, 30);
  EXPECT_EQ(report->op_classes.at("IntAlu").different, 10);
  EXPECT_EQ(report->mnemonics.at("seventh").different, 10);
  EXPECT_EQ(report->mnemonics.at("other").different, 0);
}

TEST_F(CompareTest, FindsWhatOnlyOneTraceHas) {
  const std::string a = Write("a.pvt", 10, AsItIs);
  const std::string b = Write(
      "b.pvt", 10,
      [](int i, trace::StaticInstruction*) { return i < 120 || i >= 125; });
  const auto report = CompareTraces(a, b, CompareOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->aligned, 495);
  EXPECT_EQ(report->only_a, 5);
  EXPECT_EQ(report->only_b, 0);
  ASSERT_EQ(report->gaps.size(), 1);
  EXPECT_EQ(report->gaps[0].position_a, 120);
  EXPECT_LT(report->identical_share(), 1);
}

TEST_F(CompareTest, TracesWithNothingInCommonAreLost) {
  const std::string a = Write("a.pvt", 2, AsItIs);
  const std::string b = Write("b.pvt", 2, [](int, trace::StaticInstruction* s) {
    s->pc += 0x100000;
    return true;
  });
  const auto report = CompareTraces(a, b, CompareOptions());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->lost);
  EXPECT_EQ(report->aligned, 0);
  EXPECT_EQ(report->identical_share(), 0);
}

TEST_F(CompareTest, AMissingFileIsNamed) {
  const auto report =
      CompareTraces("/nowhere/a.pvt", "/nowhere/b.pvt", CompareOptions());
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.status().message().find("/nowhere/a.pvt"),
            std::string::npos);
}

}  // namespace
}  // namespace perfvec::tracer
