// What only the durable registry does: it comes back, refuses what it cannot
// read, names what is broken, is backed up and restored, and lists a million.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iostream>
#include <limits>

#include "storage/backup.h"
#include "storage/key_format.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"
#include "tests/storage/registry_dump.h"
#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Of this thread: other work on the machine does not count.
double ThreadCpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * time.tv_nsec;
}

RocksDbOptions At(const std::string& path) {
  RocksDbOptions options;
  options.path = path;
  return options;
}

class RocksDbRegistryTest : public ::testing::Test {
 protected:
  void Open() {
    registry_.reset();
    registry_ = MakeRegistry("rocksdb", path_, clock_);
    ASSERT_NE(registry_, nullptr);
  }
  absl::Status TryOpen() { return OpenRocksDbRegistry(At(path_)).status(); }

  // A registry with a bit of everything and, in `chunks_`, the chunks it names.
  void Fill(ChunkStore* chunks) {
    auto put = [&](const std::string& bytes) {
      return chunks == nullptr ? Sha256(bytes) : *chunks->Put(bytes);
    };
    v1::TraceRecord trace = MakeTrace("t");
    trace.clear_chunk_sha256();
    trace.add_chunk_sha256(put("first chunk"));
    trace.add_chunk_sha256(put("second chunk"));
    ASSERT_TRUE(registry_->PutTrace(trace, "").ok());
    ASSERT_TRUE(registry_
                    ->CreateModel(MakeModel("m", "model-1"),
                                  {put("the model's weights")})
                    .ok());
    ASSERT_TRUE(
        registry_->CreateArchitecture(MakeArchitecture("a", "model-1")).ok());
    auto created =
        registry_->CreateProgram(MakeProgram("p", "t"), {MakeJob("model-1")});
    ASSERT_TRUE(created.ok()) << created.status();
    api::Job job = created->jobs[0];
    ASSERT_TRUE(registry_->FinishJob(job, MakeVector(job)).ok());
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("registry");
  FakeClock clock_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RocksDbRegistryTest, ComesBackAsItWas) {
  Open();
  Fill(nullptr);
  const std::string before = Dump(*registry_);
  Open();
  EXPECT_EQ(Dump(*registry_), before);
  EXPECT_FALSE(registry_->Statistics().empty());
}

TEST_F(RocksDbRegistryTest, AnotherSchemaVersionIsRefused) {
  Open();
  for (uint64_t version : {uint64_t{kSchemaVersion + 1}, uint64_t{0}}) {
    registry_.reset();
    {
      auto store = OpenRocksDbStore(At(path_));
      ASSERT_TRUE(store.ok()) << store.status();
      WriteBatch batch;
      batch.Put(SchemaKey(), BigEndian(version));
      ASSERT_TRUE((*store)->Write(batch).ok());
    }
    const absl::Status status = TryOpen();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("schema version ", version)),
                      HasSubstr(version == 0 ? "migrates" : "newer release")));
  }
}

TEST_F(RocksDbRegistryTest, SecondServerIsToldOfTheFirst) {
  Open();
  const absl::Status status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path_), HasSubstr("in use by another")));
}

// A file with `extension` in the registry; the largest if there are several.
fs::path FileOf(const std::string& path, const std::string& extension) {
  fs::path found;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == extension &&
        (found.empty() || entry.file_size() > fs::file_size(found)))
      found = entry.path();
  return found;
}

void FlipBit(const fs::path& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
  ASSERT_TRUE(file.good());
}

TEST_F(RocksDbRegistryTest, CorruptFilesAreNamed) {
  Open();
  Fill(nullptr);
  registry_.reset();
  // A flipped bit in the middle of the log: acknowledged writes would be lost.
  const fs::path log = FileOf(path_, ".log");
  ASSERT_FALSE(log.empty());
  FlipBit(log, fs::file_size(log) / 2);
  absl::Status status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(path_), HasSubstr("restore")));
  FlipBit(log, fs::file_size(log) / 2);

  // The log becomes a table at open; then a bit of its data flips.
  Open();
  registry_.reset();
  const fs::path table = FileOf(path_, ".sst");
  ASSERT_FALSE(table.empty());
  FlipBit(table, 40);
  status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(table.filename().string()));
  fs::remove(table);
  status = TryOpen();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(table.stem().string()));
}

TEST_F(RocksDbRegistryTest, BadVectorsAreReportedNotVisited) {
  Open();
  Fill(nullptr);
  registry_.reset();
  {
    auto store = OpenRocksDbStore(At(path_));
    ASSERT_TRUE(store.ok()) << store.status();
    WriteBatch batch;
    v1::ProgramVectorRecord vector;
    vector.set_model_id("model-1");
    vector.set_program_version(1);
    for (double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      vector.set_program_name(absl::StrCat("bad", bad));
      vector.clear_values();
      for (int i = 0; i < kWidth; ++i) vector.add_values(i == 2 ? bad : 1);
      batch.Put(VectorKey("model-1", vector.program_name(), 1),
                vector.SerializeAsString());
    }
    vector.set_program_name("narrow");
    vector.clear_values();
    vector.add_values(1);
    batch.Put(VectorKey("model-1", "narrow", 1), vector.SerializeAsString());
    batch.Put(VectorKey("model-1", "noise", 1), "\xff\xff\xff");
    api::Architecture architecture = MakeArchitecture("bad", "model-1");
    architecture.set_version(1);
    architecture.mutable_vectors(0)->set_values(0, std::nan(""));
    batch.Put(RecordKey(Kind::kArchitecture, "bad", 1),
              architecture.SerializeAsString());
    ASSERT_TRUE((*store)->Write(batch).ok());
  }
  Open();
  std::vector<std::string> visited;
  std::string bad;
  auto report = [&](absl::Status status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    absl::StrAppend(&bad, status.message(), "\n");
  };
  ASSERT_TRUE(registry_
                  ->ForEachProgramVector(
                      [&](const v1::ProgramVectorRecord& vector) {
                        visited.push_back(vector.program_name());
                      },
                      report)
                  .ok());
  EXPECT_THAT(visited, ::testing::ElementsAre("p"));
  EXPECT_THAT(
      bad, AllOf(HasSubstr("'badnan@1'"), HasSubstr("'badinf@1'"),
                 HasSubstr("expected 4 values, found 1"), HasSubstr("noise")));
  bad.clear();
  ASSERT_TRUE(registry_
                  ->ForEachArchitecture(
                      [&](const api::Architecture& architecture) {
                        EXPECT_EQ(architecture.vectors_size(),
                                  architecture.name() == "bad" ? 0 : 1);
                      },
                      report)
                  .ok());
  EXPECT_THAT(bad, HasSubstr("architecture 'bad@1'"));
  EXPECT_EQ(registry_->GetProgramVector("badnan", 1, "model-1").status().code(),
            absl::StatusCode::kDataLoss);
}

class BackupTest : public RocksDbRegistryTest {
 protected:
  void SetUp() override {
    Open();
    auto chunks = ChunkStore::Open({directory_.File("chunks"), nullptr});
    ASSERT_TRUE(chunks.ok()) << chunks.status();
    chunks_ = *std::move(chunks);
    Fill(chunks_.get());
  }
  const std::string backup_ = directory_.File("backup");
  std::unique_ptr<ChunkStore> chunks_;
};

TEST_F(BackupTest, RestoresWhatWasThereWhenItWasTaken) {
  const std::string before = Dump(*registry_);
  auto made = CreateBackup(*registry_, *chunks_, backup_);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(CreateBackup(*registry_, *chunks_, backup_).status().code(),
            absl::StatusCode::kAlreadyExists);
  // The server goes on: the program and its chunks go.
  ASSERT_TRUE(registry_->DeleteProgram("p", true).ok());
  ASSERT_THAT(*registry_->DeleteUnreferencedTraces(0), SizeIs(1));
  auto live = [&](auto visit) { return registry_->LiveChunks(visit); };
  EXPECT_EQ(chunks_->CollectGarbage(live, absl::ZeroDuration())->chunks, 2);

  const std::string target = directory_.File("restored");
  EXPECT_EQ(RestoreBackup(backup_, directory_.path()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  auto restored = RestoreBackup(backup_, target);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->files, made->files);
  EXPECT_EQ(restored->size_bytes, made->size_bytes);
  auto registry = MakeRegistry("rocksdb", RegistryDirectory(target), clock_);
  ASSERT_NE(registry, nullptr);
  EXPECT_EQ(Dump(*registry), before);
  auto chunks = ChunkStore::Open({ChunksDirectory(target), nullptr});
  EXPECT_EQ(*(*chunks)->Get(Sha256("first chunk")), "first chunk");
  EXPECT_EQ(*(*chunks)->Get(Sha256("the model's weights")),
            "the model's weights");
  // The copy is its own: writing to it leaves the backup whole.
  ASSERT_TRUE(registry->DeleteProgram("p", true).ok());
  EXPECT_TRUE(VerifyBackup(backup_).ok());
}

TEST_F(BackupTest, EveryFlippedBitAndMissingFileIsFound) {
  ASSERT_TRUE(CreateBackup(*registry_, *chunks_, backup_).ok());
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(backup_))
    if (entry.is_regular_file() && entry.file_size() > 0)
      files.push_back(entry.path());
  ASSERT_GE(files.size(), 6);
  for (const fs::path& file : files) {
    SCOPED_TRACE(file);
    FlipBit(file, fs::file_size(file) / 2);
    const absl::Status flipped = VerifyBackup(backup_).status();
    EXPECT_FALSE(flipped.ok());
    EXPECT_THAT(std::string(flipped.message()),
                HasSubstr(file.filename().string()));
    EXPECT_FALSE(RestoreBackup(backup_, directory_.File("to")).ok());
    EXPECT_FALSE(fs::exists(directory_.File("to")));
    FlipBit(file, fs::file_size(file) / 2);
    fs::rename(file, directory_.File("aside"));
    EXPECT_FALSE(VerifyBackup(backup_).ok());
    fs::rename(directory_.File("aside"), file);
    EXPECT_TRUE(VerifyBackup(backup_).ok());
  }
}

TEST_F(BackupTest, MissingChunkFailsTheBackupAndLeavesNothing) {
  fs::remove(chunks_->Path(Sha256("second chunk")));
  const absl::Status status =
      CreateBackup(*registry_, *chunks_, backup_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_FALSE(fs::exists(backup_));
}

// 1e6 programs, written as the registry writes them but in large batches that
// are not synced.
TEST_F(RocksDbRegistryTest, ListsAMillionProgramsPageByPage) {
  constexpr int kPrograms = 1'000'000;
  {
    RocksDbOptions options = At(path_);
    options.sync_writes = false;
    auto store = OpenRocksDbStore(options);
    ASSERT_TRUE(store.ok()) << store.status();
    for (int i = 0; i < kPrograms;) {
      WriteBatch batch;
      for (int n = 0; n < 10'000; ++n, ++i) {
        api::Program program =
            MakeProgram(absl::StrCat("p", 1'000'000 + i), "t");
        program.set_version(1);
        batch.Put(RecordKey(Kind::kProgram, program.name(), 1),
                  program.SerializeAsString());
        batch.Put(LatestKey(Kind::kProgram, program.name()), BigEndian(1));
      }
      ASSERT_TRUE((*store)->Write(batch).ok());
    }
  }
  Open();
  const double begin = ThreadCpuSeconds();
  api::PageRequest request;
  request.set_page_size(1000);
  int listed = 0;
  std::string last;
  double slowest = 0;
  do {
    const double page_begin = ThreadCpuSeconds();
    auto page = registry_->ListPrograms(request);
    ASSERT_TRUE(page.ok()) << page.status();
    slowest = std::max(slowest, ThreadCpuSeconds() - page_begin);
    for (const api::Program& program : page->items) {
      ASSERT_LT(last, program.name());
      last = program.name();
      ++listed;
    }
    request.set_page_token(page->next_page_token);
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, kPrograms);
  std::cout << "1e6 programs in pages of 1000: " << ThreadCpuSeconds() - begin
            << " s of CPU, slowest page " << slowest * 1e3 << " ms"
            << std::endl;
  EXPECT_LT(slowest, 1);  // a page costs its size, not the listing's

  // Work that is bounded whatever the number of names.
  const double bounded_begin = ThreadCpuSeconds();
  EXPECT_THAT(
      std::string(registry_->GetProgram("p15000000").status().message()),
      HasSubstr("'p1500000'"));
  api::PageRequest tagged;
  (*tagged.mutable_tags())["none"] = "has it";
  auto page = registry_->ListPrograms(tagged);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(page->items, SizeIs(0));
  EXPECT_FALSE(page->next_page_token.empty());
  const double bounded = ThreadCpuSeconds() - bounded_begin;
  std::cout << "an unknown name and a page of a rare tag: " << bounded
            << " s of CPU" << std::endl;
  EXPECT_LT(bounded, 2);
}

}  // namespace
}  // namespace perfvec::storage
