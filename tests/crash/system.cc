#include "tests/crash/system.h"

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/rocksdb_registry.h"
#include "tests/worker/agent/test_data.h"

namespace perfvec::crash {
namespace {

namespace fs = std::filesystem;
using testing::Process;

// Large enough for a shard to take a while, small enough for a test.
constexpr int kLayers = 2, kWidth = 128;
constexpr int kShardInstructions = 4096;

std::vector<std::string> CommandLine(
    std::vector<std::string> argv, std::map<std::string, std::string> flags,
    const std::map<std::string, std::string>& changes) {
  for (const auto& [name, value] : changes) flags[name] = value;
  for (const auto& [name, value] : flags) {
    argv.push_back(name);
    argv.push_back(value);
  }
  return argv;
}

}  // namespace

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

SystemTest::SystemTest()
    : seed_(testing::TestSeed()), random_(seed_), data_dir_(dir_ / "data") {
  auto model =
      compute::RandomModel(compute::SmallManifest(kLayers, kWidth), seed_);
  EXPECT_TRUE(model.ok()) << model.status();
  model_ = std::make_shared<const compute::FoundationModel>(*std::move(model));
  EXPECT_TRUE(model_->Save(dir_ / "model").ok());
}

SystemTest::~SystemTest() {
  if (!HasFailure()) return;
  if (server_ != nullptr) fprintf(stderr, "%s\n", server_->Describe().c_str());
  for (const auto& [id, worker] : workers_) {
    if (worker != nullptr) fprintf(stderr, "%s\n", worker->Describe().c_str());
  }
}

std::string SystemTest::address() const {
  return absl::StrCat("127.0.0.1:", port_);
}

void SystemTest::StartServer(const Flags& flags) {
  auto server = Process::Start(
      {CommandLine({testing::BinaryPath("server/perfvec-server")},
                   {{"--data-dir", data_dir_},
                    {"--listen", address()},
                    {"--metrics-listen", "127.0.0.1:0"},
                    {"--http-listen", ""},
                    {"--model", dir_ / "model"},
                    {"--shard-instructions", absl::StrCat(kShardInstructions)},
                    {"--lease-seconds", "2"},
                    {"--max-shard-attempts", "250"}},
                   flags)});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  auto port = server_->WaitFor("listening on .*:([0-9]+)", kSoon);
  ASSERT_TRUE(port.ok()) << port.status();
  ASSERT_TRUE(absl::SimpleAtoi(*port, &port_));
  client::ClientOptions options;
  options.server = address();
  options.timeout = kSoon;
  auto client = client::Client::Create(std::move(options));
  ASSERT_TRUE(client.ok()) << client.status();
  client_ = *std::move(client);
}

void SystemTest::StartWorker(const std::string& id, const Flags& flags) {
  auto worker = Process::Start(
      {CommandLine({testing::BinaryPath("worker/perfvec-worker"), "run"},
                   {{"--server", address()},
                    {"--worker-id", id},
                    {"--model-cache", dir_ / "model-cache"},
                    {"--threads", "1"},
                    {"--device", "cpu"}},
                   flags)});
  ASSERT_TRUE(worker.ok()) << worker.status();
  workers_[id] = *std::move(worker);
}

void SystemTest::Kill(std::unique_ptr<Process>* process) {
  ASSERT_TRUE((*process)->Signal(SIGKILL).ok()) << (*process)->Describe();
  ASSERT_TRUE((*process)->Wait(kSoon).ok());
  *process = nullptr;
}

void SystemTest::Stop(std::unique_ptr<Process>* process) {
  ASSERT_TRUE((*process)->Signal(SIGTERM).ok()) << (*process)->Describe();
  auto code = (*process)->Wait(kSoon);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0) << (*process)->Describe();
  *process = nullptr;
}

void SystemTest::RandomMoment(Process* process, absl::Duration longest) {
  process->Wait(longest * std::uniform_real_distribution<>(0, 1)(random_))
      .IgnoreError();
}

std::string SystemTest::WriteTrace(const std::string& name,
                                   uint32_t instructions, int latency_columns) {
  constexpr uint32_t kChunk = 20'000;
  trace::RandomTrace random(random_());
  std::vector<trace::TraceChunk> chunks;
  for (uint32_t at = 0; at < instructions; at += kChunk) {
    chunks.push_back(
        random.Chunk(std::min(kChunk, instructions - at), latency_columns));
  }
  const std::string path = dir_ / name;
  std::ofstream out(path, std::ios::binary);
  out << trace::WriteTrace(trace::TestHeader(latency_columns), chunks);
  EXPECT_TRUE(out.good());
  return path;
}

api::Job SystemTest::Submit(const std::string& program,
                            const std::string& path) {
  auto trace = client().UploadTrace(path);
  EXPECT_TRUE(trace.ok()) << trace.status();
  if (!trace.ok()) return {};
  api::CreateProgramRequest request;
  request.set_name(program);
  request.set_trace_id(trace->trace_id());
  request.add_models(model_->id());
  auto created = client().CreateProgram(request);
  EXPECT_TRUE(created.ok()) << created.status();
  if (!created.ok() || created->jobs().empty()) return {};
  return created->jobs(0);
}

api::Job SystemTest::AwaitShards(const api::Job& job, uint32_t shards_done) {
  api::Job last = job;
  auto ended = client().WatchJob(job.job_id(),
                                 [&](const api::Job& now) {
                                   last = now;
                                   return now.shards_done() < shards_done;
                                 },
                                 {kSoon});
  EXPECT_TRUE(ended.ok() || absl::IsCancelled(ended.status()))
      << ended.status();
  return ended.ok() ? *ended : last;
}

api::Job SystemTest::AwaitEnd(const api::Job& job) {
  auto ended = client().WatchJob(job.job_id(),
                                 [](const api::Job&) { return true; }, {kSoon});
  EXPECT_TRUE(ended.ok()) << ended.status();
  return ended.ok() ? *ended : job;
}

void SystemTest::ExpectVector(const std::string& program,
                              const std::string& path) {
  workers_.clear();
  if (server_ != nullptr) Stop(&server_);
  storage::RocksDbOptions options;
  options.path = data_dir_ + "/registry";
  auto registry = storage::OpenRocksDbRegistry(options);
  ASSERT_TRUE(registry.ok()) << registry.status();
  auto vector = (*registry)->GetProgramVector(program, 1, model_->id());
  ASSERT_TRUE(vector.ok()) << vector.status();
  const auto expected = worker::RepresentWhole(ReadFile(path), model_);
  EXPECT_EQ(vector->instructions(), expected.instructions());
  // Exact: the sum must not depend on what happened on the way.
  EXPECT_EQ(
      std::vector<double>(vector->values().begin(), vector->values().end()),
      expected.Vector());
  // And so are the parts that were kept.
  auto parts = (*registry)->GetProgramParts(program, 1, model_->id());
  if (absl::IsNotFound(parts.status())) return;
  ASSERT_TRUE(parts.ok()) << parts.status();
  std::vector<double> sum(expected.width());
  uint64_t instructions = 0;
  for (const auto& part : parts->intervals()) {
    EXPECT_EQ(part.begin_instruction(), instructions);
    instructions += part.instructions();
    for (int i = 0; i < part.values_size(); ++i) sum[i] += part.values(i);
  }
  EXPECT_EQ(instructions, expected.instructions());
  for (int i = 0; i < expected.width(); ++i) {
    EXPECT_NEAR(sum[i], expected.Vector()[i], 1e-12 * (1 + sum[i]));
  }
}

std::vector<std::string> SystemTest::ChunkFiles() const {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator it(data_dir_ + "/chunks", error), end;
  for (; it != end; it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(it->path());
  }
  return files;
}

}  // namespace perfvec::crash
