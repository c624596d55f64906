// The chunk store: content, collection against concurrent writers, power loss,
// full disks.
#include "storage/chunk_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::unique_ptr<ChunkStore> OpenStore(const std::string& directory,
                                      FileSystem* files = nullptr) {
  auto store = ChunkStore::Open({directory, files});
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

// A collection for which exactly `digests` are in use.
ChunkStore::Live InUse(std::set<std::string> digests) {
  return [digests](std::function<void(absl::string_view)> visit) {
    for (const std::string& digest : digests) visit(digest);
    return absl::OkStatus();
  };
}

std::vector<std::string> TemporaryFiles(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory + "/tmp"))
    names.push_back(entry.path().filename());
  return names;
}

TEST(ChunkStore, KeepsBytesUnderTheirHash) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  const std::string bytes(100'000, 'x');
  auto digest = store->Put(bytes);
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, Sha256(bytes));
  EXPECT_EQ(*store->Put(bytes), *digest);
  EXPECT_EQ(*store->Get(*digest), bytes);
  EXPECT_EQ(*store->Size(*digest), bytes.size());
  EXPECT_TRUE(store->Has(*digest));
  EXPECT_EQ(store->Read(*digest, 99'990, 100)->size(), 10);
  EXPECT_EQ(store->Read(*digest, 100'001, 1).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store->Get(Sha256("absent")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store->Get("short").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*store->Get(*store->Put("")), "");
  EXPECT_THAT(TemporaryFiles(directory.path()), IsEmpty());
  // FIPS 180-4, "abc".
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(ChunkStore, CorruptChunkIsNamed) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  const std::string digest = *store->Put("some bytes");
  std::fstream(store->Path(digest), std::ios::in | std::ios::out).put('S');
  const absl::Status status = store->Get(digest).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(store->Path(digest)));
}

TEST(ChunkStore, StagedChunkIsInvisibleUntilCommittedAndGoesWhenDropped) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  {
    std::vector<StagedChunk> staged;
    for (const char* bytes : {"a", "b", "a"})
      staged.push_back(*store->Stage(bytes));
    EXPECT_FALSE(store->Has(staged[0].digest()));
    ASSERT_TRUE(store->Commit(absl::MakeSpan(staged)).ok());
    EXPECT_EQ(*store->Get(staged[2].digest()), "a");
    auto dropped = store->Stage("never");
    EXPECT_EQ(TemporaryFiles(directory.path()).size(), 1);
  }
  EXPECT_FALSE(store->Has(Sha256("never")));
  EXPECT_THAT(TemporaryFiles(directory.path()), IsEmpty());
  std::ofstream(directory.File("tmp/left-over")) << "x";
  store = OpenStore(directory.path());
  EXPECT_THAT(TemporaryFiles(directory.path()), IsEmpty());
  EXPECT_TRUE(store->Has(Sha256("b")));
}

TEST(ChunkStore, CollectsWhatNothingUses) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  const std::string used = *store->Put("used");
  const std::string pinned = *store->Put("pinned");
  const std::string garbage = *store->Put("garbage");
  auto collected = store->CollectGarbage(InUse({used}), absl::Hours(1));
  EXPECT_EQ(collected->chunks, 0);  // all are younger than the grace time
  {
    ChunkPin pin = store->Pin({pinned});
    ChunkPin moved = std::move(pin);
    collected = store->CollectGarbage(InUse({used}), absl::ZeroDuration());
    EXPECT_EQ(collected->chunks, 1);
    EXPECT_EQ(collected->size_bytes, 7);
  }
  EXPECT_FALSE(store->Has(garbage));
  EXPECT_TRUE(store->Has(pinned));
  collected = store->CollectGarbage(InUse({used}), absl::ZeroDuration());
  EXPECT_EQ(collected->chunks, 1);
  EXPECT_TRUE(store->Has(used));
  // When it is not known what is in use, nothing goes.
  EXPECT_FALSE(store
                   ->CollectGarbage(
                       [](auto) { return absl::DataLossError("unreadable"); },
                       absl::ZeroDuration())
                   .ok());
  EXPECT_TRUE(store->Has(used));
}

// The dangerous order: the chunk is there as garbage, a collection has decided
// what is in use, and then an upload of the same bytes finds the chunk, refers
// to it, and lets its pin go before the sweep.
TEST(ChunkStore, ChunkPutDuringACollectionStays) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  const std::string digest = *store->Put("bytes");
  auto live = [&](std::function<void(absl::string_view)>) {
    EXPECT_EQ(*store->Put("bytes"), digest);
    return absl::OkStatus();
  };
  EXPECT_EQ(store->CollectGarbage(live, absl::ZeroDuration())->chunks, 0);
  EXPECT_TRUE(store->Has(digest));
}

TEST(ChunkStore, WritersAndCollectionsAtOnceLoseNothingInUse) {
  TemporaryDirectory directory;
  auto store = OpenStore(directory.path());
  absl::Mutex mutex;
  std::set<std::string> in_use;  // the registry of this test
  auto live = [&](std::function<void(absl::string_view)> visit) {
    absl::MutexLock lock(&mutex);
    for (const std::string& digest : in_use) visit(digest);
    return absl::OkStatus();
  };
  std::atomic<bool> done = false;
  std::thread collector([&] {
    while (!done) {
      EXPECT_TRUE(store->CollectGarbage(live, absl::ZeroDuration()).ok());
    }
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < 3; ++t) {
    writers.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 150; ++i) {
        // All threads write the same few chunks and drop them again.
        auto staged = store->Stage(absl::StrCat("chunk ", random() % 8));
        ASSERT_TRUE(staged.ok()) << staged.status();
        ASSERT_TRUE(store->Commit(absl::MakeSpan(&*staged, 1)).ok());
        {
          absl::MutexLock lock(&mutex);
          in_use.insert(staged->digest());
        }
        ASSERT_TRUE(store->Get(staged->digest()).ok());
        if (random() % 2 == 0) {
          absl::MutexLock lock(&mutex);
          in_use.erase(staged->digest());
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  collector.join();
  for (const std::string& digest : in_use) EXPECT_TRUE(store->Get(digest).ok());
}

TEST(ChunkStore, FullDiskIsSaidWithItsDirectory) {
  TemporaryDirectory directory;
  const std::string mount_point = directory.File("small");
  fs::create_directory(mount_point);
  if (mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=2m") != 0)
    GTEST_SKIP() << "a file system of 2 MiB cannot be mounted here: "
                 << std::strerror(errno);
  {
    auto store = OpenStore(mount_point + "/chunks");
    ASSERT_NE(store, nullptr);
    const std::string kept = *store->Put(std::string(1 << 20, 'a'));
    const auto full = store->Put(std::string(4 << 20, 'b'));
    EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(full.status().message()), HasSubstr(mount_point));
    EXPECT_THAT(std::string(full.status().message()), HasSubstr("free space"));
    EXPECT_THAT(TemporaryFiles(mount_point + "/chunks"), IsEmpty());
    EXPECT_TRUE(store->Healthy().ok());
    EXPECT_TRUE(store->Get(kept).ok());
    EXPECT_TRUE(store->Put("small enough").ok());
  }
  EXPECT_EQ(umount(mount_point.c_str()), 0);
}

// Files that lose what was not synced: contents, and names. Real files hold the
// data; LosePower() cuts them back.
class LossyFileSystem : public FileSystem {
 public:
  explicit LossyFileSystem(uint64_t seed) : random_(seed) {}

  absl::StatusOr<std::unique_ptr<WritableFile>> NewFile(
      const std::string& path) override {
    auto file = FileSystem::Real()->NewFile(path);
    if (!file.ok()) return file.status();
    absl::MutexLock lock(&mutex_);
    unsynced_.insert(path);
    return std::make_unique<File>(this, path, *std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    absl::MutexLock lock(&mutex_);
    absl::Status status = FileSystem::Real()->Rename(from, to);
    if (!status.ok()) return status;
    if (unsynced_.erase(from) > 0) unsynced_.insert(to);
    names_.emplace_back(from, to);
    return status;
  }
  absl::Status Remove(const std::string& path) override {
    return FileSystem::Real()->Remove(path);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    return FileSystem::Real()->CreateDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    absl::MutexLock lock(&mutex_);
    if (fail_directory_syncs_) return absl::UnavailableError("sync failed");
    auto in_it = [&](const std::pair<std::string, std::string>& name) {
      return fs::path(name.second).parent_path() == path;
    };
    names_.erase(std::remove_if(names_.begin(), names_.end(), in_it),
                 names_.end());
    return absl::OkStatus();
  }
  void FailDirectorySyncs(bool fail) {
    absl::MutexLock lock(&mutex_);
    fail_directory_syncs_ = fail;
  }
  void LosePower() {
    absl::MutexLock lock(&mutex_);
    for (const std::string& path : unsynced_)
      if (fs::exists(path)) fs::resize_file(path, random_() % 4);
    for (auto name = names_.rbegin(); name != names_.rend(); ++name)
      if (random_() % 2 == 0) fs::rename(name->second, name->first);
    unsynced_.clear();
    names_.clear();
  }

 private:
  class File : public WritableFile {
   public:
    File(LossyFileSystem* owner, std::string path,
         std::unique_ptr<WritableFile> target)
        : owner_(owner), path_(std::move(path)), target_(std::move(target)) {}
    absl::Status Append(absl::string_view bytes) override {
      return target_->Append(bytes);
    }
    void StartWriteback() override {}
    absl::Status Sync() override {
      absl::MutexLock lock(&owner_->mutex_);
      owner_->unsynced_.erase(path_);
      return absl::OkStatus();
    }

   private:
    LossyFileSystem* const owner_;
    const std::string path_;
    const std::unique_ptr<WritableFile> target_;
  };

  absl::Mutex mutex_;
  std::mt19937_64 random_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> unsynced_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> names_
      ABSL_GUARDED_BY(mutex_);
  bool fail_directory_syncs_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(ChunkStore, CommittedChunksSurvivePowerLossAndNoneIsHalf) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  TemporaryDirectory directory;
  LossyFileSystem files(seed);
  std::map<std::string, std::string> committed;
  for (int round = 0; round < 40; ++round) {
    auto store = OpenStore(directory.path(), &files);
    for (const auto& [digest, bytes] : committed)
      ASSERT_EQ(*store->Get(digest), bytes);
    for (int batch = 0; batch < 3; ++batch) {
      std::vector<StagedChunk> staged;
      std::vector<std::string> contents;
      for (int i = 0; i < 4; ++i) {
        contents.push_back(std::string(10, 'a') + absl::StrCat(random() % 200));
        staged.push_back(*store->Stage(contents.back()));
      }
      if (batch == 2) break;  // the power goes while these are staged
      ASSERT_TRUE(store->Commit(absl::MakeSpan(staged)).ok());
      for (int i = 0; i < 4; ++i) committed[staged[i].digest()] = contents[i];
    }
    files.LosePower();
    // Nothing under a final name is half, committed or not.
    store = OpenStore(directory.path(), &files);
    for (const auto& entry :
         fs::recursive_directory_iterator(directory.path())) {
      if (!entry.is_regular_file()) continue;
      const std::string name = entry.path().filename().string();
      ASSERT_TRUE(store->Get(absl::HexStringToBytes(name)).ok()) << name;
    }
  }
}

TEST(ChunkStore, FailedDirectorySyncStopsWrites) {
  TemporaryDirectory directory;
  LossyFileSystem files(1);
  auto store = OpenStore(directory.path(), &files);
  const std::string before = *store->Put("before");
  files.FailDirectorySyncs(true);
  EXPECT_FALSE(store->Put("lost").ok());
  files.FailDirectorySyncs(false);
  EXPECT_EQ(store->Put("after").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(store->Healthy().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(store->Get(before).ok());
  store = OpenStore(directory.path(), &files);
  EXPECT_TRUE(store->Put("after").ok());
}

}  // namespace
}  // namespace perfvec::storage
