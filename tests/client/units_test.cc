#include "client/cli/units.h"

#include <limits>

#include "client/cli/exit_code.h"
#include "client/cli/terminal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;
using ::testing::HasSubstr;

TEST(UnitsTest, TimesHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(FormatTimeNs(0), "0.00 ns");
  EXPECT_EQ(FormatTimeNs(0.3), "0.30 ns");
  EXPECT_EQ(FormatTimeNs(812), "812 ns");
  EXPECT_EQ(FormatTimeNs(999.4), "999 ns");
  EXPECT_EQ(FormatTimeNs(999.6), "1.00 us");
  EXPECT_EQ(FormatTimeNs(12345678), "12.3 ms");
  EXPECT_EQ(FormatTimeNs(99.96e6), "100 ms");
  EXPECT_EQ(FormatTimeNs(1.5e9), "1.50 s");
  EXPECT_EQ(FormatTimeNs(7.2e12), "2.00 h");
  EXPECT_EQ(FormatTimeNs(-12345678), "-12.3 ms");
  EXPECT_EQ(FormatTimeNs(std::numeric_limits<double>::infinity()), "inf");
}

TEST(UnitsTest, BytesAndCounts) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(517), "517 B");
  EXPECT_EQ(FormatBytes(4 << 20), "4.00 MiB");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 40), "3.00 TiB");
  EXPECT_EQ(FormatCount(9321), "9321");
  EXPECT_EQ(FormatCount(12345), "12.3 k");
  EXPECT_EQ(FormatCount(1200000), "1.20 M");
  EXPECT_EQ(FormatCount(999'999'999), "1.00 G");
}

TEST(UnitsTest, Seconds) {
  EXPECT_EQ(FormatSeconds(absl::Seconds(12)), "12 s");
  EXPECT_EQ(FormatSeconds(absl::Seconds(185)), "3 min 05 s");
  EXPECT_EQ(FormatSeconds(absl::Hours(5)), "5 h 00 min");
  EXPECT_EQ(FormatSeconds(absl::Hours(100)), "4 days");
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(*ParseDuration("10ms"), absl::Milliseconds(10));
  EXPECT_EQ(*ParseDuration("1m30s"), absl::Seconds(90));
  for (const char* bad : {"", "10", "-1s", "0s", "inf", "ms", "10 ms"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDuration(bad).status())) << bad;
  }
}

TEST(UnitsTest, ConstraintsOfEveryOperator) {
  const std::pair<const char*, api::Constraint::Operator> kCases[] = {
      {"a.b>=2", api::Constraint::GREATER_OR_EQUAL},
      {"a.b<=2", api::Constraint::LESS_OR_EQUAL},
      {"a.b!=2", api::Constraint::NOT_EQUAL},
      {"a.b==2", api::Constraint::EQUAL},
      {"a.b=2", api::Constraint::EQUAL},
      {"a.b<2", api::Constraint::LESS},
      {"a.b > 2", api::Constraint::GREATER}};
  for (const auto& [text, op] : kCases) {
    auto constraint = ParseConstraint(text);
    ASSERT_TRUE(constraint.ok()) << constraint.status();
    EXPECT_EQ(constraint->attribute(), "a.b");
    EXPECT_EQ(constraint->op(), op) << text;
    EXPECT_EQ(constraint->value().number(), 2);
  }
}

TEST(UnitsTest, ConstraintValuesAreNumbersOrTexts) {
  EXPECT_EQ(ParseConstraint("kind=out_of_order")->value().text(),
            "out_of_order");
  EXPECT_EQ(ParseConstraint("stepping=\"2\"")->value().text(), "2");
  EXPECT_EQ(ParseConstraint("x<1e-3")->value().number(), 1e-3);
  EXPECT_EQ(ParseConstraint("name!=nan")->value().text(), "nan");
}

TEST(UnitsTest, WhatIsNoConstraintIsNamed) {
  for (const char* bad : {"", "a", ">=2", "a>=", "a!2", " =2"}) {
    const absl::Status status = ParseConstraint(bad).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(std::string("\"") + bad + "\""));
  }
}

TEST(UnitsTest, KeyValues) {
  EXPECT_EQ(*ParseKeyValue("a=b=c"),
            (std::pair<std::string, std::string>("a", "b=c")));
  EXPECT_EQ(ParseKeyValue("a=")->second, "");
  EXPECT_FALSE(ParseKeyValue("a").ok());
  EXPECT_FALSE(ParseKeyValue("=a").ok());
}

TEST(UnitsTest, JobStates) {
  EXPECT_EQ(FormatJobState(api::JOB_STATE_SUCCEEDED), "succeeded");
  EXPECT_EQ(FormatJobState(static_cast<api::JobState>(77)), "unknown");
}

TEST(ExitCodeTest, EveryClassHasItsNumber) {
  const std::pair<absl::StatusCode, int> kCases[] = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, 130},
      {absl::StatusCode::kUnknown, 1},
      {absl::StatusCode::kInvalidArgument, 4},
      {absl::StatusCode::kDeadlineExceeded, 10},
      {absl::StatusCode::kNotFound, 3},
      {absl::StatusCode::kAlreadyExists, 6},
      {absl::StatusCode::kPermissionDenied, 7},
      {absl::StatusCode::kResourceExhausted, 8},
      {absl::StatusCode::kFailedPrecondition, 6},
      {absl::StatusCode::kAborted, 6},
      {absl::StatusCode::kOutOfRange, 4},
      {absl::StatusCode::kUnimplemented, 1},
      {absl::StatusCode::kInternal, 1},
      {absl::StatusCode::kUnavailable, 9},
      {absl::StatusCode::kDataLoss, 5},
      {absl::StatusCode::kUnauthenticated, 7}};
  for (const auto& [code, exit_code] : kCases) {
    EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::Status(code, "x"))), exit_code)
        << absl::StatusCodeToString(code);
  }
}

TEST(ExitCodeTest, AFailedJobHasItsOwn) {
  api::Job job;
  job.set_job_id("j1");
  job.set_state(api::JOB_STATE_FAILED);
  job.set_error("trace is damaged");
  const absl::Status status = JobFailedError(job);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kJobFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("trace is damaged"));
}

TEST(ProgressLineTest, FitsAnyWidth) {
  for (int width : {1, 5, 20, 40, 80, 200}) {
    const std::string line =
        ProgressLine("upload", 50 << 20, 100 << 20, absl::Seconds(5), 50 << 20,
                     &FormatBytes, width);
    EXPECT_LE(line.size(), std::max(width, 2)) << line;
  }
}

TEST(ProgressLineTest, SaysShareRateAndRest) {
  EXPECT_EQ(ProgressLine("upload", 50 << 20, 100 << 20, absl::Seconds(5),
                         50 << 20, &FormatBytes, 100),
            "upload [###############...............]  50%  50.0 MiB of "
            "100 MiB  10.0 MiB/s  5 s left");
  EXPECT_EQ(ProgressLine("import", 2048, 0, absl::Milliseconds(10), 2048,
                         &FormatBytes, 80),
            "import  2.00 KiB");
}

}  // namespace
}  // namespace perfvec::client::cli
