#include "worker/model/foundation_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "tests/worker/model/random_model.h"
#include "worker/model/files.h"

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 1;

Manifest SampleManifest() {
  Manifest m = SmallManifest(2, 8);
  m.architectures = {{"a57", "{}"}, {"a72", "{}"}};
  return m;
}

std::string IdOf(const Manifest& manifest, const TensorMap& tensors) {
  absl::StatusOr<FoundationModel> m =
      FoundationModel::Create(manifest, tensors);
  EXPECT_TRUE(m.ok()) << m.status();
  return m.ok() ? m->id() : "";
}

TEST(FoundationModelTest, SaveAndLoad) {
  absl::StatusOr<FoundationModel> model = RandomModel(SampleManifest(), kSeed);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string dir = ::testing::TempDir() + "/a_model";
  ASSERT_TRUE(model->Save(dir).ok());
  ASSERT_TRUE(model->Save(dir).ok());  // over what is there
  absl::StatusOr<FoundationModel> loaded = FoundationModel::Load(dir);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->id(), model->id());
  EXPECT_EQ(loaded->id().size(), 64);
  for (const auto& [name, tensor] : model->tensors()) {
    EXPECT_EQ(loaded->tensors().at(name).values, tensor.values) << name;
  }
  const FoundationModel::LstmLayer layer = loaded->Layer(0);
  EXPECT_EQ(layer.inputs, kFeatureCount + 8);
  EXPECT_EQ(layer.weight_hh[5],
            model->tensors().at("lstm.weight_hh_l0").values[5]);
  EXPECT_EQ(loaded->ArchitectureVector(1)[2],
            model->tensors().at("architecture_vectors").values[8 + 2]);
}

// The id is part of the format: a stored vector must find its model again
// after any change of this code. The literal was computed apart, with Python's
// json (sorted keys, no spaces), struct and hashlib.
TEST(FoundationModelTest, IdIsTheDocumentedHash) {
  Manifest m;
  m.name = "zeros";
  m.layers = 1;
  m.width = 1;
  m.bias = false;
  m.inputs.columns.resize(2);
  m.inputs.columns[1] = {22, InputColumn::Transform::kEquals, 1000, 0.25f, 2};
  TensorMap tensors;
  tensors["lstm.weight_ih_l0"] = {{4, 2}, {5, 6, 7, 8, 9, 10, 11, 12}};
  tensors["lstm.weight_hh_l0"] = {{4, 1}, {1, 2, 3, 4}};
  EXPECT_EQ(IdOf(m, tensors),
            "8c70649f0f862b5f91d783a0c2577ac281ea18face437e43ee57a2e7c32f30f5");
}

TEST(FoundationModelTest, IdIgnoresWhatDoesNotChangeAVector) {
  const Manifest manifest = SampleManifest();
  const TensorMap tensors = RandomTensors(manifest, kSeed);
  const std::string id = IdOf(manifest, tensors);
  Manifest m = manifest;
  m.name = "another name";
  m.license = "another license";
  m.provenance_json = R"({"by":"me"})";
  m.architectures[0].name = "renamed";
  TensorMap t = tensors;
  t["architecture_vectors"].values[3] += 1;
  EXPECT_EQ(IdOf(m, t), id);
}

TEST(FoundationModelTest, IdFollowsWhatChangesAVector) {
  const Manifest manifest = SampleManifest();
  const TensorMap tensors = RandomTensors(manifest, kSeed);
  const std::string id = IdOf(manifest, tensors);
  const std::function<void(Manifest&)> changes[] = {
      [](Manifest& m) { m.mode = Mode::kWindow; },
      [](Manifest& m) { m.segment_length = 512; },
      [](Manifest& m) { m.warm_up = 254; },
      [](Manifest& m) { m.inputs.columns[0].mean += 1e-6f; },
      [](Manifest& m) { m.inputs.columns[50].deviation = 2; },
      [](Manifest& m) { m.inputs.columns[52].value = 12; },
      [](Manifest& m) { m.inputs.columns[50].feature = 49; },
      [](Manifest& m) {
        m.inputs.columns[50].transform = InputColumn::Transform::kLog2OnePlus;
      }};
  for (const auto& change : changes) {
    Manifest m = manifest;
    change(m);
    EXPECT_NE(IdOf(m, tensors), id);
  }
  for (const auto& [name, tensor] : tensors) {
    if (name == "architecture_vectors") continue;
    TensorMap t = tensors;
    float& value = t[name].values.back();
    value = std::nextafter(value, 1.0f);
    EXPECT_NE(IdOf(manifest, t), id) << name;
  }
}

TEST(FoundationModelTest, WrongTensorsAreNamed) {
  const Manifest manifest = SampleManifest();
  const TensorMap good = RandomTensors(manifest, kSeed);
  auto message = [&](const std::function<void(TensorMap&)>& change) {
    TensorMap t = good;
    change(t);
    const absl::Status s = FoundationModel::Create(manifest, t).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
    return std::string(s.message());
  };
  EXPECT_THAT(message([](TensorMap& t) { t.erase("lstm.weight_hh_l1"); }),
              HasSubstr("\"lstm.weight_hh_l1\" of shape [32, 8] is missing"));
  EXPECT_THAT(message([](TensorMap& t) {
                t["lstm.weight_hh_l1"].shape = {8, 32};
              }),
              HasSubstr("expected shape [32, 8], found [8, 32]"));
  EXPECT_THAT(
      message([](TensorMap& t) { t["lstm.weight_hh_l1"].values.pop_back(); }),
      HasSubstr("expected 256 values, found 255"));
  EXPECT_THAT(message([](TensorMap& t) {
                t["head.weight"] = {{1}, {1}};
              }),
              HasSubstr("\"head.weight\" is not one the manifest describes"));
  EXPECT_THAT(
      message([](TensorMap& t) { t["lstm.bias_ih_l0"].values[7] = NAN; }),
      HasSubstr("expected values within +-1e+10, found nan at element 7"));
  EXPECT_THAT(message([](TensorMap& t) {
                t["architecture_vectors"].values[0] = -INFINITY;
              }),
              HasSubstr("expected values within +-1e+10, found -inf"));
  EXPECT_THAT(message([](TensorMap& t) {
                t["architecture_vectors"].shape = {3, 8};
              }),
              HasSubstr("expected shape [2, 8], found [3, 8]"));
}

TEST(FoundationModelTest, BiasFlagDecidesWhichTensors) {
  Manifest m = SmallManifest(1, 4);
  EXPECT_EQ(ExpectedTensors(m).size(), 4);
  m.bias = false;
  EXPECT_EQ(ExpectedTensors(m).size(), 2);
  absl::StatusOr<FoundationModel> model = RandomModel(m, kSeed);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->Layer(0).bias_ih, nullptr);
}

TEST(FoundationModelTest, LoadSaysWhichFile) {
  EXPECT_EQ(FoundationModel::Load("/nonexistent").status().code(),
            absl::StatusCode::kNotFound);
  absl::StatusOr<FoundationModel> model = RandomModel(SampleManifest(), kSeed);
  const std::string dir = ::testing::TempDir() + "/a_damaged_model";
  ASSERT_TRUE(model->Save(dir).ok());
  std::string weights =
      *ReadWholeFile(dir + "/model.safetensors", uint64_t{1} << 20);
  weights.pop_back();
  ASSERT_TRUE(WriteFileAtomically(dir + "/model.safetensors", weights).ok());
  EXPECT_THAT(std::string(FoundationModel::Load(dir).status().message()),
              HasSubstr(dir + "/model.safetensors: "));
}

// Every model in deploy/models is whole and can be run by this build.
TEST(FoundationModelTest, BundledModelsLoad) {
  const std::filesystem::path models =
      std::filesystem::path(PERFVEC_SOURCE_DIR) / "deploy/models";
  if (!std::filesystem::exists(models)) GTEST_SKIP() << "no " << models;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(models)) {
    if (!entry.is_directory()) continue;
    absl::StatusOr<FoundationModel> model =
        FoundationModel::Load(entry.path().string());
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_FALSE(model->manifest().license.empty());
    EXPECT_FALSE(model->manifest().architectures.empty());
    ++count;
  }
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace perfvec::compute
