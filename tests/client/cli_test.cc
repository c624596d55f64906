// What the commands do: traces, programs, architectures, models, predictions.
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/client/cli_fixture.h"

namespace perfvec::client {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

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

TEST_F(CliTest, MergesTheLatenciesOfOneExecution) {
  for (const std::string name : {"little", "big"}) {
    ASSERT_EQ(Run({"import", "--trace", kTraceText, "--store", kStoreText,
                   "--latency-name", name, "-o", Path(name + ".pvt")})
                  .exit_code,
              0);
  }
  const json merged = RunJson({"trace", "merge", Path("little.pvt"),
                               Path("big.pvt"), "-o", Path("both.pvt")});
  EXPECT_EQ(merged["latency_columns"], json({"little", "big"}));
  EXPECT_EQ(merged["left_out"], 0);
  const json info = RunJson({"trace", "info", Path("both.pvt")});
  EXPECT_EQ(info["instructions"], merged["instructions"]);
  EXPECT_EQ(info["latency_columns"][0]["total_time_ns"],
            info["latency_columns"][1]["total_time_ns"]);
  EXPECT_EQ(RunJson({"trace", "check", Path("both.pvt")})["valid"], true);
  EXPECT_THAT(Fail(4, {"trace", "merge", Path("big.pvt"), Path("both.pvt"),
                       "-o", Path("twice.pvt")}),
              HasSubstr("big is also in"));
  EXPECT_NE(::access(Path("twice.pvt").c_str(), F_OK), 0);
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

TEST_F(CliTest, ATraceIsUploadedBehindItsRun) {
  const Arguments run = {"trace",
                         "run",
                         "-o",
                         Path("run.pvt"),
                         "--upload",
                         "ran",
                         "--tag",
                         "by=qemu",
                         "--wait",
                         "--",
                         PERFVEC_SOURCE_DIR
                         "/tests/client/tracer/coverage.elf"};
  if (std::system("command -v qemu-aarch64 >/dev/null") != 0 ||
      !std::ifstream(BinaryPath("client/libperfvec_qemu.so"))) {
    GTEST_SKIP() << "needs qemu-user and the plugin";
  }
  const CommandResult result = Run(run);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");  // the program's
  EXPECT_THAT(result.err, ::testing::HasSubstr("ran@1"));
  const json program = RunJson({"program", "get", "ran"});
  EXPECT_EQ(program["vectors"].size(), 1) << program;
  // Without a server nothing is run.
  const CommandResult refused =
      Run(run, {{"PERFVEC_SERVER", "127.0.0.1:1"}, {"PERFVEC_TIMEOUT", "1s"}});
  EXPECT_EQ(refused.exit_code, 9) << refused.err;
  Fail(2, {"trace", "run", "-o", Path("a.pvt"), "--wait", "--", "/bin/true"});
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

TEST_F(CliTest, LearnsFromTheLatenciesOfATrace) {
  testing::ProcessOptions options;
  options.argv = {BinaryPath("worker/perfvec-worker"),
                  "evidence",
                  Path("lcs.pvt"),
                  "--model",
                  Path("model"),
                  "-o",
                  Path("lcs.json"),
                  "--program",
                  "lcs_dp"};
  const auto made = testing::RunCommand(options, kLong);
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(made->exit_code, 0) << made->err;
  EXPECT_THAT(made->out, HasSubstr("1 architectures"));
  const json learned =
      RunJson({"arch", "learn", "lab", "--trace", Path("lcs.json"), "--run",
               "lcs=1ms", "--dry-run"});
  const json& programs = learned["vectors"][0]["learned"]["programs"];
  ASSERT_EQ(programs.size(), 2);
  EXPECT_EQ(programs[0]["program"], "lcs@1");
  EXPECT_EQ(programs[1]["program"], "lcs_dp");
  EXPECT_EQ(programs[1]["evidence"], "instructions");
  // The trace's own time, as the import told it.
  EXPECT_GT(programs[1]["time_ns"].get<double>(), 0);
  EXPECT_EQ(Run({"arch", "learn", "lab", "--trace", Path("lcs.json"),
                 "--column", "traced", "--dry-run"})
                .exit_code,
            0);

  // What get prints of a learned architecture registers nothing new under its
  // name, and under another the same but for what the server gives.
  EXPECT_EQ(
      Run({"arch", "learn", "lab", "--trace", Path("lcs.json")}).exit_code, 0);
  json lab = RunJson({"arch", "get", "lab"});
  EXPECT_EQ(Run({"arch", "create", "-"}, {}, lab.dump()).out, "lab@1\n");
  json copy = lab;
  copy["name"] = "lab_copy";
  EXPECT_EQ(Run({"arch", "create", "-"}, {}, copy.dump()).out, "lab_copy@1\n");
  copy = RunJson({"arch", "get", "lab_copy"});
  EXPECT_EQ(copy["vectors"][0]["learned"], lab["vectors"][0]["learned"]);
  EXPECT_EQ(copy["vectors"][0]["uncertainty"],
            lab["vectors"][0]["uncertainty"]);
  EXPECT_EQ(copy["vectors"][0]["values"], lab["vectors"][0]["values"]);
  EXPECT_EQ(copy["vectors"][0]["origin"], "learned");
  copy["vectors"][0]["uncertainty"]["factors"] = {1};
  EXPECT_THAT(Fail(4, {"arch", "create", "-"}, copy.dump()),
              HasSubstr("its uncertainty has 1 elements"));
  lab["vectors"][0]["learned"]["noise"] = "NaN";
  EXPECT_THAT(Fail(4, {"arch", "create", "-"}, lab.dump()),
              HasSubstr("learned with a noise of nan"));
  EXPECT_EQ(Run({"arch", "delete", "lab_copy"}).exit_code, 0);
  EXPECT_EQ(Run({"arch", "delete", "lab"}).exit_code, 0);

  EXPECT_THAT(Fail(3, {"arch", "learn", "lab", "--trace", Path("lcs.json"),
                       "--column", "nobody"}),
              HasSubstr("but on traced"));
  std::ifstream whole(Path("lcs.json"));
  std::string text(std::istreambuf_iterator<char>(whole), {});
  Write("cut.json", text.substr(0, text.size() / 2));
  EXPECT_THAT(Fail(4, {"arch", "learn", "lab", "--trace", Path("cut.json")}),
              HasSubstr("perfvec-worker evidence"));
  const size_t id = text.find("\"model_id\":\"") + 12;
  text[id] = text[id] == '0' ? '1' : '0';
  Write("other.json", text);
  EXPECT_THAT(Fail(4, {"arch", "learn", "lab", "--trace", Path("other.json")}),
              HasSubstr("expected sums of model"));
  options.argv[2] = Path("model/manifest.json");
  const auto refused = testing::RunCommand(options, kLong);
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(refused->exit_code, 1);
  EXPECT_THAT(refused->err, HasSubstr("manifest.json"));
}

// Six designs whose vectors follow the square of a parameter: the network finds
// the time between them, and no server was told of it. The last test: its
// architectures stay.
TEST_F(CliTest, ExploresASpaceBetweenKnownArchitectures) {
  std::string architectures, samples;
  for (int x : {1, 2, 3, 5, 6, 7}) {
    const std::string name = absl::StrCat("design", x);
    absl::StrAppend(
        &architectures, x > 1 ? "," : "", R"({"name": ")", name,
        R"(", "vectors": [{"model": "random", "values": [)",
        absl::StrJoin(std::vector<int>(16, 20 + (x - 4) * (x - 4)), ","),
        "]}]}");
    absl::StrAppend(&samples, x > 1 ? "," : "", R"({"architecture": ")", name,
                    R"(", "parameters": {"x": )", x, "}}");
  }
  Write("designs.json", absl::StrCat("[", architectures, "]"));
  ASSERT_EQ(Run({"arch", "create", Path("designs.json")}).exit_code, 0);
  Write("space.json", absl::StrCat(R"({"parameters": [{"name": "x", "values":
            [1, 2, 3, 4, 5, 6, 7]}], "programs": ["lcs"], "samples": [)",
                                   samples, "]}"));
  const json result = RunJson({"explore", Path("space.json")});
  const json& lcs = result["programs"][0];
  EXPECT_EQ(lcs["program"], "lcs@1");
  const double unit = lcs["time_ns"][0].get<double>() / 29;  // x = 1
  EXPECT_NEAR(lcs["time_ns"][3].get<double>(), 20 * unit, 1 * unit);
  EXPECT_EQ(lcs["ranking"][0], 3) << "x = 4, which is no sample";
  const json known = RunJson({"predict", "lcs", "design2"});
  EXPECT_NEAR(lcs["time_ns"][1].get<double>(), known["time_ns"].get<double>(),
              unit);
  EXPECT_LT(lcs["low_ns"][3].get<double>(), lcs["time_ns"][3].get<double>());

  const CommandResult csv =
      Run({"explore", Path("space.json"), "--csv", "--objective", "x * time",
           "--plot", Path("space.svg")});
  EXPECT_EQ(csv.exit_code, 0) << csv.err;
  EXPECT_THAT(csv.out, HasSubstr("program,x,time_ns,low_ns,high_ns,"));
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 8);
  EXPECT_THAT(csv.out, HasSubstr("lcs@1,1,"));
  std::ifstream svg(Path("space.svg"));
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(svg), {}),
              HasSubstr("x * time"));
  EXPECT_THAT(Run({"explore", Path("space.json")}).out,
              HasSubstr("7 of 7 designs allowed"));

  EXPECT_THAT(Fail(4, {"explore", Path("space.json"), "--objective", "y"}),
              HasSubstr("it may use x, time"));
  Fail(3, {"explore", Path("space.json"), "--program", "nobody"});
  Fail(3, {"explore", Path("nowhere.json")});
}

}  // namespace
}  // namespace perfvec::client
