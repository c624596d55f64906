// The command `perfvec` as its users run it: the real binary, a real server, a
// real worker, real traces.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cutting_proxy.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/testing/processes.h"
#include "tests/worker/model/random_model.h"

namespace perfvec::client {
namespace {

using nlohmann::json;
using testing::BinaryPath;
using testing::CommandResult;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Process;
using Arguments = std::vector<std::string>;

constexpr absl::Duration kLong = absl::Seconds(60);

const char kTraceText[] =
    PERFVEC_SOURCE_DIR "/tests/golden/features_in_order_lcs_dp.trace.txt.zst";
const char kStoreText[] = PERFVEC_SOURCE_DIR
    "/tests/golden/features_in_order_lcs_dp.trace.sq.txt.zst";

// One server and one worker for all tests; each has names of its own.
class CliTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new testing::TempDir();
    MakeModel();
    auto server =
        Process::Start({{BinaryPath("server/perfvec-server"), "--data-dir",
                         Path("data"), "--listen", "127.0.0.1:0",
                         "--metrics-listen", "", "--model", Path("model")}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
    auto port = server_->WaitFor("listening on [0-9.]+:([0-9]+)", kLong);
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *port;
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
    EXPECT_THAT(result.err, HasSubstr("perfvec: "));
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

  static testing::TempDir* directory_;
  static Process* server_;
  static Process* worker_;
  static std::string port_;
};

testing::TempDir* CliTest::directory_ = nullptr;
Process* CliTest::server_ = nullptr;
Process* CliTest::worker_ = nullptr;
std::string CliTest::port_;

TEST_F(CliTest, EveryCommandHasHelpWithAnExample) {
  const Arguments kCommands = {"import",         "trace check",
                               "trace info",     "represent",
                               "upload",         "program list",
                               "program get",    "program update",
                               "program delete", "program represent",
                               "arch list",      "arch get",
                               "arch create",    "arch update",
                               "arch delete",    "model list",
                               "model get",      "model create",
                               "model update",   "model delete",
                               "job list",       "job get",
                               "job watch",      "job cancel",
                               "predict",        "matrix",
                               "rank",           "server status"};
  for (const std::string& command : kCommands) {
    Arguments arguments = absl::StrSplit(command, ' ');
    arguments.push_back("--help");
    const CommandResult result = Run(arguments);
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_THAT(result.out, HasSubstr("Examples:\n  ")) << command;
    EXPECT_THAT(result.out, HasSubstr("perfvec " + command)) << command;
    EXPECT_THAT(result.err, IsEmpty());
    std::istringstream lines(
        result.out.substr(0, result.out.find("Examples:")));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 80) << command << ": " << line;
    }
  }
  EXPECT_THAT(Run({"--help"}).out, HasSubstr("perfvec rank lbm"));
  EXPECT_THAT(Run({"--version"}).out, ContainsRegex("^perfvec [0-9.]+\n$"));
}

TEST_F(CliTest, ErrorsOfUsageAreTwo) {
  EXPECT_THAT(Fail(2, {}), HasSubstr("needs a command: import"));
  EXPECT_THAT(Fail(2, {"rnak", "lcs"}), HasSubstr("did you mean rank?"));
  EXPECT_THAT(Fail(2, {"program"}), HasSubstr("needs a command: list"));
  EXPECT_THAT(Fail(2, {"program", "lst"}), HasSubstr("did you mean list?"));
  Fail(2, {"rank"});
  Fail(2, {"rank", "lcs", "--architecture", "big"});
  Fail(2, {"rank", "lcs", "--limit", "0"});
  Fail(2, {"rank", "lcs", "--objective", "beauty"});
  EXPECT_THAT(Fail(2, {"rank", "lcs", "--where", "rob"}),
              HasSubstr("core.numROBEntries>=128"));
  Fail(2, {"rank", "lcs", "--deadline", "10"});
  Fail(2, {"rank", "lcs", "--no-such-option"});
  Fail(2, {"predict", "lcs"});
  Fail(2, {"upload", Path("lcs.pvt")});
  Fail(2, {"upload", Path("lcs.pvt"), "--program", "x", "--tag", "novalue"});
  Fail(2, {"--timeout", "soon", "server", "status"});
}

TEST_F(CliTest, EachClassOfFailureHasItsCode) {
  EXPECT_THAT(Fail(3, {"program", "get", "lsc"}), HasSubstr("lcs"));
  EXPECT_THAT(Fail(3, {"arch", "get", "litle"}), HasSubstr("little"));
  EXPECT_THAT(Fail(3, {"rank", "lsc"}), HasSubstr("lcs"));
  Fail(3, {"model", "get", "nobody"});
  Fail(3, {"job", "get", "none"});
  Fail(3, {"job", "watch", "none"});
  Fail(3, {"trace", "info", Path("absent.pvt")});
  Fail(3, {"upload", Path("absent.pvt"), "--program", "x"});
  Fail(3, {"represent", Path("lcs.pvt"), "--model", Path("absent")});

  Write("text", "no trace at all, but long enough for a header of one");
  Fail(4, {"trace", "check", Path("text")});
  Fail(4, {"upload", Path("text"), "--program", "x"});
  Fail(4, {"upload", Path("lcs.pvt"), "--program", "b*d"});
  Write("bad.json", R"({"name": "a", "watts": 3})");
  EXPECT_THAT(Fail(4, {"arch", "create", Path("bad.json")}),
              HasSubstr("field \"watts\""));
  Write("bad.txt", "1 2 three\n");
  EXPECT_THAT(Fail(4, {"import", "--trace", Path("bad.txt"), "--store",
                       Path("bad.txt"), "-o", Path("bad.pvt")}),
              HasSubstr("bad.txt"));
  EXPECT_FALSE(std::filesystem::exists(Path("bad.pvt")));

  EXPECT_THAT(Fail(6, {"model", "update", "random", "--tag", "a=b",
                       "--if-revision", "999"}),
              HasSubstr("revision"));
  EXPECT_EQ(Run({"upload", Path("lcs.pvt"), "--program", "novector",
                 "--skip-represent"})
                .exit_code,
            0);
  Fail(6, {"predict", "novector", "big"});

  EXPECT_THAT(Fail(9, {"--server", "127.0.0.1:1", "server", "status"}),
              HasSubstr("127.0.0.1:1"));
  // A port that takes connections and never answers.
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 4), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size),
            0);
  Fail(10, {"--server", absl::StrCat("127.0.0.1:", ntohs(address.sin_port)),
            "--timeout", "300ms", "server", "status"});
  close(silent);
}

TEST_F(CliTest, AFullServerIsEight) {
  auto server =
      Process::Start({{BinaryPath("server/perfvec-server"), "--data-dir",
                       Path("full"), "--listen", "127.0.0.1:0",
                       "--metrics-listen", "", "--max-stored-bytes", "1000"}});
  ASSERT_TRUE(server.ok()) << server.status();
  auto port = (*server)->WaitFor("listening on [0-9.]+:([0-9]+)", kLong);
  ASSERT_TRUE(port.ok()) << port.status();
  const std::string address = "127.0.0.1:" + *port;
  EXPECT_THAT(Fail(8, {"upload", Path("lcs.pvt"), "--program", "x", "--server",
                       address, "--timeout", "1s"}),
              HasSubstr("max-stored-bytes"));
  // And one without a model has no default.
  Fail(3, {"model", "get", "any", "--server", address});
}

TEST_F(CliTest, TraceCheckNamesWhereADamagedFileIsDamaged) {
  const CommandResult good = Run({"trace", "check", Path("lcs.pvt")});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("good"));
  EXPECT_EQ(RunJson({"trace", "check", Path("lcs.pvt")})["valid"], true);

  std::ifstream in(Path("lcs.pvt"), std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  Write("cut.pvt", bytes.substr(0, bytes.size() / 2));
  EXPECT_THAT(Fail(5, {"trace", "check", Path("cut.pvt")}),
              HasSubstr("cut.pvt"));
  bytes[bytes.size() / 2] ^= 1;
  Write("flipped.pvt", bytes);
  EXPECT_THAT(Fail(5, {"trace", "check", Path("flipped.pvt")}),
              ContainsRegex("[0-9]"));
  // The server does not tell a damaged upload from one that never was a trace.
  Fail(4, {"upload", Path("flipped.pvt"), "--program", "x"});
}

TEST_F(CliTest, TraceInfoAndImportTellTheSame) {
  const json imported =
      RunJson({"import", "--trace", kTraceText, "--store", kStoreText, "-o",
               Path("again.pvt"), "--latency-name", "minor", "--tool-command",
               "gem5.opt run.py"});
  const json info = RunJson({"trace", "info", Path("again.pvt")});
  EXPECT_EQ(info["instructions"], imported["instructions"]);
  EXPECT_EQ(info["size_bytes"], imported["size_bytes"]);
  EXPECT_EQ(info["command"], "gem5.opt run.py");
  EXPECT_THAT(Run({"trace", "info", Path("again.pvt")}).out,
              HasSubstr(absl::StrCat(imported["instructions"].get<int>())));
}

TEST_F(CliTest, ImportTakesOneFileFromStandardInput) {
  const CommandResult unpacked = *testing::RunCommand(
      {{"/bin/sh", "-c",
        absl::StrCat("cat ", kTraceText, " | ", BinaryPath("client/perfvec"),
                     " import --trace - --store ", kStoreText, " -o - > ",
                     Path("piped.pvt"))}},
      kLong);
  EXPECT_EQ(unpacked.exit_code, 0) << unpacked.err;
  EXPECT_EQ(RunJson({"trace", "check", Path("piped.pvt")})["valid"], true);
}

TEST_F(CliTest, RepresentsWithoutAServerWhatTheWorkersDo) {
  const json vector = RunJson({"represent", Path("lcs.pvt"), "--model",
                               Path("model"), "-o", Path("vector.json")});
  EXPECT_EQ(vector["program_vector"].size(), 16);
  EXPECT_EQ(vector["instructions"],
            RunJson({"trace", "info", Path("lcs.pvt")})["instructions"]);
  std::ifstream file(Path("vector.json"));
  EXPECT_EQ(json::parse(file), vector);
  // The server's prediction is the product of this vector and the
  // architecture's.
  const json architecture = RunJson({"arch", "get", "big"});
  double expected = 0;
  for (int i = 0; i < 16; ++i) {
    expected += vector["program_vector"][i].get<double>() *
                architecture["vectors"][0]["values"][i].get<double>();
  }
  const json predicted = RunJson({"predict", "lcs", "big"});
  EXPECT_NEAR(predicted["time_ns"].get<double>(), 0.1 * expected,
              1e-5 * std::abs(expected));
  EXPECT_EQ(predicted["model_id"], vector["model_id"]);
}

TEST_F(CliTest, ProgramsFromUploadToDelete) {
  const json uploaded =
      RunJson({"upload", Path("lcs.pvt"), "--program", "doomed", "--tag",
               "suite=test", "--alias", "gold", "--wait"});
  EXPECT_EQ(uploaded["program"]["name"], "doomed");
  EXPECT_EQ(uploaded["program"]["vectors"].size(), 1);
  EXPECT_EQ(uploaded["jobs"][0]["state"], "JOB_STATE_SUCCEEDED");

  json list = RunJson({"program", "list", "--tag", "suite=test"});
  ASSERT_EQ(list["programs"].size(), 1);
  EXPECT_EQ(list["programs"][0]["name"], "doomed");
  EXPECT_EQ(RunJson({"program", "list", "--limit", "1"})["programs"].size(), 1);
  EXPECT_THAT(Run({"program", "list"}).out,
              ContainsRegex("NAME +INSTRUCTIONS +ISA"));

  const json updated =
      RunJson({"program", "update", "doomed@gold", "--tag", "owner=ann",
               "--remove-tag", "suite", "--remove-alias", "gold"});
  EXPECT_EQ(updated["tags"], json({{"owner", "ann"}}));
  EXPECT_TRUE(updated["aliases"].empty());
  Fail(6, {"program", "update", "doomed", "--tag", "a=b", "--if-revision",
           "1000000"});
  EXPECT_THAT(Run({"program", "get", "doomed"}).out, HasSubstr("owner=ann"));

  EXPECT_EQ(Run({"program", "delete", "doomed"}).exit_code, 0);
  Fail(3, {"program", "get", "doomed"});
}

TEST_F(CliTest, RepresentIsAskedForOnce) {
  const json job = RunJson({"program", "represent", "lcs", "--wait"});
  EXPECT_EQ(job["state"], "JOB_STATE_SUCCEEDED");
  const json again = RunJson({"program", "represent", "lcs"});
  EXPECT_EQ(again["job_id"], job["job_id"]);
  const std::string id = job["job_id"];
  EXPECT_EQ(RunJson({"job", "get", id})["job_id"], id);
  EXPECT_THAT(Run({"job", "get", id}).out, HasSubstr("succeeded"));
  EXPECT_EQ(Run({"job", "watch", id}).exit_code, 0);
  const json jobs =
      RunJson({"job", "list", "--program", "lcs", "--state", "succeeded"});
  ASSERT_EQ(jobs["jobs"].size(), 1);
  EXPECT_EQ(jobs["jobs"][0]["job_id"], id);
}

TEST_F(CliTest, ArchitecturesFromCreateToDelete) {
  Write("new.json", absl::StrCat(
                        R"([{"name": "new", "attributes": {"rob": 8},
                             "price_per_hour": 0.5, "power_watts": 2,
                             "vectors": [{"model": "random", "values": [)",
                        absl::StrJoin(std::vector<int>(16, 1), ","), "]}]}]"));
  EXPECT_EQ(Run({"arch", "create", Path("new.json")}).out, "new@1\n");
  const json created = RunJson({"arch", "get", "new"});
  EXPECT_EQ(created["attributes"]["rob"]["number"], 8);
  EXPECT_EQ(created["vectors"][0]["origin"], "given");
  // What get prints can be registered under another name.
  json copy = created;
  copy["name"] = "copy";
  EXPECT_EQ(
      RunJson({"arch", "create", "-"}, copy.dump())["architectures"][0]["name"],
      "copy");
  const json updated =
      RunJson({"arch", "update", "new", "--price", "0.25", "--set", "kind=fast",
               "--unset", "rob", "--tag", "site=lab"});
  EXPECT_EQ(updated["price_per_hour"], 0.25);
  EXPECT_EQ(updated["attributes"]["kind"]["text"], "fast");
  EXPECT_FALSE(updated["attributes"].contains("rob"));
  EXPECT_EQ(
      RunJson({"arch", "list", "--tag", "site=lab"})["architectures"].size(),
      1);
  EXPECT_THAT(Run({"arch", "list"}).out, HasSubstr("little"));
  EXPECT_EQ(Run({"arch", "delete", "new", "--all-versions"}).exit_code, 0);
  EXPECT_EQ(Run({"arch", "delete", "copy"}).exit_code, 0);
  Fail(3, {"arch", "get", "new"});
}

TEST_F(CliTest, ModelsFromCreateToDelete) {
  auto model = compute::RandomModel(compute::SmallManifest(1, 4), 9);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(model->Save(Path("other_model")).ok());
  const json created = RunJson({"model", "create", Path("other_model"),
                                "--name", "other", "--tag", "a=b"});
  EXPECT_EQ(created["model_id"], model->id());
  EXPECT_EQ(RunJson({"model", "get", model->id()})["name"], "other");
  EXPECT_EQ(RunJson({"model", "update", "other", "--alias", "x"})["aliases"],
            json({"x"}));
  EXPECT_EQ(RunJson({"model", "list"})["models"].size(), 2);
  // Another model's vectors are never mixed in.
  Fail(6, {"predict", "lcs", "big", "--model", "other"});
  EXPECT_EQ(Run({"model", "delete", "other"}).exit_code, 0);
}

TEST_F(CliTest, PredictsPairsOneByOneAndInBatches) {
  EXPECT_THAT(Run({"predict", "lcs", "big"}).out, HasSubstr("big@1"));
  const json one = RunJson({"predict", "lcs", "big"});
  const json batch =
      RunJson({"predict", "--batch", "-"}, "# pairs\nlcs big\n\nlcs,little\n");
  ASSERT_EQ(batch["items"].size(), 2);
  EXPECT_EQ(batch["items"][0]["prediction"]["time_ns"], one["time_ns"]);

  const CommandResult partly =
      Run({"predict", "--batch", "-", "--json"}, {}, "lcs big\nlcs nowhere\n");
  EXPECT_EQ(partly.exit_code, 3) << partly.err;
  const json items = json::parse(partly.out)["items"];
  ASSERT_EQ(items.size(), 2);
  EXPECT_EQ(items[1]["code"], 5);
  EXPECT_THAT(Fail(4, {"predict", "--batch", "-"}, "lcs big little\n"),
              HasSubstr("-:1"));
}

TEST_F(CliTest, TheMatrixHasTheSameBitsInEveryForm) {
  const json matrix = RunJson({"matrix", "--program", "lcs"});
  ASSERT_EQ(matrix["rows"].size(), 1);
  ASSERT_EQ(matrix["architectures"].size(),
            matrix["rows"][0]["time_ns"].size());
  for (size_t c = 0; c < matrix["architectures"].size(); ++c) {
    const json one = RunJson(
        {"predict", "lcs", matrix["architectures"][c].get<std::string>()});
    EXPECT_EQ(one["time_ns"].get<double>(),
              matrix["rows"][0]["time_ns"][c].get<double>());
  }
  const CommandResult csv = Run({"matrix", "--csv", "--program", "lcs"});
  const Arguments lines = absl::StrSplit(csv.out, '\n');
  ASSERT_EQ(lines.size(), 3);
  const Arguments cells = absl::StrSplit(lines[1], ',');
  EXPECT_EQ(std::stod(cells[1]), matrix["rows"][0]["time_ns"][0].get<double>());
  EXPECT_THAT(Run({"matrix"}).out, HasSubstr("PROGRAM"));
}

TEST_F(CliTest, RanksBothWaysUnderConstraints) {
  const json ranked = RunJson({"rank", "lcs"});
  ASSERT_EQ(ranked["items"].size(), 3);
  EXPECT_EQ(ranked["items"][0]["relative_to_best"], 1.0);
  EXPECT_THAT(Run({"rank", "lcs"}).out,
              ContainsRegex("RANK +ARCHITECTURE +TIME +RELATIVE"));
  EXPECT_EQ(RunJson({"rank", "lcs", "--limit", "2"})["items"].size(), 2);
  const json some =
      RunJson({"rank", "lcs", "--candidate", "big", "--candidate", "little"});
  EXPECT_EQ(some["items"].size(), 2);
  const json none = RunJson({"rank", "lcs", "--where", "name=nobody"});
  EXPECT_TRUE(none["items"].empty());
  EXPECT_EQ(none["excluded_by_constraints"], "3");
  EXPECT_THAT(Run({"rank", "lcs", "--where", "name=nobody"}).out,
              HasSubstr("3 excluded by --where"));
  const json costly = RunJson({"rank", "lcs", "--objective", "cost"});
  EXPECT_EQ(costly["excluded_without_objective"], "3");
  EXPECT_FALSE(RunJson({"rank", "--architecture", "big"})["items"].empty());
}

TEST_F(CliTest, TheServersAddressComesFromThreePlaces) {
  EXPECT_EQ(RunJson({"server", "status"})["models"], "1");
  EXPECT_THAT(Run({"server", "status"}).out, HasSubstr(Address()));
  // The file, where nothing else is said.
  std::filesystem::create_directories(Path("xdg/perfvec"));
  Write("xdg/perfvec/config.toml",
        absl::StrCat("server = \"", Address(), "\"\n[rank]\nlimit = 1\n"));
  const std::map<std::string, std::string> file_only = {
      {"PERFVEC_SERVER", ""}, {"XDG_CONFIG_HOME", Path("xdg")}};
  EXPECT_EQ(Run({"server", "status"}, file_only).exit_code, 0);
  EXPECT_EQ(json::parse(Run({"rank", "lcs", "--json"}, file_only).out)["items"]
                .size(),
            1);
  // The environment wins over the file, the command line over both.
  EXPECT_EQ(Run({"server", "status"}, {{"PERFVEC_SERVER", "127.0.0.1:1"},
                                       {"XDG_CONFIG_HOME", Path("xdg")}})
                .exit_code,
            9);
  EXPECT_EQ(Run({"server", "status", "--server", Address()},
                {{"PERFVEC_SERVER", "127.0.0.1:1"}})
                .exit_code,
            0);
  Write("bad.toml", "sever = \"x\"\n");
  Fail(2, {"--config", Path("bad.toml"), "server", "status"});
}

TEST_F(CliTest, WaitsForAServer) {
  EXPECT_EQ(Run({"server", "status", "--wait", "10"}).exit_code, 0);
  Fail(9, {"--server", "127.0.0.1:1", "server", "status", "--wait", "0.3"});
}

TEST_F(CliTest, ATerminalHasProgressAndTablesThatFit) {
  auto in_terminal = [](const std::string& command) {
    testing::ProcessOptions options;
    options.argv = {"script", "-qec",
                    absl::StrCat("stty cols 50; ", BinaryPath("client/perfvec"),
                                 " ", command),
                    "/dev/null"};
    options.environment = {{"PERFVEC_SERVER", Address()}};
    auto result = testing::RunCommand(options, kLong);
    return result.ok() ? result->out : "";
  };
  const std::string checked = in_terminal("trace check " + Path("lcs.pvt"));
  if (checked.empty()) GTEST_SKIP() << "no script(1) here";
  EXPECT_THAT(checked, ContainsRegex("\r\x1b\\[Kcheck .*%"));
  const std::string listed = in_terminal("arch list");
  EXPECT_THAT(listed, HasSubstr("little"));
  for (const std::string& line :
       Arguments(absl::StrSplit(listed, absl::ByAnyChar("\r\n")))) {
    EXPECT_LE(line.size(), 50) << line;
  }
}

TEST_F(CliTest, ACutUploadIsResumed) {
  CuttingProxy proxy(std::stoi(port_));
  proxy.CutAfter(5 << 20, 6 << 20);
  const CommandResult result =
      Run({"upload", BigTrace(71), "--program", "cut", "--skip-represent",
           "--server", absl::StrCat("127.0.0.1:", proxy.port())});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GE(proxy.cuts(), 1);
  EXPECT_EQ(RunJson({"program", "get", "cut"})["name"], "cut");
}

TEST_F(CliTest, CtrlCLeavesTheUploadResumable) {
  const std::string file = BigTrace(72);
  // After 5 MiB the connection breaks and every later one at once: the command
  // is between two attempts when the signal comes.
  CuttingProxy proxy(std::stoi(port_));
  proxy.CutAfter(5 << 20, 0);
  testing::ProcessOptions options;
  options.argv = {BinaryPath("client/perfvec"),
                  "upload",
                  file,
                  "--program",
                  "interrupted",
                  "--skip-represent",
                  "--server",
                  absl::StrCat("127.0.0.1:", proxy.port())};
  auto upload = Process::Start(options);
  ASSERT_TRUE(upload.ok()) << upload.status();
  proxy.WaitForCut();
  ASSERT_TRUE((*upload)->Signal(SIGINT).ok());
  auto code = (*upload)->Wait(kLong);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 130);
  EXPECT_THAT((*upload)->err(), HasSubstr("goes on where it ended"));
  EXPECT_EQ(
      Run({"upload", file, "--program", "interrupted", "--skip-represent"})
          .exit_code,
      0);
}

TEST_F(CliTest, AFailedJobIsEleven) {
  ASSERT_TRUE(worker_->Signal(SIGSTOP).ok());  // so that the job stays
  const json uploaded =
      RunJson({"upload", BigTrace(73), "--program", "cancelled"});
  const std::string id = uploaded["jobs"][0]["job_id"];
  const json cancelled = RunJson({"job", "cancel", id});
  EXPECT_EQ(cancelled["state"], "JOB_STATE_CANCELLED");
  const CommandResult watched = Run({"job", "watch", id});
  EXPECT_EQ(watched.exit_code, 11) << watched.err;
  EXPECT_THAT(watched.err, HasSubstr("was cancelled"));
  EXPECT_THAT(watched.out, HasSubstr("cancelled"));
  ASSERT_TRUE(worker_->Signal(SIGCONT).ok());
}

TEST_F(CliTest, CompletionKnowsCommandsOptionsValuesAndNames) {
  auto complete = [](const std::string& line) {
    testing::ProcessOptions options;
    options.argv = {
        "/bin/bash", "--norc", "-c",
        absl::StrCat("PATH=", BinaryPath("client"), ":$PATH; source ",
                     PERFVEC_SOURCE_DIR "/client/completion/perfvec.bash; ",
                     "COMP_LINE='", line, "'; COMP_POINT=${#COMP_LINE}; ",
                     "_perfvec; printf '%s\\n' \"${COMPREPLY[@]}\"")};
    options.environment = {{"PERFVEC_SERVER", Address()}};
    auto result = testing::RunCommand(options, kLong);
    EXPECT_TRUE(result.ok()) << result.status();
    return result->out;
  };
  EXPECT_EQ(complete("perfvec ra"), "rank\n");
  EXPECT_EQ(complete("perfvec program del"), "delete\n");
  EXPECT_EQ(complete("perfvec rank --obj"), "--objective\n");
  EXPECT_EQ(complete("perfvec rank lcs --objective en"), "energy\n");
  EXPECT_EQ(complete("perfvec rank lcs --objective=en"), "energy\n");
  EXPECT_EQ(complete("perfvec rank lc"), "lcs\n");
  EXPECT_EQ(complete("perfvec predict lcs "), "big\nlittle\nmiddle\n");
  EXPECT_EQ(complete("perfvec --json predict lcs li"), "little\n");
  EXPECT_EQ(complete("perfvec rank lcs --model ra"), "random\n");
  EXPECT_THAT(complete("perfvec trace info " + Path("lcs")),
              HasSubstr("lcs.pvt"));
  // Without a server there are no names, and no error in the shell.
  EXPECT_EQ(complete("perfvec --server 127.0.0.1:1 rank lc"), "\n");
}

TEST_F(CliTest, ManualPagesAreWellFormed) {
  std::filesystem::create_directories(Path("man"));
  EXPECT_EQ(Run({"__man", Path("man")}).exit_code, 0);
  int pages = 0;
  for (const auto& page : std::filesystem::directory_iterator(Path("man"))) {
    auto result =
        testing::RunCommand({{"groff", "-t", "-man", "-Tutf8", "-P-cbou", "-ww",
                              page.path().string()}},
                            kLong);
    if (!result.ok()) GTEST_SKIP() << "no groff here";
    EXPECT_EQ(result->exit_code, 0);
    EXPECT_THAT(result->err, IsEmpty()) << page.path();
    EXPECT_THAT(result->out, HasSubstr("       perfvec "));
    EXPECT_THAT(result->out, HasSubstr("SYNOPSIS"));
    ++pages;
  }
  EXPECT_GE(pages, 12);
}

}  // namespace
}  // namespace perfvec::client
