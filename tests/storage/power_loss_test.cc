// Power loss, failed syncs and a full disk under the RocksDB registry.
//
// The rounds are random; the seed is printed, PERFVEC_TEST_SEED repeats it.
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <thread>

#include "tests/storage/fault_file_system.h"
#include "tests/storage/registry_dump.h"
#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

using ::testing::HasSubstr;

class PowerLossTest : public ::testing::Test {
 protected:
  PowerLossTest()
      : seed_(Seed()),
        random_(seed_),
        faults_(std::make_shared<FaultFileSystem>(directory_.File("graveyard"),
                                                  seed_)),
        env_(rocksdb::NewCompositeEnv(faults_)) {
    std::cout << "seed " << seed_ << std::endl;
    std::filesystem::create_directory(directory_.File("db"));
  }

  static uint64_t Seed() {
    const char* given = std::getenv("PERFVEC_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10)
                            : std::random_device()();
  }

  absl::Status Open(bool sync_writes = true) {
    RocksDbOptions options;
    options.sync_writes = sync_writes;
    options.path = directory_.File("db");
    options.env = env_.get();
    options.write_buffer_bytes = 64 << 10;  // flushes and compactions, too
    auto opened = OpenRocksDbRegistry(options, [this] { return clock_.Now(); });
    if (opened.ok()) registry_ = *std::move(opened);
    return opened.status();
  }

  // The machine is off: closes, loses what was not synced, opens.
  void Restart() {
    faults_->PowerOff();
    registry_.reset();
    faults_->LosePower();
    const absl::Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened;
  }

  uint64_t Random(uint64_t below) { return random_() % below; }

  const uint64_t seed_;
  std::mt19937_64 random_;
  TemporaryDirectory directory_;
  FakeClock clock_;
  std::shared_ptr<FaultFileSystem> faults_;
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<Registry> registry_;
};

// One operation with all its random choices made: it does the same to any
// registry in the same state.
using Operation = std::function<absl::Status(Registry&)>;

Operation RandomOperation(std::mt19937_64& random) {
  auto pick = [&random](uint64_t below) { return random() % below; };
  const std::string name = absl::StrCat("p", pick(6));
  const std::string trace = absl::StrCat("trace-", pick(8));
  const std::string model = absl::StrCat("model-", pick(2));
  const uint64_t value = random();
  switch (pick(11)) {
    case 0:
      return [=](Registry& r) { return r.PutTrace(MakeTrace(trace), ""); };
    case 1:
      return [=](Registry& r) {
        return r.CreateModel(MakeModel("m-" + model, model), {}).status();
      };
    case 2:
    case 3:
      return [=](Registry& r) {
        return r.CreateProgram(MakeProgram(name, trace), {MakeJob(model)})
            .status();
      };
    case 4:
      return [=](Registry& r) {
        return r.DeleteProgram(name, value % 2 == 0).status();
      };
    case 5:
      return [=](Registry& r) {
        api::MetadataUpdate update;
        (*update.mutable_set_tags())["padding"] = std::string(900, 'x');
        (*update.mutable_set_tags())["value"] = absl::StrCat(value);
        update.add_add_aliases(absl::StrCat("alias", value % 3));
        return r.UpdateProgram(name, update).status();
      };
    case 6:
      return [=](Registry& r) {
        api::Architecture architecture = MakeArchitecture("a15", model);
        architecture.mutable_vectors(0)->set_values(0, value % 5);
        return r.CreateArchitecture(architecture).status();
      };
    case 7:
      return [=](Registry& r) {
        v1::UploadRecord upload;
        upload.set_upload_id(absl::StrCat("u", value % 4));
        upload.set_sha256(absl::StrCat("hash", value % 4));
        for (uint64_t i = 0; i < value % 50; ++i)
          upload.add_chunk_sha256(std::string(32, 'a' + i % 26));
        return r.PutUpload(upload);
      };
    case 8:
      return
          [=](Registry& r) { return r.DeleteUnreferencedTraces(0).status(); };
    default:
      // The oldest unfinished job takes its next step.
      return [](Registry& r) -> absl::Status {
        auto jobs = r.UnfinishedJobs();
        if (!jobs.ok() || jobs->empty()) return jobs.status();
        api::Job job = jobs->front();
        if (job.state() == api::JOB_STATE_QUEUED) {
          job.set_state(api::JOB_STATE_RUNNING);
          return r.UpdateJob(job).status();
        }
        if (job.shards_done() < job.shards()) {
          const uint32_t shard = job.shards_done();
          job.set_shards_done(shard + 1);
          v1::ShardRecord record = MakeShard(shard);
          record.set_accumulator(std::string(4000, 'a' + shard));
          return r.PutShard(job, record).status();
        }
        const v1::ProgramPartsRecord parts = MakeParts();
        return r.FinishJob(job, MakeVector(job), &parts).status();
      };
  }
}

bool IsFault(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kInternal;
}

// A registry in memory does the same operations; after each power loss both
// hold the same, with or without the operation that was under way.
TEST_F(PowerLossTest, AcknowledgedWritesSurviveAndNothingIsHalf) {
  std::unique_ptr<Registry> model =
      NewMemoryRegistry([this] { return clock_.Now(); });
  ASSERT_TRUE(Open().ok());
  int losses = 0, with_unacknowledged = 0, acknowledged = 0;
  for (int round = 0; round < 20; ++round) {
    faults_->PowerOffAfter(1 + static_cast<int>(Random(300)));
    Operation under_way = [](Registry&) { return absl::OkStatus(); };
    while (!faults_->IsOff()) {
      clock_.Advance(absl::Seconds(1));
      const Operation operation = RandomOperation(random_);
      const absl::Status status = operation(*registry_);
      if (IsFault(status)) {
        EXPECT_TRUE(faults_->IsOff()) << status;
        EXPECT_FALSE(registry_->Healthy().ok());
        under_way = operation;
        ++losses;
        break;
      }
      const absl::Status expected = operation(*model);
      ASSERT_EQ(status.code(), expected.code()) << status << expected;
      ++acknowledged;
    }
    Restart();
    if (HasFatalFailure()) return;
    const std::string found = Dump(*registry_);
    if (found == Dump(*model)) continue;
    // Not acknowledged, but whole: it had reached the disk.
    under_way(*model).IgnoreError();
    ASSERT_EQ(found, Dump(*model)) << "round " << round;
    ++with_unacknowledged;
  }
  std::cout << acknowledged << " acknowledged operations, " << losses
            << " losses under way, " << with_unacknowledged
            << " of them kept whole" << std::endl;
  EXPECT_GT(acknowledged, 100);
  EXPECT_GT(losses, 5);
}

// The faults are real: writes that are not synced are lost.
TEST_F(PowerLossTest, UnsyncedWritesAreLost) {
  ASSERT_TRUE(Open(/*sync_writes=*/false).ok());
  int lost = 0;
  for (int i = 0; i < 20 && lost == 0; ++i) {
    const std::string id = absl::StrCat("t", i);
    ASSERT_TRUE(registry_->PutTrace(MakeTrace(id), "").ok());
    faults_->PowerOff();
    registry_.reset();
    faults_->LosePower();
    ASSERT_TRUE(Open(/*sync_writes=*/false).ok());
    if (!registry_->GetTrace(id).ok()) ++lost;
  }
  EXPECT_GT(lost, 0);
}

TEST_F(PowerLossTest, EveryThreadFindsWhatItWasAcknowledged) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("t"), "").ok());
  ASSERT_TRUE(registry_->CreateModel(MakeModel("m", "model-1"), {}).ok());
  constexpr int kThreads = 4;
  int first = 0;
  for (int round = 0; round < 6; ++round) {
    faults_->PowerOffAfter(40 + static_cast<int>(Random(200)));
    std::vector<int> done(kThreads, 0);
    std::vector<std::thread> threads;
    auto name = [&](int thread, int i) {
      return absl::StrCat("p", thread, "-", first + i);
    };
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 1000; ++i) {
          if (!registry_
                   ->CreateProgram(MakeProgram(name(t, i), "t"),
                                   {MakeJob("model-1")})
                   .ok())
            return;
          done[t] = i + 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    Restart();
    if (HasFatalFailure()) return;
    for (int t = 0; t < kThreads; ++t) {
      for (int i = 0; i < done[t] + 1; ++i) {
        const bool there = registry_->GetProgram(name(t, i)).ok();
        EXPECT_TRUE(there || i == done[t]) << name(t, i);
        // Its job is there if and only if it is.
        api::ListJobsRequest jobs;
        jobs.set_program(name(t, i));
        auto page = registry_->ListJobs(jobs);
        ASSERT_TRUE(page.ok()) << page.status();
        EXPECT_EQ(page->items.size(), there ? 1 : 0) << name(t, i);
      }
    }
    first += 1000;
  }
}

TEST_F(PowerLossTest, FailedSyncStopsWritesUntilOpenedAnew) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("before"), "").ok());
  EXPECT_TRUE(registry_->Healthy().ok());
  faults_->FailSyncs(true);
  EXPECT_EQ(registry_->PutTrace(MakeTrace("lost"), "").code(),
            absl::StatusCode::kUnavailable);
  faults_->FailSyncs(false);
  EXPECT_EQ(registry_->Healthy().code(), absl::StatusCode::kUnavailable);
  const absl::Status refused = registry_->PutTrace(MakeTrace("after"), "");
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("restart the server"));
  EXPECT_TRUE(registry_->GetTrace("before").ok());
  EXPECT_FALSE(registry_->GetTrace("lost").ok());
  Restart();
  EXPECT_TRUE(registry_->GetTrace("before").ok());
  EXPECT_TRUE(registry_->PutTrace(MakeTrace("after"), "").ok());
}

TEST_F(PowerLossTest, FullDiskRefusesWritesUntilThereIsSpace) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("before"), "").ok());
  faults_->SetFreeBytes(static_cast<int64_t>(Random(100)));
  for (int i = 0; i < 3; ++i) {
    const absl::Status full = registry_->PutTrace(MakeTrace("full"), "");
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
    EXPECT_THAT(std::string(full.message()), HasSubstr(directory_.File("db")));
    EXPECT_THAT(std::string(full.message()), HasSubstr("free space"));
    EXPECT_FALSE(registry_->Healthy().ok());
    EXPECT_TRUE(registry_->GetTrace("before").ok());
  }
  faults_->SetFreeBytes(INT64_MAX);
  const absl::Status again = registry_->PutTrace(MakeTrace("after"), "");
  EXPECT_TRUE(again.ok()) << again;
  EXPECT_TRUE(registry_->Healthy().ok());
  Restart();
  EXPECT_TRUE(registry_->GetTrace("before").ok());
  EXPECT_TRUE(registry_->GetTrace("after").ok());
}

}  // namespace
}  // namespace perfvec::storage
