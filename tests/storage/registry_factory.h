// Both registries by name, for typed and parameterised tests, and the records
// that tests make of them.
//
//   std::unique_ptr<Registry> r = MakeRegistry("rocksdb", directory,
//   clock.Now());
#ifndef PERFVEC_TESTS_STORAGE_REGISTRY_FACTORY_H_
#define PERFVEC_TESTS_STORAGE_REGISTRY_FACTORY_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "storage/memory_registry.h"
#include "storage/registry.h"
#include "storage/rocksdb_registry.h"

namespace perfvec::storage {

// A directory that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "perfvec-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class FakeClock {
 public:
  absl::Time Now() const {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) =
      absl::FromUnixSeconds(1'700'000'000);
};

inline std::unique_ptr<Registry> MakeRegistry(const std::string& engine,
                                              const std::string& directory,
                                              const FakeClock& clock) {
  auto now = [&clock] { return clock.Now(); };
  if (engine == "memory") return NewMemoryRegistry(now);
  RocksDbOptions options;
  options.path = directory;
  auto registry = OpenRocksDbRegistry(options, now);
  EXPECT_TRUE(registry.ok()) << registry.status();
  return registry.ok() ? *std::move(registry) : nullptr;
}

inline v1::TraceRecord MakeTrace(const std::string& id) {
  v1::TraceRecord record;
  record.mutable_trace()->set_trace_id(id);
  record.mutable_trace()->set_size_bytes(1000);
  record.mutable_trace()->set_instructions(4096);
  record.mutable_trace()->set_isa("aarch64");
  record.add_chunk_sha256((id + std::string(32, '.')).substr(0, 32));
  record.set_chunk_size_bytes(4 << 20);
  return record;
}

inline api::Program MakeProgram(const std::string& name,
                                const std::string& trace_id) {
  api::Program program;
  program.set_name(name);
  program.set_trace_id(trace_id);
  return program;
}

inline constexpr int kWidth = 4;

inline api::Model MakeModel(const std::string& name,
                            const std::string& model_id) {
  api::Model model;
  model.set_name(name);
  model.set_model_id(model_id);
  model.set_manifest_json("{}");
  model.set_width(kWidth);
  model.set_segment_instructions(1024);
  return model;
}

inline api::Job MakeJob(const std::string& model_id) {
  api::Job job;
  job.set_model_id(model_id);
  job.set_instructions(4096);
  job.set_shard_instructions(1024);
  job.set_shards(4);
  return job;
}

inline v1::ShardRecord MakeShard(uint32_t shard) {
  v1::ShardRecord record;
  record.set_shard(shard);
  record.set_instructions(1024);
  record.set_accumulator(absl::StrCat("accumulator ", shard));
  return record;
}

inline v1::ProgramVectorRecord MakeVector(const api::Job& job) {
  v1::ProgramVectorRecord vector;
  vector.set_program_name(job.program_name());
  vector.set_program_version(job.program_version());
  vector.set_model_id(job.model_id());
  vector.set_instructions(job.instructions());
  for (int i = 0; i < kWidth; ++i) vector.add_values(i + 0.5);
  return vector;
}

inline v1::ProgramPartsRecord MakeParts() {
  v1::ProgramPartsRecord parts;
  parts.set_interval_instructions(2048);
  for (int i = 0; i < 2; ++i) {
    auto* part = parts.add_intervals();
    part->set_begin_instruction(2048 * i);
    part->set_instructions(2048);
    part->set_scale(1);
    for (int k = 0; k < kWidth; ++k) part->add_values((k + 0.5) / 2);
  }
  return parts;
}

inline api::Architecture MakeArchitecture(const std::string& name,
                                          const std::string& model_id) {
  api::Architecture architecture;
  architecture.set_name(name);
  (*architecture.mutable_attributes())["rob"].set_number(40);
  api::ArchitectureVector* vector = architecture.add_vectors();
  vector->set_model_id(model_id);
  vector->set_origin("trained");
  for (int i = 0; i < kWidth; ++i) vector->add_values(2 * i);
  return architecture;
}

template <typename T>
void ExpectCode(absl::StatusCode code, const absl::StatusOr<T>& result) {
  EXPECT_EQ(result.status().code(), code) << result.status();
}

// A registry of the engine that is the parameter, with three traces ("trace-a"
// to "trace-c") and the model "m" of id "model-1".
class RegistryTest : public ::testing::TestWithParam<const char*> {
 protected:
  RegistryTest()
      : registry_(MakeRegistry(GetParam(), directory_.path(), clock_)) {}

  void SetUp() override {
    ASSERT_NE(registry_, nullptr);
    for (const char* id : {"trace-a", "trace-b", "trace-c"})
      ASSERT_TRUE(registry_->PutTrace(MakeTrace(id), "").ok());
    ASSERT_TRUE(registry_->CreateModel(MakeModel("m", "model-1"), {}).ok());
  }

  api::Program Create(const std::string& name, const std::string& trace_id) {
    auto created = registry_->CreateProgram(MakeProgram(name, trace_id), {});
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->program : api::Program();
  }

  TemporaryDirectory directory_;
  FakeClock clock_;
  std::unique_ptr<Registry> registry_;
};

#define PERFVEC_EVERY_ENGINE(suite)                                \
  INSTANTIATE_TEST_SUITE_P(Engines, suite,                         \
                           ::testing::Values("memory", "rocksdb"), \
                           [](const auto& info) { return info.param; })

}  // namespace perfvec::storage

#endif  // PERFVEC_TESTS_STORAGE_REGISTRY_FACTORY_H_
