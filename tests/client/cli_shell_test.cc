// What is true of every command: help, exit codes, configuration, terminals,
// interruptions, completion, manual.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/cutting_proxy.h"

namespace perfvec::client {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(CliTest, EveryCommandHasHelpWithAnExample) {
  const Arguments kCommands = {
      "import",         "trace check",       "trace info",
      "trace run",      "trace slices",      "trace compare",
      "trace merge",    "represent",         "upload",
      "program list",   "program get",       "program update",
      "program delete", "program represent", "arch list",
      "arch get",       "arch create",       "arch update",
      "arch delete",    "model list",        "model get",
      "model create",   "model update",      "model delete",
      "job list",       "job get",           "job watch",
      "job cancel",     "predict",           "matrix",
      "rank",           "server status",     "explore"};
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
  auto server = Process::Start(
      {{BinaryPath("server/perfvec-server"), "--data-dir", Path("full"),
        "--listen", "127.0.0.1:0", "--metrics-listen", "", "--http-listen", "",
        "--max-stored-bytes", "1000"}});
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
  EXPECT_THAT(complete("perfvec trace merge a.pvt b.pvt " + Path("lcs")),
              HasSubstr("lcs.pvt"));
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
