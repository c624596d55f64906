// perfvec load against a real server.
#include "tests/client/cli_fixture.h"

namespace perfvec::client {
namespace {

using ::testing::HasSubstr;

TEST_F(CliTest, LoadTellsHowLongEachKindOfCallTook) {
  const Arguments arguments = {
      "load",       "--rate", "100",
      "--duration", "1s",     "--warm-up",
      "100ms",      "--mix",  "predict=2,rank=1,matrix=1",
      "--seed",     "3",      "--deadline",
      "30s"};
  const json answer = RunJson(arguments);
  ASSERT_EQ(answer["runs"].size(), 1) << answer;
  EXPECT_FALSE(answer.contains("highest_rate_per_s"));
  const json& run = answer["runs"][0];
  EXPECT_EQ(run["rate_per_s"], 100);
  EXPECT_EQ(run["failed_share"], 0) << run;
  ASSERT_EQ(run["calls"].size(), 4) << run;
  uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    const json& call = run["calls"][i];
    EXPECT_EQ(call["call"], (std::vector<std::string>{"predict", "rank",
                                                      "matrix", "all"})[i]);
    const uint64_t ok = call["codes"]["OK"];
    if (i < 3) {
      sum += ok;
    } else {
      EXPECT_EQ(ok, sum);
    }
    const json& latency = call["latency_ms"];
    EXPECT_GT(latency["p50"], 0);
    EXPECT_LE(latency["p50"], latency["p99"]);
    EXPECT_LE(latency["p99"], latency["p99.9"]);
    EXPECT_LE(latency["p99.9"], latency["max"]);
  }
  const CommandResult text =
      Run({"load", "--rate", "50", "--duration", "500ms", "--warm-up", "1ms",
           "--deadline", "30s", "--program", "lcs", "--architecture", "big"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("P99.9"));
  EXPECT_THAT(text.out, HasSubstr("predict"));
}

TEST_F(CliTest, LoadGoesOverHttpToo) {
  const std::string http = absl::StrCat("127.0.0.1:", http_port_);
  const json answer = RunJson(
      {"load", "--http", http, "--rate", "100", "--duration", "1s", "--warm-up",
       "100ms", "--mix", "predict=2,rank=1,matrix=1", "--deadline", "30s"});
  const json& run = answer["runs"][0];
  EXPECT_EQ(run["failed_share"], 0) << run;
  EXPECT_EQ(run["calls"].size(), 4) << run;
  EXPECT_GT(run["calls"][3]["codes"]["OK"], 50) << run;
  Fail(4, {"load", "--http", "nowhere"});
  EXPECT_THAT(Fail(4, {"load", "--http", http, "--token-file", "/dev/null"}),
              HasSubstr("token"));
}

TEST_F(CliTest, LoadRefusesWhatItCannotCall) {
  EXPECT_THAT(Fail(3, {"load", "--program", "nothing"}), HasSubstr("nothing"));
  EXPECT_THAT(
      Fail(3, {"load", "--program", "lcs", "--architecture", "nothing"}),
      HasSubstr("nothing"));
  EXPECT_THAT(Fail(2, {"load", "--mix", "predict=1,train=2"}),
              HasSubstr("train=2"));
  EXPECT_THAT(Fail(2, {"load", "--mix", "predict=0"}), HasSubstr("above 0"));
  EXPECT_THAT(Fail(2, {"load", "--mix", "predict=nan"}), HasSubstr("nan"));
  Fail(2, {"load", "--rate", "0"});
  Fail(2, {"load", "--duration", "-1s"});
  Fail(2, {"load", "--shares", "50"});  // of what?
  Fail(9, {"load", "--server", "127.0.0.1:1", "--timeout", "300ms"});
}

}  // namespace
}  // namespace perfvec::client
