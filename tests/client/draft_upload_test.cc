// Traces that are sent while they are written, to a real server in the same
// process: one that goes away, one that stands still, one that is full.
#include "client/draft_upload.h"

#include <filesystem>
#include <fstream>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "server/server_core.h"
#include "tests/client/cutting_proxy.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/testing/processes.h"

namespace perfvec::client {
namespace {

constexpr uint64_t kPiece = 64 << 10;

class DraftUploadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    trace::RandomTrace random(1);
    std::vector<trace::TraceChunk> chunks;
    for (int i = 0; i < 5; ++i) {
      chunks.push_back(random.Chunk(trace::kMaxChunkInstructions, 10));
    }
    pvt_ = trace::WriteTrace(trace::TestHeader(10), chunks);
    ASSERT_GT(pvt_.size(), 3 << 20);
    server_options_.data_dir = directory_ / "data";
    server_options_.listen = "127.0.0.1:0";
    server_options_.metrics_listen = "";
    server_options_.drain_timeout = absl::Milliseconds(200);
    server_options_.uploads.piece_bytes = kPiece;
    StartServer();
    client_ = NewClient(server_->port());
  }
  void StartServer() {
    auto server = server::ServerCore::Start(server_options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_options_.listen = "127.0.0.1:" + std::to_string(server_->port());
  }
  std::unique_ptr<Client> NewClient(int port) {
    ClientOptions options;
    options.server = "127.0.0.1:" + std::to_string(port);
    options.retry.initial_backoff = absl::Milliseconds(20);
    options.retry.max_backoff = absl::Milliseconds(100);
    auto client = Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // The file as its writer has it up to there.
  void GrowTo(DraftUpload& draft, uint64_t bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::app)
        << pvt_.substr(written_, bytes - written_);
    written_ = bytes;
    draft.Grown(bytes);
  }
  static void AwaitCommitted(const DraftUpload& draft, uint64_t bytes) {
    while (draft.committed_bytes() < bytes) std::this_thread::yield();
  }
  // Sends the rest, of a file that has its name by now. Where sending began.
  uint64_t Finish(Client& client, const std::string& draft) {
    const std::string finished = directory_ / "run.pvt";
    std::filesystem::rename(path_, finished);
    uint64_t first = 0;
    UploadOptions options;
    options.draft = draft;
    options.progress = [&](const UploadProgress& now) {
      if (now.stage == UploadProgress::Stage::kSending && first == 0) {
        first = now.done_bytes;
      }
      return true;
    };
    auto trace = client.UploadTrace(finished, options);
    EXPECT_TRUE(trace.ok()) << trace.status();
    if (!trace.ok()) return 0;
    EXPECT_EQ(trace->size_bytes(), pvt_.size());
    return first;
  }

  testing::TempDir directory_;
  const std::string path_ = directory_ / "run.pvt.partial";
  std::string pvt_;
  uint64_t written_ = 0;
  server::ServerOptions server_options_;
  std::unique_ptr<server::ServerCore> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(DraftUploadTest, OnlyTheRestIsSentAtTheEnd) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 2 << 20);
  AwaitCommitted(draft, 2 << 20);
  GrowTo(draft, (2 << 20) + kPiece + 10);
  AwaitCommitted(draft, (2 << 20) + kPiece);
  GrowTo(draft, pvt_.size());
  const std::string name = draft.End();
  EXPECT_EQ(name.size(), 32);
  EXPECT_EQ(draft.End(), name);
  EXPECT_GT(Finish(*client_, name), 2 << 20);
}

TEST_F(DraftUploadTest, ASmallFileIsSentAtTheEnd) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 1000);
  EXPECT_EQ(draft.End(), "");
  GrowTo(draft, pvt_.size());
  Finish(*client_, "");
}

// The server ends with half of it, the program writes on, the server returns.
TEST_F(DraftUploadTest, AServerThatGoesAwayIsWaitedFor) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 1 << 20);
  AwaitCommitted(draft, 1 << 20);
  server_.reset();
  GrowTo(draft, (2 << 20) + 10);
  StartServer();
  AwaitCommitted(draft, 2 << 20);
  GrowTo(draft, pvt_.size());
  EXPECT_GT(Finish(*client_, draft.End()), 2 << 20);
}

// It stays away: the writer is not held up, and the file is sent later.
TEST_F(DraftUploadTest, WithoutTheServerTheFileStays) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 1 << 20);
  AwaitCommitted(draft, 1 << 20);
  server_.reset();
  GrowTo(draft, pvt_.size());
  const std::string name = draft.End();
  StartServer();
  EXPECT_GT(Finish(*client_, name), 1 << 20);
}

// A server whose data are gone knows nothing of the draft.
TEST_F(DraftUploadTest, AnEmptyServerIsSentAll) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 1 << 20);
  AwaitCommitted(draft, 1 << 20);
  server_.reset();
  std::filesystem::remove_all(server_options_.data_dir);
  StartServer();
  GrowTo(draft, pvt_.size());
  const std::string name = draft.End();
  Finish(*client_, name);
}

// Bytes go nowhere, and no answer comes: neither Grown() nor End() waits.
TEST_F(DraftUploadTest, AServerThatStandsStillHoldsNobodyUp) {
  CuttingProxy proxy(server_->port());
  auto client = NewClient(proxy.port());
  DraftUpload draft(client.get(), path_);
  GrowTo(draft, 1 << 20);
  AwaitCommitted(draft, 1 << 20);
  proxy.Hold(true);
  GrowTo(draft, pvt_.size());
  const std::string name = draft.End();
  proxy.Hold(false);
  EXPECT_GT(Finish(*client, name), 1 << 20);
}

TEST_F(DraftUploadTest, SurvivesCuts) {
  CuttingProxy proxy(server_->port());
  proxy.CutAfter(1'500'000, 1'200'000);  // more than a message of 1 MiB
  auto client = NewClient(proxy.port());
  DraftUpload draft(client.get(), path_);
  GrowTo(draft, pvt_.size());
  AwaitCommitted(draft, pvt_.size() / kPiece * kPiece);
  EXPECT_GE(proxy.cuts(), 2);
  proxy.CutAfter(-1, -1);
  Finish(*client, draft.End());
}

TEST_F(DraftUploadTest, AServerWithoutRoomIsAskedAgainAtTheEnd) {
  server_.reset();
  server_options_.uploads.max_stored_bytes = 2 << 20;
  StartServer();
  {
    DraftUpload draft(client_.get(), path_);
    GrowTo(draft, 1 << 20);
    AwaitCommitted(draft, 1 << 20);
    GrowTo(draft, pvt_.size());
    UploadOptions options;
    options.draft = draft.End();
    const auto refused = client_->UploadTrace(path_, options);
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status()))
        << refused.status();
  }
  server_.reset();
  server_options_.uploads.max_stored_bytes = 1 << 30;
  StartServer();
  Finish(*client_, "");
}

// The writer takes back what was sent: it goes out anew, whole.
TEST_F(DraftUploadTest, WhatWasTakenBackIsNotUsed) {
  DraftUpload draft(client_.get(), path_);
  GrowTo(draft, 2 << 20);
  AwaitCommitted(draft, 2 << 20);
  draft.Grown(1 << 20);
  EXPECT_EQ(draft.End(), "");
  GrowTo(draft, pvt_.size());
  EXPECT_LE(Finish(*client_, ""), 1 << 20);
}

// A run without a trace leaves nothing on the server.
TEST_F(DraftUploadTest, WithoutAnEndItIsDropped) {
  server_.reset();
  server_options_.uploads.max_uploads = 1;
  StartServer();
  for (int run = 0; run < 3; ++run) {
    DraftUpload draft(client_.get(), path_);
    if (run == 0) GrowTo(draft, 2 << 20);
    draft.Grown(2 << 20);
    AwaitCommitted(draft, 2 << 20);
  }
}

}  // namespace
}  // namespace perfvec::client
