// The client library against a real server in the same process.
#include "client/client.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/server_core.h"
#include "tests/client/cutting_proxy.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/testing/processes.h"
#include "tests/worker/model/random_model.h"

namespace perfvec::client {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartServer(0));
    client_ = NewClient(server_->port());
  }

  void StartServer(int port) {
    server::ServerOptions options;
    options.data_dir = directory_ / "data";
    options.listen = "127.0.0.1:" + std::to_string(port);
    options.metrics_listen = "";
    options.drain_timeout = absl::Milliseconds(200);
    auto server = server::ServerCore::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::unique_ptr<Client> NewClient(int port, int max_attempts = 5) {
    ClientOptions options;
    options.server = "127.0.0.1:" + std::to_string(port);
    options.retry.initial_backoff = absl::Milliseconds(20);
    options.retry.max_attempts = max_attempts;
    auto client = Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // A .pvt file: `columns` decides its size, about 1.4 MB each for a million
  // instructions.
  std::string WriteTraceFile(uint64_t seed, int chunks, int columns) {
    trace::RandomTrace random(seed);
    std::vector<trace::TraceChunk> all;
    for (int i = 0; i < chunks; ++i) {
      all.push_back(random.Chunk(trace::kMaxChunkInstructions, columns));
    }
    const std::string path = directory_ / (std::to_string(seed) + ".pvt");
    std::ofstream(path, std::ios::binary)
        << trace::WriteTrace(trace::TestHeader(columns), all);
    return path;
  }

  // A registered program with a small trace, and no job.
  void CreateProgram(const std::string& name, uint64_t seed) {
    auto trace = client_->UploadTrace(WriteTraceFile(seed, 1, 0));
    ASSERT_TRUE(trace.ok()) << trace.status();
    api::CreateProgramRequest request;
    request.set_name(name);
    request.set_trace_id(trace->trace_id());
    request.set_skip_represent(true);
    auto created = client_->CreateProgram(request);
    ASSERT_TRUE(created.ok()) << created.status();
  }

  void CreateModel() {
    auto model = compute::RandomModel(compute::SmallManifest(1, 8), 1);
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_TRUE(model->Save(directory_ / "model").ok());
    api::CreateModelRequest::Header header;
    header.set_name("small");
    header.add_aliases("default");
    auto created = client_->CreateModel(directory_ / "model", header);
    ASSERT_TRUE(created.ok()) << created.status();
    EXPECT_EQ(created->model_id(), model->id());
    EXPECT_EQ(created->width(), 8);
  }

  testing::TempDir directory_;
  std::unique_ptr<server::ServerCore> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, UploadsATraceOnce) {
  const std::string path = WriteTraceFile(1, 2, 3);
  uint64_t hashed = 0, sent = 0, finished = 0;
  UploadOptions options;
  options.progress = [&](const UploadProgress& now) {
    EXPECT_EQ(now.size_bytes, std::filesystem::file_size(path));
    switch (now.stage) {
      case UploadProgress::Stage::kHashing:
        hashed = now.done_bytes;
        break;
      case UploadProgress::Stage::kSending:
        sent = now.done_bytes;
        break;
      case UploadProgress::Stage::kFinishing:
        finished = now.done_bytes;
    }
    return true;
  };
  auto trace = client_->UploadTrace(path, options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->instructions(), 2 * trace::kMaxChunkInstructions);
  EXPECT_EQ(trace->size_bytes(), std::filesystem::file_size(path));
  EXPECT_EQ(hashed, trace->size_bytes());
  EXPECT_EQ(sent, trace->size_bytes());
  EXPECT_EQ(finished, trace->size_bytes());

  sent = 0;
  auto again = client_->UploadTrace(path, options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->trace_id(), trace->trace_id());
  EXPECT_EQ(sent, 0) << "the content is there: nothing is to be sent";
  EXPECT_EQ(client_->GetTrace(trace->trace_id())->trace_id(),
            trace->trace_id());
}

TEST_F(ClientTest, UploadSurvivesCutsAtRandomBytes) {
  const std::string path = WriteTraceFile(2, 8, 25);  // more than 10 MiB
  const int64_t size = std::filesystem::file_size(path);
  ASSERT_GT(size, 10 * kMiB);
  std::mt19937_64 random(testing::TestSeed());
  CuttingProxy proxy(server_->port());
  // A piece of 4 MiB gets through between two cuts, so there is progress.
  // The first comes early enough for a second.
  proxy.CutAfter(random() % (4 * kMiB), 4 * kMiB + random() % (2 * kMiB));
  auto trace = NewClient(proxy.port())->UploadTrace(path);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_GE(proxy.cuts(), 2);
  EXPECT_EQ(trace->size_bytes(), size);
  EXPECT_EQ(trace->instructions(), 8 * trace::kMaxChunkInstructions);
}

TEST_F(ClientTest, UploadGivesUpWhenNothingIsCommitted) {
  const std::string path = WriteTraceFile(3, 4, 25);
  CuttingProxy proxy(server_->port());
  proxy.CutAfter(kMiB, kMiB);  // never a whole piece
  auto trace = NewClient(proxy.port())->UploadTrace(path);
  EXPECT_TRUE(absl::IsUnavailable(trace.status())) << trace.status();
  EXPECT_GE(proxy.cuts(), 5);
}

TEST_F(ClientTest, AnEndedUploadGoesOnWhereItWas) {
  const std::string path = WriteTraceFile(4, 8, 25);
  UploadOptions options;
  options.progress = [&](const UploadProgress& now) {
    return now.stage != UploadProgress::Stage::kSending ||
           now.done_bytes < 9 * kMiB;
  };
  auto ended = client_->UploadTrace(path, options);
  EXPECT_TRUE(absl::IsCancelled(ended.status())) << ended.status();

  // Also after a restart of the server, and from another client.
  const int port = server_->port();
  server_.reset();
  StartServer(port);
  uint64_t first_sent = 0;
  options.progress = [&](const UploadProgress& now) {
    if (now.stage == UploadProgress::Stage::kSending && first_sent == 0) {
      first_sent = now.done_bytes;
    }
    return true;
  };
  auto trace = NewClient(port)->UploadTrace(path, options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_GT(first_sent, 4 * kMiB);
}

TEST_F(ClientTest, TwoClientsMayUploadTheSameFile) {
  const std::string path = WriteTraceFile(5, 8, 25);
  absl::StatusOr<api::Trace> traces[3];
  std::vector<std::thread> threads;
  for (auto& trace : traces) {
    threads.emplace_back([this, &trace, &path] {
      trace = NewClient(server_->port())->UploadTrace(path);
    });
  }
  for (auto& thread : threads) thread.join();
  for (auto& trace : traces) {
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->trace_id(), traces[0]->trace_id());
  }
}

TEST_F(ClientTest, AFileThatIsNoTraceIsRefused) {
  const std::string path = directory_ / "no.pvt";
  std::ofstream(path) << "this is no trace";
  auto trace = client_->UploadTrace(path);
  EXPECT_TRUE(absl::IsInvalidArgument(trace.status())) << trace.status();
  EXPECT_TRUE(absl::IsNotFound(
      client_->UploadTrace(directory_ / "absent.pvt").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      client_->UploadTrace(directory_.path()).status()));
}

TEST_F(ClientTest, ProgramsFromCreateToDelete) {
  CreateProgram("alpha", 10);
  CreateProgram("beta", 11);
  auto list = client_->ListPrograms({});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->programs_size(), 2);

  api::UpdateProgramRequest update;
  update.set_program("alpha");
  (*update.mutable_update()->mutable_set_tags())["suite"] = "x";
  auto updated = client_->UpdateProgram(update);
  ASSERT_TRUE(updated.ok()) << updated.status();
  update.mutable_update()->set_expected_revision(updated->revision() + 1);
  EXPECT_TRUE(absl::IsAborted(client_->UpdateProgram(update).status()));

  auto unknown = client_->GetProgram("alpah");
  EXPECT_TRUE(absl::IsNotFound(unknown.status()));
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("alpha"));

  EXPECT_TRUE(client_->DeleteProgram("alpha", false).ok());
  EXPECT_TRUE(absl::IsNotFound(client_->GetProgram("alpha").status()));
}

TEST_F(ClientTest, ArchitecturesAndPredictionsNeedVectors) {
  CreateModel();
  CreateProgram("alpha", 10);
  api::Architecture architecture;
  architecture.set_name("a15");
  architecture.set_power_watts(3);
  auto* vector = architecture.add_vectors();
  vector->set_model_id(client_->GetModel("")->model_id());
  for (int i = 0; i < 8; ++i) vector->add_values(i);
  ASSERT_TRUE(client_->CreateArchitecture(architecture).ok());
  EXPECT_EQ(client_->GetArchitecture("a15")->vectors_size(), 1);
  EXPECT_EQ(client_->ListArchitectures({})->architectures_size(), 1);

  api::PredictRequest request;
  request.set_program("alpha");
  request.set_architecture("a15");
  auto predicted = client_->Predict(request);
  EXPECT_TRUE(absl::IsFailedPrecondition(predicted.status()))
      << predicted.status();
  EXPECT_TRUE(client_->DeleteArchitecture("a15", true).ok());
  EXPECT_TRUE(client_->DeleteModel("small").ok());
}

TEST_F(ClientTest, AWatchSurvivesARestartAndEndsWithTheJob) {
  CreateModel();
  CreateProgram("alpha", 10);
  auto job = client_->RepresentProgram("alpha", "");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(client_->ListJobs({})->jobs_size(), 1);

  absl::Notification seen;
  absl::StatusOr<api::Job> ended;
  std::thread watcher([&] {
    // A restart outlasts five attempts.
    ended = NewClient(server_->port(), /*max_attempts=*/12)
                ->WatchJob(job->job_id(), [&](const api::Job& now) {
                  EXPECT_EQ(now.job_id(), job->job_id());
                  if (!seen.HasBeenNotified()) seen.Notify();
                  return true;
                });
  });
  seen.WaitForNotification();
  const int port = server_->port();
  server_.reset();
  StartServer(port);
  auto cancelled = client_->CancelJob(job->job_id());
  EXPECT_TRUE(cancelled.ok()) << cancelled.status();
  watcher.join();
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->state(), api::JOB_STATE_CANCELLED);
}

TEST_F(ClientTest, AWatchEndsWhenItsCallerWants) {
  CreateModel();
  CreateProgram("alpha", 10);
  auto job = client_->RepresentProgram("alpha", "");
  ASSERT_TRUE(job.ok()) << job.status();
  auto watched =
      client_->WatchJob(job->job_id(), [](const api::Job&) { return false; });
  EXPECT_TRUE(absl::IsCancelled(watched.status())) << watched.status();
  auto late =
      client_->WatchJob(job->job_id(), [](const api::Job&) { return true; },
                        {.timeout = absl::Milliseconds(50)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_TRUE(absl::IsNotFound(
      client_->WatchJob("none", [](const api::Job&) { return true; })
          .status()));
}

TEST_F(ClientTest, OneClientServesManyThreads) {
  CreateProgram("alpha", 10);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 20; ++i) {
        auto program = client_->GetProgram("alpha");
        EXPECT_TRUE(program.ok()) << program.status();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(client_->GetServerStatus()->programs(), 1);
}

TEST_F(ClientTest, AServerThatIsDownIsTriedAsOftenAsThePolicySays) {
  ClientOptions options;
  options.server = "127.0.0.1:1";  // nobody listens there
  std::vector<absl::Duration> pauses;
  options.sleep = [&](absl::Duration pause) { pauses.push_back(pause); };
  options.retry.max_attempts = 4;
  auto client = Client::Create(options);
  ASSERT_TRUE(client.ok());
  auto status = (*client)->GetServerStatus();
  EXPECT_TRUE(absl::IsUnavailable(status.status())) << status.status();
  EXPECT_THAT(std::string(status.status().message()), HasSubstr("127.0.0.1:1"));
  EXPECT_EQ(pauses.size(), 3);
  // A delete may have been done though its answer was lost.
  pauses.clear();
  EXPECT_TRUE(absl::IsUnavailable((*client)->DeleteProgram("alpha", false)));
  EXPECT_TRUE(pauses.empty());
}

TEST(ClientOptionsTest, WhatMakesNoSenseIsRefused) {
  ClientOptions options;
  options.timeout = absl::ZeroDuration();
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Create(options).status()));
  options = {};
  options.retry.max_attempts = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Create(options).status()));
  options = {};
  options.server = "";
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Create(options).status()));
}

}  // namespace
}  // namespace perfvec::client
