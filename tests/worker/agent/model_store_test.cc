#include "worker/agent/model_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "tests/testing/processes.h"
#include "tests/worker/agent/scripted_server.h"
#include "tests/worker/model/random_model.h"
#include "worker/model/files.h"

namespace perfvec::worker {
namespace {

using compute::FoundationModel;
using ::testing::HasSubstr;

FoundationModel SmallModel(uint64_t seed) {
  return *compute::RandomModel(compute::SmallManifest(1, 8), seed);
}

// Serves one model's files, whatever id is asked for.
class ModelStoreTest : public ::testing::Test {
 protected:
  ModelStoreTest()
      : model_(SmallModel(1)),
        connection_(server_.connection(), server_.channel()) {
    EXPECT_TRUE(model_.Save(files_.path()).ok());
    manifest_ = *compute::ReadWholeFile(files_ / "manifest.json", 1 << 20);
    weights_ = *compute::ReadWholeFile(files_ / "model.safetensors", 1 << 20);
    server_.get_model = [this](grpc::ServerContext*, const auto&, auto* model) {
      model->set_manifest_json(manifest_);
      model->set_weights_size_bytes(weights_.size());
      return grpc::Status::OK;
    };
    server_.read_model_weights = [this](grpc::ServerContext*, const auto&,
                                        auto* writer) {
      const int fetch = ++fetches_;
      api::ReadModelWeightsResponse message;
      message.set_data(weights_.substr(0, 100));
      writer->Write(message);
      if (fetch <= cuts_) {
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut");
      }
      message.set_data(weights_.substr(100));
      writer->Write(message);
      return grpc::Status::OK;
    };
  }

  std::unique_ptr<ModelStore> Open(ModelStoreOptions options) {
    return *ModelStore::Open(std::move(options));
  }
  absl::StatusOr<ModelStore::ModelPtr> Get(ModelStore* store,
                                           const std::string& id) {
    return store->Get(id, &connection_, &interrupt_);
  }

  testing::TempDir files_, cache_;
  const FoundationModel model_;
  std::string manifest_, weights_;
  std::atomic<int> fetches_{0};
  int cuts_ = 0;
  ScriptedServer server_;
  ServerConnection connection_;
  Interrupt interrupt_;
};

TEST_F(ModelStoreTest, AGivenModelIsNotFetched) {
  auto store = Open({.directories = {files_.path()}});
  auto model = Get(store.get(), model_.id());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->id(), model_.id());
  EXPECT_EQ(fetches_, 0);
}

TEST_F(ModelStoreTest, ADirectoryThatIsNoModelIsNamed) {
  auto store = ModelStore::Open({.directories = {cache_.path()}});
  EXPECT_THAT(store.status().message(),
              HasSubstr("'" + cache_.path() + "' is not a foundation model"));
}

TEST_F(ModelStoreTest, FetchesOnceThenUsesMemoryAndDisk) {
  cuts_ = 2;
  auto store = Open({.directories = {}, .cache_directory = cache_.path()});
  for (int i = 0; i < 2; ++i) {
    auto model = Get(store.get(), model_.id());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->tensors().at("lstm.weight_hh_l0").values,
              model_.tensors().at("lstm.weight_hh_l0").values);
  }
  EXPECT_EQ(fetches_, 3);  // two were cut
  auto second = Open({.directories = {}, .cache_directory = cache_.path()});
  EXPECT_TRUE(Get(second.get(), model_.id()).ok());
  EXPECT_EQ(fetches_, 3);
}

TEST_F(ModelStoreTest, ADamagedCacheIsFetchedAnew) {
  auto store = Open({.directories = {}, .cache_directory = cache_.path()});
  ASSERT_TRUE(Get(store.get(), model_.id()).ok());
  // Another valid model under this one's name.
  ASSERT_TRUE(SmallModel(2).Save(cache_ / model_.id()).ok());
  store = Open({.directories = {}, .cache_directory = cache_.path()});
  auto model = Get(store.get(), model_.id());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->id(), model_.id());
  EXPECT_EQ(fetches_, 2);
}

TEST_F(ModelStoreTest, AnotherModelThanAskedForIsRefused) {
  auto store = Open({.directories = {}, .cache_directory = cache_.path()});
  const std::string other = SmallModel(2).id();
  auto model = Get(store.get(), other);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(model.status().message(), HasSubstr(other));
  EXPECT_THAT(model.status().message(), HasSubstr(model_.id()));
  EXPECT_TRUE(std::filesystem::is_empty(cache_.path()));
}

TEST_F(ModelStoreTest, AnUnknownModelIsTheServersWord) {
  server_.get_model = [](grpc::ServerContext*, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such model");
  };
  auto store = Open({});
  auto model = Get(store.get(), model_.id());
  EXPECT_EQ(model.status(), absl::NotFoundError("no such model"));
  EXPECT_EQ(Get(store.get(), "../../etc").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelStoreTest, BothCachesAreBounded) {
  auto store = Open({.directories = {},
                     .cache_directory = cache_.path(),
                     .held_models = 1,
                     .cached_models = 2});
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const FoundationModel model = SmallModel(seed);
    ASSERT_TRUE(model.Save(files_.path()).ok());
    weights_ = *compute::ReadWholeFile(files_ / "model.safetensors", 1 << 20);
    ASSERT_TRUE(Get(store.get(), model.id()).ok());
  }
  int cached = 0;
  for (auto& entry : std::filesystem::directory_iterator(cache_.path())) {
    (void)entry;
    ++cached;
  }
  EXPECT_EQ(cached, 2);
}

}  // namespace
}  // namespace perfvec::worker
