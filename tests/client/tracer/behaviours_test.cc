// Programs that start threads and processes, get signals, die; dynamic and
// position-independent ones; disks that are full. Skipped without QEMU.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/tracer/elf_file.h"
#include "client/tracer/trace_run.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/check.h"
#include "tests/testing/processes.h"

namespace perfvec::tracer {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr char kProgram[] =
    PERFVEC_SOURCE_DIR "/tests/client/tracer/behaviours.elf";

class BehavioursTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.plugin_path = testing::BinaryPath("client/libperfvec_qemu.so");
    if (!FindProgram(options_.qemu).ok() ||
        access(options_.plugin_path.c_str(), R_OK) != 0) {
      GTEST_SKIP() << "needs qemu-user and the plugin";
    }
    options_.output_path = directory_ / "run.pvt";
  }

  // Runs it and reads the whole trace.
  RunReport Run(std::vector<std::string> command) {
    options_.command = std::move(command);
    auto report = RunTraced(options_);
    EXPECT_TRUE(report.ok()) << report.status();
    if (!report.ok()) return RunReport();
    auto source = trace::OpenFileSource(options_.output_path);
    auto contents = trace::CheckTrace(*std::move(source));
    EXPECT_TRUE(contents.ok()) << contents.status();
    names_.clear();
    for (const auto& f : report->index.extras.functions) {
      names_.insert(f.name);
    }
    return *std::move(report);
  }

  testing::TempDir directory_;
  RunOptions options_;
  std::set<std::string> names_;  // of the functions that ran
};

TEST_F(BehavioursTest, OnlyTheFirstThreadIsRecorded) {
  const RunReport report = Run({kProgram, "thread"});
  EXPECT_EQ(report.wait_status, 0);
  EXPECT_TRUE(report.expansion.ended);
  EXPECT_EQ(report.more_threads, 1);
  EXPECT_THAT(names_, Contains("WorkOfParent"));
  EXPECT_THAT(names_, Not(Contains("WorkOfThread")));
}

TEST_F(BehavioursTest, AnotherThreadCanBeChosen) {
  options_.thread = 1;
  const RunReport report = Run({kProgram, "thread"});
  EXPECT_EQ(report.wait_status, 0);
  EXPECT_TRUE(report.expansion.ended);
  EXPECT_GT(report.index.instructions, 4000);
  EXPECT_THAT(names_, IsSupersetOf({"Work", "WorkOfThread"}));
  EXPECT_THAT(names_, Not(Contains("WorkOfParent")));
  options_.thread = 2;
  options_.command = {kProgram, "thread"};
  EXPECT_EQ(RunTraced(options_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BehavioursTest, AForkedProcessIsNotFollowed) {
  const RunReport report = Run({kProgram, "fork"});
  EXPECT_TRUE(WIFEXITED(report.wait_status));
  EXPECT_EQ(WEXITSTATUS(report.wait_status), 7);  // told by the child
  EXPECT_TRUE(report.expansion.ended);
  EXPECT_THAT(names_, Contains("WorkOfParent"));
  EXPECT_THAT(names_, Not(Contains("WorkOfChild")));
}

// Whether the system can run it or not, the trace is the first program's.
TEST_F(BehavioursTest, WhatAChildExecutesIsNotFollowed) {
  const RunReport report =
      Run({kProgram, "exec",
           PERFVEC_SOURCE_DIR "/tests/client/tracer/coverage.elf"});
  EXPECT_TRUE(report.expansion.ended);
  EXPECT_THAT(names_, Contains("WorkOfParent"));
  EXPECT_THAT(names_, Not(Contains("WorkOfChild")));
}

TEST_F(BehavioursTest, ASignalsHandlerIsRecorded) {
  const RunReport report = Run({kProgram, "signal"});
  EXPECT_EQ(report.wait_status, 0);
  EXPECT_TRUE(report.expansion.ended);
  EXPECT_EQ(report.expansion.unknown_executions, 0);
  EXPECT_THAT(names_, IsSupersetOf({"Handler", "Restorer", "WorkOfParent"}));
}

TEST_F(BehavioursTest, AProgramThatDiesLeavesAWholeTrace) {
  for (const auto& [how, signal] :
       {std::make_pair("g", SIGSEGV), std::make_pair("k", SIGKILL)}) {
    const RunReport report = Run({kProgram, how});
    EXPECT_TRUE(WIFSIGNALED(report.wait_status)) << how;
    EXPECT_EQ(WTERMSIG(report.wait_status), signal);
    // The work before it: 100 rounds of at least four instructions.
    EXPECT_GT(report.index.instructions, 400);
    EXPECT_THAT(names_, IsSupersetOf({"Run", "Work"}));
  }
}

TEST_F(BehavioursTest, FunctionsOfAProgramThatIsMovedAreFound) {
  options_.from_symbol = "WorkOfParent";
  const RunReport report = Run({kProgram, "fork"});
  ASSERT_EQ(report.index.extras.files.size(), 1);
  EXPECT_NE(report.index.extras.files[0].bias, 0);
  const auto elf = ElfFile::Read(kProgram);
  ASSERT_TRUE(elf.ok());
  const auto& functions = report.index.extras.functions;
  const auto work =
      std::find_if(functions.begin(), functions.end(),
                   [](const auto& f) { return f.name == "Work"; });
  ASSERT_NE(work, functions.end());
  EXPECT_EQ(work->address - report.index.extras.files[0].bias,
            *elf->Symbol("Work"));
  // From there on 1000 rounds, not the 100 before.
  EXPECT_GT(report.index.instructions, 4000);
  EXPECT_LT(report.index.instructions, report.expansion.executed - 400);
  options_.from_symbol = "no_such_function";
  options_.command = {kProgram};
  EXPECT_EQ(RunTraced(options_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BehavioursTest, StreamsCanBeAsInGem5) {
  EXPECT_EQ(Run({kProgram, "out"}).wait_status, 0);
  options_.gem5_streams = true;
  const RunReport report = Run({kProgram, "out"});
  EXPECT_TRUE(WIFEXITED(report.wait_status));
  EXPECT_EQ(WEXITSTATUS(report.wait_status), ENOENT);
}

TEST_F(BehavioursTest, AQemuThatIsTooOldIsNamed) {
  const std::string old = directory_ / "qemu-old";
  std::ofstream(old) << "#!/bin/sh\n"
                        "[ \"$1\" = --version ] &&\n"
                        "  echo 'qemu-aarch64 version 5.2.0 (Debian)' ||\n"
                        "  exit 1\n";
  std::filesystem::permissions(old, std::filesystem::perms::owner_all);
  options_.qemu = old;
  options_.command = {kProgram};
  const absl::Status status = RunTraced(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("version 5.2.0 and ended"));
  EXPECT_FALSE(std::filesystem::exists(options_.output_path));
}

// A limit of the file's size stands for a full disk; it must leave room for
// what perfvec shares with QEMU, 4 MiB and a page.
TEST_F(BehavioursTest, WithoutRoomTheTraceSoFarIsWhole) {
  auto run = testing::RunCommand(
      {{"/bin/sh", "-c",
        absl::StrCat("ulimit -f 8300; exec ",
                     testing::BinaryPath("client/perfvec"), " trace run -o ",
                     options_.output_path, " -- ", kProgram, " long")}},
      absl::Seconds(60));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->exit_code, 8) << run->err;
  EXPECT_THAT(run->err, HasSubstr("the trace holds its first"));
  EXPECT_LE(std::filesystem::file_size(options_.output_path), 8300 * 512);
  auto source = trace::OpenFileSource(options_.output_path);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto contents = trace::CheckTrace(*std::move(source));
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_GT(contents->info.index.instructions, 65536);
  EXPECT_FALSE(contents->info.index.extras.functions.empty());
}

// Programs of Debian, unpacked by make_sysroot.sh.
class DebianTest : public BehavioursTest {
 protected:
  void SetUp() override {
    BehavioursTest::SetUp();
    if (IsSkipped()) return;
    const char* sysroot = std::getenv("PERFVEC_ARM64_SYSROOT");
    if (sysroot == nullptr) {
      GTEST_SKIP() << "PERFVEC_ARM64_SYSROOT names no folder that "
                      "tests/client/tracer/make_sysroot.sh made";
    }
    options_.sysroot = sysroot;
  }
  // Runs it through the command, for its output.
  std::string Output(const std::string& program, const std::string& arguments) {
    auto run = testing::RunCommand(
        {{"/bin/sh", "-c",
          absl::StrCat(testing::BinaryPath("client/perfvec"),
                       " trace run --strict -o ", options_.output_path,
                       " --sysroot ", options_.sysroot, " -- ",
                       options_.sysroot, program, " ", arguments)}},
        absl::Seconds(120));
    EXPECT_TRUE(run.ok()) << run.status();
    if (!run.ok()) return "";
    EXPECT_EQ(run->exit_code, 0) << run->err;
    auto source = trace::OpenFileSource(options_.output_path);
    auto contents = trace::CheckTrace(*std::move(source));
    EXPECT_TRUE(contents.ok()) << contents.status();
    if (contents.ok()) {
      names_.clear();
      paths_.clear();
      for (const auto& f : contents->info.index.extras.functions) {
        names_.insert(f.name);
      }
      for (const auto& f : contents->info.index.extras.files) {
        paths_.insert(std::filesystem::path(f.path).filename());
      }
      instructions_ = contents->info.index.instructions;
    }
    return run->out;
  }

  std::set<std::string> paths_;
  uint64_t instructions_ = 0;
};

TEST_F(DebianTest, Gzip) {
  const std::string packed = directory_ / "packed.gz";
  Output("/bin/gzip", absl::StrCat("-c ", kProgram, " > ", packed));
  EXPECT_THAT(paths_,
              IsSupersetOf({"gzip", "ld-linux-aarch64.so.1", "libc.so.6"}));
  auto unpacked =
      testing::RunCommand({{"gzip", "-dc", packed}}, absl::Seconds(60));
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  std::ifstream original(kProgram, std::ios::binary);
  EXPECT_TRUE(unpacked->out ==
              std::string(std::istreambuf_iterator<char>(original), {}));
  EXPECT_GT(instructions_, 100000);
}

TEST_F(DebianTest, Bc) {
  EXPECT_EQ(Output("/usr/bin/bc", "-lq <<end\nscale=20; 4*a(1)\nend\n"),
            "3.14159265358979323844\n");
  EXPECT_THAT(paths_, IsSupersetOf({"bc", "libreadline.so.8.2", "libc.so.6"}));
  EXPECT_THAT(names_, Contains("malloc"));
  // From a function of a library that is loaded while the program starts.
  const uint64_t whole = instructions_;
  options_.from_symbol = "malloc:10";
  const RunReport report = Run({options_.sysroot + "/usr/bin/bc", "/dev/null"});
  EXPECT_GT(report.index.instructions, 1000);
  EXPECT_LT(report.index.instructions, whole);
}

TEST_F(DebianTest, Python) {
  EXPECT_EQ(Output("/usr/bin/python3.11", "-S -c 'print(sum(range(1000)))'"),
            "499500\n");
  EXPECT_THAT(names_, Contains("PyObject_Call"));
  EXPECT_GT(instructions_, 1000000);
}

}  // namespace
}  // namespace perfvec::tracer
