// Real programs in a real QEMU; skipped where it is not installed.
#include "client/tracer/trace_run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/tracer/compare.h"
#include "client/tracer/elf_file.h"
#include "client/tracer/slices.h"
#include "gtest/gtest.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/check.h"
#include "storage/trace/indexed_trace.h"
#include "tests/testing/processes.h"

namespace perfvec::tracer {
namespace {

constexpr char kProgram[] =
    PERFVEC_SOURCE_DIR "/tests/client/tracer/coverage.elf";
constexpr char kGem5[] = PERFVEC_SOURCE_DIR "/tests/client/tracer/coverage.pvt";

class TraceRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.plugin_path = testing::BinaryPath("client/libperfvec_qemu.so");
    if (!FindProgram(options_.qemu).ok() ||
        access(options_.plugin_path.c_str(), R_OK) != 0) {
      GTEST_SKIP() << "needs qemu-user and the plugin";
    }
    options_.command = {kProgram};
    options_.output_path = absl::StrCat(directory_.path(), "/run.pvt");
  }

  testing::TempDir directory_;
  RunOptions options_;
};

// A program's path and environment are on its stack: with those of gem5's run
// it begins with the same stack pointer.
class LikeGem5Test : public TraceRunTest,
                     public ::testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(TraceRun, LikeGem5Test,
                         ::testing::Values("coverage", "coverage_sve"),
                         [](const auto& info) { return info.param; });

TEST_P(LikeGem5Test, TraceIsGem5s) {
  const std::string folder = absl::StrCat(directory_.path(), "/in");
  const std::string name = absl::StrCat(GetParam(), ".elf");
  const std::string source =
      absl::StrCat(PERFVEC_SOURCE_DIR "/tests/client/tracer/", GetParam());
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(absl::StrCat(source, ".elf"),
                             absl::StrCat(directory_.path(), "/", name));
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  options_.command = {absl::StrCat("../", name)};
  char** const environment = environ;
  char* none[] = {nullptr};
  environ = none;
  const auto report = RunTraced(options_);
  environ = environment;
  std::filesystem::current_path(before);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->wait_status, 0);
  EXPECT_TRUE(report->expansion.ended);
  EXPECT_TRUE(report->has_registers);
  EXPECT_EQ(report->expansion.unknown_executions, 0);
  EXPECT_EQ(report->expansion.unknown_addresses, 0);
  const auto compared = CompareTraces(
      options_.output_path, absl::StrCat(source, ".pvt"), CompareOptions());
  ASSERT_TRUE(compared.ok()) << compared.status();
  EXPECT_GT(compared->aligned, 5000);
  for (const auto& gap : compared->gaps) {
    ADD_FAILURE() << "at " << gap.position_a << " of ours +" << gap.only_a
                  << ", of gem5's +" << gap.only_b;
  }
  for (int f = 0; f < compute::kFeatureCount; ++f) {
    for (const auto& e : compared->features[f].examples) {
      ADD_FAILURE() << compute::FeatureNames()[f] << " at " << std::hex << e.pc
                    << ": " << e.value_a << ", gem5 " << e.value_b;
    }
  }
}

TEST_F(TraceRunTest, RecordsARegionAndStopsTheProgram) {
  options_.region.skip = 1000;
  options_.region.instructions = 500;
  const auto report = RunTraced(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->index.instructions, 500);
  auto source = trace::OpenFileSource(options_.output_path);
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE(trace::CheckTrace(*std::move(source), nullptr).ok());
}

// Intervals by their basic-block vectors, a choice of them, then those alone
// with their weights.
TEST_F(TraceRunTest, RecordsChosenSlices) {
  constexpr uint64_t kInterval = 500;
  const std::string whole = options_.output_path;
  options_.vectors_path = absl::StrCat(directory_.path(), "/run.bbv");
  options_.vector_interval = kInterval;
  options_.page_faults = false;
  auto report = RunTraced(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  const uint64_t executed = report->expansion.executed;
  EXPECT_EQ(report->intervals, (executed + kInterval - 1) / kInterval);
  EXPECT_EQ(report->index.instructions, executed);
  const auto vectors = ReadBlockVectors(options_.vectors_path);
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  const std::string base = absl::StrCat(directory_.path(), "/run");
  ASSERT_TRUE(WriteSlices(base, ChooseSlices(*vectors, SliceOptions())).ok());
  const auto slices = ReadSlices(base, kInterval, 100);
  ASSERT_TRUE(slices.ok()) << slices.status();

  options_.vectors_path.clear();
  options_.region.slices = *slices;
  options_.output_path = absl::StrCat(directory_.path(), "/slices.pvt");
  report = RunTraced(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->missed_slices, 0);
  EXPECT_TRUE(report->expansion.ended);  // the whole length is known
  const trace::TraceIndex& index = report->index;
  EXPECT_EQ(index.extras.whole_instructions, executed);
  ASSERT_EQ(index.marks.size(), slices->size());
  ASSERT_EQ(index.extras.weights.size(), slices->size());
  double weights = 0;
  uint64_t instructions = 0;
  for (size_t i = 0; i < slices->size(); ++i) {
    weights += index.extras.weights[i];
    EXPECT_EQ(index.marks[i].instruction, instructions);
    instructions += std::min((*slices)[i].end, executed) - (*slices)[i].begin;
  }
  EXPECT_NEAR(weights, 1, 1e-4);
  EXPECT_EQ(index.instructions, instructions);

  // They are what stands there in the whole trace.
  auto all = trace::IndexedTrace::Open(whole);
  auto part = trace::IndexedTrace::Open(options_.output_path);
  ASSERT_TRUE(all.ok() && part.ok());
  trace::TraceChunk a, b;
  ASSERT_TRUE((*all)->ReadChunk(0, &a).ok());
  ASSERT_TRUE((*part)->ReadChunk(0, &b).ok());
  uint64_t at = 0;
  for (const Slice& slice : *slices) {
    for (uint64_t i = slice.begin; i < std::min(slice.end, executed); ++i) {
      ASSERT_EQ(a.block.statics[a.block.static_index[i]].pc,
                b.block.statics[b.block.static_index[at]].pc);
      ++at;
    }
  }
}

TEST_F(TraceRunTest, RefusesWhatItCannotTrace) {
  const std::string text = absl::StrCat(directory_.path(), "/no_program");
  std::FILE* file = std::fopen(text.c_str(), "w");
  std::fputs("#!/bin/sh\n", file);
  std::fclose(file);
  auto code = [&](const std::string& program) {
    options_.command = {program};
    const auto report = RunTraced(options_);
    EXPECT_FALSE(std::filesystem::exists(options_.output_path));
    return report.status().code();
  };
  EXPECT_EQ(code("/nowhere/a.out"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(text), absl::StatusCode::kInvalidArgument);
#ifdef __x86_64__
  EXPECT_EQ(code("/proc/self/exe"), absl::StatusCode::kInvalidArgument);
#endif
  options_.qemu = "qemu-of-another-name";
  EXPECT_EQ(code(kProgram), absl::StatusCode::kNotFound);
  options_.qemu = "/bin/false";  // runs, but is no QEMU
  EXPECT_EQ(code(kProgram), absl::StatusCode::kFailedPrecondition);
  options_.qemu = "qemu-aarch64";
  options_.from_symbol = "main";  // the program is stripped
  EXPECT_EQ(code(kProgram), absl::StatusCode::kNotFound);
}

TEST_F(TraceRunTest, TheCommandPassesExitStatusAndOutputThrough) {
  const std::string perfvec = testing::BinaryPath("client/perfvec");
  const std::string output = options_.output_path;
  auto run = testing::RunCommand(
      {{perfvec, "trace", "run", "-o", output, "--strict", "--", kProgram}},
      absl::Seconds(60));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->exit_code, 0) << run->err;
  EXPECT_EQ(run->out, "");
  auto compare = testing::RunCommand({{perfvec, "trace", "compare", output,
                                       kGem5, "--program", kProgram, "--json"}},
                                     absl::Seconds(60));
  ASSERT_TRUE(compare.ok()) << compare.status();
  EXPECT_NE(compare->out.find("\"identical_share\""), std::string::npos)
      << compare->err;
  // With itself: the same times on every architecture that the model knows.
  auto predicted = testing::RunCommand(
      {{perfvec, "trace", "compare", output, output, "--json", "--model",
        PERFVEC_SOURCE_DIR "/deploy/models/default"}},
      absl::Seconds(60));
  ASSERT_TRUE(predicted.ok()) << predicted.status();
  EXPECT_EQ(predicted->exit_code, 0) << predicted->err;
  const auto json = nlohmann::json::parse(predicted->out, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << predicted->out;
  EXPECT_GT(json["predictions"].size(), 10);
  for (const auto& pair : json["predictions"]) {
    EXPECT_GT(pair["time_a_ns"], 0);
    EXPECT_EQ(pair["difference"], 0);
  }
  auto refused = testing::RunCommand(
      {{perfvec, "trace", "run", "-o", output, "--", "/nowhere"}},
      absl::Seconds(60));
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->exit_code, 3) << refused->err;
}

}  // namespace
}  // namespace perfvec::tracer
