// The server killed at any instant: what it acknowledged is there, nothing is
// there by half, uploads and jobs go on.

#include <grpcpp/grpcpp.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "perfvec/v1/trace_service.grpc.pb.h"
#include "perfvec/worker/v1/worker_service.grpc.pb.h"
#include "storage/chunk_store.h"
#include "tests/crash/system.h"

namespace perfvec::crash {
namespace {

class ServerKillTest : public SystemTest {
 protected:
  std::shared_ptr<grpc::Channel> Channel() {
    return grpc::CreateChannel(address(), grpc::InsecureChannelCredentials());
  }
  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + kSoon));
  }
  void KillAndRestartServer() {
    Kill(&server_);
    StartServer();
  }
};

// Sends bytes[offset, end) in messages of 256 KiB; `before_message` may kill
// the server. Returns the server's answer.
absl::StatusOr<api::Upload> Send(
    api::TraceService::Stub* stub, const std::string& upload_id,
    const std::string& bytes, uint64_t offset, uint64_t end,
    const std::function<void(int message)>& before_message) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kSoon));
  api::Upload answer;
  auto writer = stub->WriteUpload(&context, &answer);
  api::WriteUploadRequest request;
  request.mutable_header()->set_upload_id(upload_id);
  request.mutable_header()->set_offset(offset);
  writer->Write(request);
  for (int message = 0; offset < end; ++message) {
    before_message(message);
    const std::string part =
        bytes.substr(offset, std::min<uint64_t>(256 << 10, end - offset));
    request.mutable_data()->set_bytes(part);
    request.mutable_data()->set_xxh3(XXH3_64bits(part.data(), part.size()));
    if (!writer->Write(request)) break;
    offset += part.size();
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (status.ok()) return answer;
  return absl::UnavailableError(status.error_message());
}

TEST_F(ServerKillTest, AnUploadGoesOnAtWhatWasCommitted) {
  StartServer();
  const std::string path = WriteTrace("big.pvt", 400'000, 80);
  const std::string bytes = ReadFile(path);
  ASSERT_GT(bytes.size(), 24 << 20);
  api::BeginUploadRequest begin;
  begin.set_sha256(absl::BytesToHexString(storage::Sha256(bytes)));
  begin.set_size_bytes(bytes.size());
  uint64_t acknowledged = 0, resumed_behind_start = 0;
  for (int kill = 0; kill < 4; ++kill) {
    auto stub = api::TraceService::NewStub(Channel());
    grpc::ClientContext context;
    SetDeadline(&context);
    api::Upload upload;
    const grpc::Status status = stub->BeginUpload(&context, begin, &upload);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_GE(upload.committed_size_bytes(), acknowledged);
    ASSERT_LT(upload.committed_size_bytes(), bytes.size());
    if (upload.committed_size_bytes() > 0) ++resumed_behind_start;
    // A part that is acknowledged, of one piece (4 MiB) at least, then one
    // that is not.
    const uint64_t from = upload.committed_size_bytes();
    const uint64_t to = std::min<uint64_t>(
        bytes.size() - 1, from + (4 << 20) + random_() % (3 << 20));
    auto answer =
        Send(stub.get(), upload.upload_id(), bytes, from, to, [](int) {});
    ASSERT_TRUE(answer.ok()) << answer.status();
    acknowledged = answer->committed_size_bytes();
    EXPECT_GE(acknowledged, from);
    EXPECT_LE(acknowledged, to);
    const int last = random_() % 24;
    answer = Send(stub.get(), upload.upload_id(), bytes, acknowledged,
                  bytes.size() - 1, [&](int message) {
                    if (message == last) Kill(&server_);
                  });
    if (server_ != nullptr) Kill(&server_);
    StartServer();
  }
  EXPECT_GT(resumed_behind_start, 0);
  auto trace = client().UploadTrace(path);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->trace_id(), begin.sha256());
  EXPECT_EQ(trace->instructions(), 400'000);

  // The stored bytes are those of the file, also after one more kill.
  KillAndRestartServer();
  grpc::ClientContext context;
  SetDeadline(&context);
  perfvec::worker::v1::ReadTraceRequest request;
  request.set_trace_id(begin.sha256());
  auto stub = perfvec::worker::v1::WorkerService::NewStub(Channel());
  auto reader = stub->ReadTrace(&context, request);
  std::string stored;
  perfvec::worker::v1::ReadTraceResponse message;
  while (reader->Read(&message)) stored += message.data();
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(stored == bytes);
}

// What architecture `name` holds after `step` writes to it: 0, absent; 1,
// created; 2, updated; 3, deleted.
api::Architecture Expected(const std::string& name, int step,
                           const std::string& model_id, int width) {
  api::Architecture a;
  a.set_name(name);
  a.set_price_per_hour(step);
  for (int i = 0; i < 30; ++i) {
    (*a.mutable_attributes())[absl::StrCat("attribute_", i)].set_number(
        1000 * step + i);
  }
  auto* vector = a.add_vectors();
  vector->set_model_id(model_id);
  for (int i = 0; i < width; ++i) vector->add_values(i + name.size() / 7.0);
  vector->set_origin("given");
  return a;
}

::testing::AssertionResult Same(const api::Architecture& found,
                                const api::Architecture& expected) {
  if (found.price_per_hour() != expected.price_per_hour()) {
    return ::testing::AssertionFailure() << "price of " << found.DebugString();
  }
  if (found.attributes_size() != expected.attributes_size()) {
    return ::testing::AssertionFailure() << found.DebugString();
  }
  for (const auto& [name, value] : expected.attributes()) {
    auto it = found.attributes().find(name);
    if (it == found.attributes().end() ||
        it->second.number() != value.number()) {
      return ::testing::AssertionFailure() << name << found.DebugString();
    }
  }
  if (found.vectors_size() != 1 ||
      !std::equal(found.vectors(0).values().begin(),
                  found.vectors(0).values().end(),
                  expected.vectors(0).values().begin(),
                  expected.vectors(0).values().end())) {
    return ::testing::AssertionFailure() << "vector" << found.DebugString();
  }
  return ::testing::AssertionSuccess();
}

TEST_F(ServerKillTest, TheCatalogueHoldsWhatWasAcknowledgedAndNothingByHalf) {
  StartServer();
  const int width = model_->manifest().width;
  std::map<std::string, int> acknowledged;  // name -> step
  for (int kill = 0; kill < 6; ++kill) {
    std::atomic<bool> stop{false};
    std::string in_flight;
    std::thread writer([&] {
      client::ClientOptions options;
      options.server = address();
      options.timeout = kSoon;
      options.retry.max_attempts = 1;
      auto client = *client::Client::Create(options);
      for (int i = 0; !stop; ++i) {
        const std::string name = absl::StrCat("a", kill, "-", i);
        for (int step = 1; step <= 1 + i % 3; ++step) {
          in_flight = name;
          const api::Architecture now =
              Expected(name, step, model_->id(), width);
          absl::Status status;
          if (step == 1) {
            status = client->CreateArchitecture(now).status();
          } else if (step == 2) {
            api::UpdateArchitectureRequest update;
            update.set_architecture(name);
            update.set_price_per_hour(now.price_per_hour());
            *update.mutable_set_attributes() = now.attributes();
            status = client->UpdateArchitecture(update).status();
          } else {
            status = client->DeleteArchitecture(name, true);
          }
          if (!status.ok()) return;
          acknowledged[name] = step;
        }
      }
    });
    RandomMoment(server_.get(), absl::Milliseconds(500));
    Kill(&server_);
    stop = true;
    writer.join();
    StartServer();
    ASSERT_NE(server_, nullptr);
    if (acknowledged.count(in_flight) == 0) acknowledged[in_flight] = 0;
    for (auto& [name, step] : acknowledged) {
      auto found = client().GetArchitecture(name);
      const int at_most = name == in_flight ? step + 1 : step;
      if (absl::IsNotFound(found.status())) {
        // At most 4: deleted, and nothing was begun after it.
        EXPECT_TRUE(step == 0 || at_most >= 3) << name << " is lost";
        if (step != 0 || at_most >= 3) step = 3;
        continue;
      }
      ASSERT_TRUE(found.ok()) << found.status();
      if (at_most > step && found->price_per_hour() == at_most) step = at_most;
      EXPECT_TRUE(Same(*found, Expected(name, step, model_->id(), width)));
    }
  }
  EXPECT_GT(acknowledged.size(), 20);
}

TEST_F(ServerKillTest, AJobGoesOnAndGivesTheSameBits) {
  StartServer();
  StartWorker("w0");
  StartWorker("w1");
  const std::string path = WriteTrace("a.pvt", 100 * 1024 + 500);
  const api::Job job = Submit("a", path);
  for (int kill = 0; kill < 4; ++kill) {
    const uint32_t before = client().GetJob(job.job_id())->shards_done();
    const uint32_t seen =
        AwaitShards(job, before + 1 + random_() % 4).shards_done();
    RandomMoment(server_.get(), absl::Milliseconds(200));
    KillAndRestartServer();
    auto now = client().GetJob(job.job_id());
    ASSERT_TRUE(now.ok()) << now.status();
    EXPECT_GE(now->shards_done(), seen);  // the checkpoint
  }
  const api::Job ended = AwaitEnd(job);
  EXPECT_EQ(ended.state(), api::JOB_STATE_SUCCEEDED) << ended.error();
  ExpectVector("a", path);
}

TEST_F(ServerKillTest, ServerAndWorkersKilledTogetherLeaveOneResultForEach) {
  StartServer();
  StartWorker("w0");
  StartWorker("w1");
  std::map<std::string, std::string> paths;
  std::vector<api::Job> jobs;
  for (const char* name : {"a", "b", "c", "d"}) {
    paths[name] = WriteTrace(absl::StrCat(name, ".pvt"), 20 * 1024);
    jobs.push_back(Submit(name, paths[name]));
  }
  for (int kill = 0; kill < 4; ++kill) {
    AwaitShards(jobs[kill], 1 + random_() % 5);
    const std::string victim = absl::StrCat("w", random_() % 2);
    RandomMoment(server_.get(), absl::Milliseconds(200));
    KillWorker(victim);
    KillAndRestartServer();
    StartWorker(victim);
  }
  for (const api::Job& job : jobs) {
    const api::Job ended = AwaitEnd(job);
    EXPECT_EQ(ended.state(), api::JOB_STATE_SUCCEEDED) << ended.error();
    auto program = client().GetProgram(job.program_name());
    ASSERT_TRUE(program.ok()) << program.status();
    ASSERT_EQ(program->vectors_size(), 1);
    EXPECT_EQ(program->vectors(0).job_id(), job.job_id());
  }
  for (const auto& [name, path] : paths) ExpectVector(name, path);
}

TEST_F(ServerKillTest, ASignalRightAfterTheStartDrains) {
  auto server = testing::Process::Start(
      {{testing::BinaryPath("server/perfvec-server"), "--data-dir", data_dir_,
        "--listen", "127.0.0.1:0", "--metrics-listen", "", "--http-listen",
        ""}});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_TRUE((*server)->WaitFor("listening on", kSoon).ok());
  ASSERT_TRUE((*server)->Signal(SIGTERM).ok());
  const auto code = (*server)->Wait(kSoon);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0) << (*server)->Describe();
  EXPECT_THAT((*server)->err(), ::testing::HasSubstr("stopped"));
}

TEST_F(ServerKillTest, ASecondSignalEndsADrainAtOnce) {
  StartServer({{"--drain-seconds", "100000"}});
  // An upload that has begun and goes on for ever.
  const auto stub = api::TraceService::NewStub(Channel());
  api::BeginUploadRequest begin;
  begin.set_sha256(std::string(64, 'a'));
  begin.set_size_bytes(1 << 20);
  api::Upload upload;
  grpc::ClientContext begun;
  ASSERT_TRUE(stub->BeginUpload(&begun, begin, &upload).ok());
  grpc::ClientContext context;
  auto writer = stub->WriteUpload(&context, &upload);
  api::WriteUploadRequest request;
  request.mutable_header()->set_upload_id(upload.upload_id());
  ASSERT_TRUE(writer->Write(request));
  // Calls of one connection come in their order.
  api::GetUploadRequest get;
  get.set_upload_id(upload.upload_id());
  grpc::ClientContext got;
  ASSERT_TRUE(stub->GetUpload(&got, get, &upload).ok());

  ASSERT_TRUE(server_->Signal(SIGTERM).ok());
  ASSERT_TRUE(server_->WaitFor("finishing calls in flight", kSoon).ok());
  ASSERT_TRUE(server_->running());
  ASSERT_TRUE(server_->Signal(SIGTERM).ok());
  const auto code = server_->Wait(kSoon);
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, EXIT_FAILURE);
  EXPECT_THAT(server_->err(), ::testing::Not(::testing::HasSubstr("stopped")));
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  server_.reset();
  StartServer();  // what it left is sound
}

}  // namespace
}  // namespace perfvec::crash
