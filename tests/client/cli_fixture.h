// The fixture of the tests that run the command `perfvec` as its users do: the
// real binary, a real server, a real worker, real traces.
#ifndef PERFVEC_TESTS_CLIENT_CLI_FIXTURE_H_
#define PERFVEC_TESTS_CLIENT_CLI_FIXTURE_H_

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/testing/processes.h"
#include "tests/worker/model/random_model.h"

namespace perfvec::client {

using nlohmann::json;
using testing::BinaryPath;
using testing::CommandResult;
using testing::Process;
using Arguments = std::vector<std::string>;

inline constexpr absl::Duration kLong = absl::Seconds(60);

inline constexpr char kTraceText[] =
    PERFVEC_SOURCE_DIR "/tests/golden/features_in_order_lcs_dp.trace.txt.zst";
inline constexpr char kStoreText[] = PERFVEC_SOURCE_DIR
    "/tests/golden/features_in_order_lcs_dp.trace.sq.txt.zst";

// One server and one worker for all tests; each has names of its own.
class CliTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new testing::TempDir();
    MakeModel();
    auto server = Process::Start(
        {{BinaryPath("server/perfvec-server"), "--data-dir", Path("data"),
          "--listen", "127.0.0.1:0", "--metrics-listen", "", "--http-listen",
          "127.0.0.1:0", "--model", Path("model")}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
    auto port = server_->WaitFor("listening on [0-9.]+:([0-9]+)", kLong);
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *port;
    auto http = server_->WaitFor("on http://[0-9.]+:([0-9]+)/", kLong);
    ASSERT_TRUE(http.ok()) << http.status();
    http_port_ = *http;
    auto worker = Process::Start(
        {{BinaryPath("worker/perfvec-worker"), "run", "--server", Address(),
          "--model-cache", Path("models"), "--threads", "1"}});
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = worker->release();
    const CommandResult imported =
        Run({"import", "--trace", kTraceText, "--store", kStoreText, "-o",
             Path("lcs.pvt")});
    ASSERT_EQ(imported.exit_code, 0) << imported.err;
    const CommandResult uploaded =
        Run({"upload", Path("lcs.pvt"), "--program", "lcs", "--wait"});
    ASSERT_EQ(uploaded.exit_code, 0)
        << uploaded.err << server_->Describe() << worker_->Describe();
  }

  static void TearDownTestSuite() {
    delete worker_;
    delete server_;
    delete directory_;
  }

  // With three architectures, whose vectors are random and positive: a time
  // that is not is refused.
  static void MakeModel() {
    compute::Manifest manifest = compute::SmallManifest(1, 16);
    for (const char* name : {"little", "middle", "big"}) {
      manifest.architectures.push_back(
          {name, absl::StrCat("{\"kind\":\"test\",\"rob\":",
                              manifest.architectures.size() * 40, "}")});
    }
    compute::TensorMap tensors = compute::RandomTensors(manifest, 1);
    for (float& v : tensors["architecture_vectors"].values) v = std::abs(v);
    auto model = compute::FoundationModel::Create(manifest, std::move(tensors));
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_TRUE(model->Save(Path("model")).ok());
  }

  static std::string Path(const std::string& name) {
    return *directory_ / name;
  }
  static std::string Address() { return "127.0.0.1:" + port_; }

  static CommandResult Run(Arguments arguments,
                           std::map<std::string, std::string> environment = {},
                           const std::string& input = "") {
    testing::ProcessOptions options;
    options.argv = {BinaryPath("client/perfvec")};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    environment.emplace("PERFVEC_SERVER", Address());
    environment.emplace("XDG_CONFIG_HOME", Path("config"));
    options.environment = std::move(environment);
    options.input = input;
    auto result = testing::RunCommand(options, kLong);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {-1, "", std::string(result.status().message())};
    // Neither stream is a terminal: nothing steers one.
    for (const std::string* text : {&result->out, &result->err}) {
      EXPECT_EQ(std::count_if(text->begin(), text->end(),
                              [](unsigned char c) {
                                return (c < 0x20 && c != '\n') || c == 0x7F;
                              }),
                0)
          << absl::StrJoin(arguments, " ") << ": " << *text;
    }
    return *std::move(result);
  }

  // Expects success and valid JSON.
  static json RunJson(Arguments arguments, const std::string& input = "") {
    arguments.push_back("--json");
    const CommandResult result = Run(arguments, {}, input);
    EXPECT_EQ(result.exit_code, 0)
        << absl::StrJoin(arguments, " ") << ": " << result.err;
    json parsed = json::parse(result.out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << result.out;
    return parsed;
  }

  // Expects this exit code, an explanation, and no output.
  static std::string Fail(int exit_code, Arguments arguments,
                          const std::string& input = "") {
    const CommandResult result = Run(arguments, {}, input);
    EXPECT_EQ(result.exit_code, exit_code)
        << absl::StrJoin(arguments, " ") << ": " << result.err;
    EXPECT_THAT(result.err, ::testing::HasSubstr("perfvec: "));
    return result.err;
  }

  static void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name), std::ios::binary) << text;
  }

  // A trace of more than 8 MiB.
  static std::string BigTrace(uint64_t seed) {
    trace::RandomTrace random(seed);
    std::vector<trace::TraceChunk> chunks;
    for (int i = 0; i < 8; ++i) {
      chunks.push_back(random.Chunk(trace::kMaxChunkInstructions, 25));
    }
    const std::string name = absl::StrCat("big", seed, ".pvt");
    Write(name, trace::WriteTrace(trace::TestHeader(25), chunks));
    return Path(name);
  }

  static inline testing::TempDir* directory_ = nullptr;
  static inline Process* server_ = nullptr;
  static inline Process* worker_ = nullptr;
  static inline std::string port_;
  static inline std::string http_port_;
};

}  // namespace perfvec::client

#endif  // PERFVEC_TESTS_CLIENT_CLI_FIXTURE_H_
