// Damage of other kinds: a deleted program, a damaged chunk, a full disk.

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tests/crash/system.h"

namespace perfvec::crash {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DamageTest : public SystemTest {
 protected:
  // Chunk files that are there now and were not in `before`.
  std::vector<std::string> NewChunks(std::vector<std::string> before) const {
    std::vector<std::string> now = ChunkFiles(), result;
    std::sort(now.begin(), now.end());
    std::sort(before.begin(), before.end());
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(),
                        std::back_inserter(result));
    return result;
  }
};

TEST_F(DamageTest, ADeletedProgramsJobIsCancelledAndItsChunksGo) {
  // One shard, which takes seconds: the deletion falls into it.
  StartServer(
      {{"--trace-grace-hours", "0"}, {"--shard-instructions", "1000000"}});
  const std::vector<std::string> before = ChunkFiles();
  const std::string path = WriteTrace("a.pvt", 400 * 1024);
  const api::Job job = Submit("a", path);
  const std::vector<std::string> chunks = NewChunks(before);
  ASSERT_FALSE(chunks.empty());
  StartWorker("w");
  auto running = workers_["w"]->WaitFor(" runs on ", kSoon);
  ASSERT_TRUE(running.ok()) << running.status();
  for (const std::string& chunk : chunks) EXPECT_TRUE(fs::exists(chunk));
  const absl::Status deleted = client().DeleteProgram("a", true);
  ASSERT_TRUE(deleted.ok()) << deleted;
  const api::Job ended = AwaitEnd(job);
  EXPECT_EQ(ended.state(), api::JOB_STATE_CANCELLED);
  EXPECT_EQ(ended.shards_done(), 0);
  auto collected = server_->WaitFor("collected 1 traces", kSoon);
  ASSERT_TRUE(collected.ok()) << collected.status();
  for (const std::string& chunk : chunks) EXPECT_FALSE(fs::exists(chunk));
  // The worker has dropped the shard and takes the next job.
  auto dropped = workers_["w"]->WaitFor("dropped", kSoon);
  EXPECT_TRUE(dropped.ok()) << dropped.status();
  const std::string other = WriteTrace("b.pvt", 10 * 1024);
  EXPECT_EQ(AwaitEnd(Submit("b", other)).state(), api::JOB_STATE_SUCCEEDED);
  ExpectVector("b", other);
}

TEST_F(DamageTest, ADamagedChunkFailsItsJobAndNoOther) {
  StartServer();
  const std::vector<std::string> before = ChunkFiles();
  const std::string bad_path = WriteTrace("bad.pvt", 20 * 1024);
  const api::Job bad = Submit("bad", bad_path);
  const std::vector<std::string> chunks = NewChunks(before);
  ASSERT_EQ(chunks.size(), 1);
  {
    const std::string bytes = ReadFile(chunks[0]);
    const size_t at = bytes.size() / 2 + random_() % 100;
    fs::permissions(chunks[0], fs::perms::owner_write, fs::perm_options::add);
    std::fstream file(chunks[0],
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(static_cast<char>(bytes[at] ^ (1 << random_() % 8)));
    ASSERT_TRUE(file.good());
  }
  const std::string good_path = WriteTrace("good.pvt", 20 * 1024);
  const api::Job good = Submit("good", good_path);
  StartWorker("w");
  const api::Job failed = AwaitEnd(bad);
  EXPECT_EQ(failed.state(), api::JOB_STATE_FAILED);
  EXPECT_EQ(failed.failed_attempts(), 1);  // no second one is made
  EXPECT_THAT(failed.error(), HasSubstr(fs::path(chunks[0]).filename()));
  EXPECT_EQ(AwaitEnd(good).state(), api::JOB_STATE_SUCCEEDED);
  auto program = client().GetProgram("bad");
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(program->vectors_size(), 0);
  ExpectVector("good", good_path);
}

TEST_F(DamageTest, AFullDiskIsSaidAndLosesNothingAcknowledged) {
  fs::create_directory(data_dir_);
  if (mount("perfvec-test", data_dir_.c_str(), "tmpfs", 0, "size=64m") != 0) {
    GTEST_SKIP() << "no file system can be mounted here: " << strerror(errno);
  }
  absl::Cleanup unmount = [this] {
    server_ = nullptr;
    umount2(data_dir_.c_str(), MNT_DETACH);
  };
  StartServer();
  const std::string small = WriteTrace("small.pvt", 10 * 1024);
  const api::Job job = Submit("small", small);
  // All but 6 MiB are taken by somebody else.
  const std::string filler = data_dir_ + "/filler";
  {
    const uint64_t size = fs::space(data_dir_).available - (6 << 20);
    std::ofstream out(filler, std::ios::binary);
    const std::string block(1 << 20, 'x');
    for (uint64_t i = 0; i < size >> 20; ++i) out << block;
    ASSERT_TRUE(out.good());
  }
  const std::string large = WriteTrace("large.pvt", 300'000, 45);
  ASSERT_GT(fs::file_size(large), 12 << 20);
  auto refused = client().UploadTrace(large);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted)
      << refused.status();
  EXPECT_THAT(refused.status().message(), HasSubstr("No space left"));
  // The registry, too: writes until one is refused.
  client::ClientOptions once;
  once.server = address();
  once.retry.max_attempts = 1;
  auto client_once = client::Client::Create(once);
  ASSERT_TRUE(client_once.ok());
  std::vector<std::string> acknowledged;
  absl::Status status;
  while (status.ok() && acknowledged.size() < 20'000) {
    api::Architecture a;
    a.set_name(absl::StrCat("a", acknowledged.size()));
    for (int i = 0; i < 200; ++i) {
      (*a.mutable_attributes())[absl::StrCat("attribute_", random_())].set_text(
          std::string(200, 'y'));
    }
    status = (*client_once)->CreateArchitecture(a).status();
    if (status.ok()) acknowledged.push_back(a.name());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status) || absl::IsUnavailable(status))
      << status;
  // It still answers.
  EXPECT_TRUE(client().GetProgram("small").ok());
  // With room again and a restart everything acknowledged is there.
  fs::remove(filler);
  Kill(&server_);
  StartServer();
  ASSERT_NE(server_, nullptr);
  for (const std::string& name : acknowledged) {
    auto found = client().GetArchitecture(name);
    ASSERT_TRUE(found.ok()) << found.status();
  }
  auto trace = client().UploadTrace(large);
  EXPECT_TRUE(trace.ok()) << trace.status();
  StartWorker("w");
  EXPECT_EQ(AwaitEnd(job).state(), api::JOB_STATE_SUCCEEDED);
  ExpectVector("small", small);
}

}  // namespace
}  // namespace perfvec::crash
