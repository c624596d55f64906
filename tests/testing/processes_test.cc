#include "tests/testing/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

namespace perfvec::testing {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Seconds(20);

TEST(ProcessTest, KeepsStreamsApartAndTellsTheExitCode) {
  auto result = RunCommand({{"sh", "-c", "cat; echo \"$GREETING\" >&2; exit 7"},
                            {{"GREETING", "hello"}},
                            "from stdin"},
                           kSoon);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->out, "from stdin");
  EXPECT_EQ(result->err, "hello\n");
}

TEST(ProcessTest, WaitsForALineAndReturnsItsGroup) {
  auto process = Process::Start(
      {{"sh", "-c", "echo one >&2; echo port 4711; exec sleep 1000"}});
  ASSERT_TRUE(process.ok()) << process.status();
  auto port = (*process)->WaitFor("port ([0-9]+)", kSoon);
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_EQ(*port, "4711");
  EXPECT_TRUE((*process)->WaitFor("^one$", kSoon).ok());
  EXPECT_TRUE((*process)->running());
  ASSERT_TRUE((*process)->Signal(SIGKILL).ok());
  auto code = (*process)->Wait(kSoon);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 128 + SIGKILL);
  EXPECT_FALSE((*process)->Signal(SIGKILL).ok());
}

TEST(ProcessTest, AnEndBeforeTheLineShowsTheOutput) {
  auto process = Process::Start({{"sh", "-c", "echo no such luck >&2"}});
  ASSERT_TRUE(process.ok()) << process.status();
  auto line = (*process)->WaitFor("ready", kSoon);
  EXPECT_EQ(line.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(line.status().message(), HasSubstr("no such luck"));
}

TEST(ProcessTest, PastTheTimeoutTheCommandIsKilled) {
  auto result = RunCommand({{"sleep", "1000"}}, absl::Milliseconds(20));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(ProcessTest, AProgramThatIsNotThereIsNamed) {
  auto process = Process::Start({{"/no/such/program"}});
  EXPECT_EQ(process.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(process.status().message(), HasSubstr("/no/such/program"));
}

TEST(TempDirTest, IsRemoved) {
  std::string path;
  {
    TempDir dir;
    path = dir.path();
    std::filesystem::create_directory(dir / "inner");
    EXPECT_TRUE(std::filesystem::exists(dir / "inner"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace perfvec::testing
