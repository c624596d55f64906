// Log lines, their scopes, and ids of requests.
#include "proto/log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/request_id.h"

namespace perfvec {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  std::string Line(LogFormat format, const std::string& message) {
    std::ostringstream out;
    spdlog::logger logger(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
    logger.set_formatter(MakeLogFormatter("server", format));
    logger.warn(message);
    logger.flush();
    return out.str();
  }
};

TEST_F(LogTest, JsonHasTheFieldsThatThereAre) {
  const json bare = json::parse(Line(LogFormat::kJson, "started"));
  EXPECT_EQ(bare.size(), 4) << bare;
  EXPECT_THAT(bare["time"].get<std::string>(),
              MatchesRegex("....-..-..T..:..:......Z"));
  EXPECT_EQ(bare["level"], "warning");
  EXPECT_EQ(bare["component"], "server");
  EXPECT_EQ(bare["message"], "started");
  LogScope outer("r-1", "job-7");
  {
    LogScope inner("r-2");
    const json line = json::parse(Line(LogFormat::kJson, "x"));
    EXPECT_EQ(line["request_id"], "r-2");
    EXPECT_FALSE(line.contains("job_id"));
  }
  std::thread([&] {
    EXPECT_EQ(LogScope::CurrentRequestId(), "");
    EXPECT_EQ(json::parse(Line(LogFormat::kJson, "x")).size(), 4);
  }).join();
  const json line = json::parse(Line(LogFormat::kJson, "x"));
  EXPECT_EQ(line["request_id"], "r-1");
  EXPECT_EQ(line["job_id"], "job-7");
  EXPECT_THAT(Line(LogFormat::kText, "x"),
              EndsWith(" warning x request_id=r-1 job_id=job-7\n"));
}

TEST_F(LogTest, AMessageMakesOneLineWhateverItHolds) {
  const std::string wild("a\nb\r\x1b[31m\"\\\x7f\0z\xff\xc3\xa4", 17);
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = Line(format, wild);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    for (const char c : line.substr(0, line.size() - 1)) {
      EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
    }
  }
  EXPECT_THAT(Line(LogFormat::kText, wild), HasSubstr("a\\x0ab\\x0d\\x1b[31m"));
  const std::string text = json::parse(Line(LogFormat::kJson, wild))["message"];
  EXPECT_THAT(text, ::testing::StartsWith("a\nb\r\x1b[31m\"\\"));
}

TEST(RequestIdTest, OnlyWhatIsFitForALogIsTaken) {
  for (const char* fit : {"a", "req-17", "A.b_c-9"}) {
    EXPECT_TRUE(IsRequestId(fit)) << fit;
    EXPECT_EQ(RequestId(fit), fit);
  }
  EXPECT_TRUE(IsRequestId(std::string(64, 'x')));
  for (const std::string& unfit :
       {std::string(), std::string(65, 'x'), std::string("a b"),
        std::string("a\n"), std::string("a\0b", 3), std::string("\xc3\xa4"),
        std::string("{}"), std::string("a=b")}) {
    EXPECT_FALSE(IsRequestId(unfit)) << unfit;
    EXPECT_TRUE(IsRequestId(RequestId(unfit)));
    EXPECT_NE(RequestId(unfit), unfit);
  }
  std::set<std::string> made;
  for (int i = 0; i < 1000; ++i) made.insert(NewRequestId());
  EXPECT_EQ(made.size(), 1000);
  EXPECT_THAT(*made.begin(), MatchesRegex("[0-9a-f]{16}"));
}

}  // namespace
}  // namespace perfvec
