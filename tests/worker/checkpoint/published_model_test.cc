#include "worker/checkpoint/published_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tests/worker/checkpoint/zip_writer.h"
#include "worker/checkpoint/npz.h"
#include "worker/model/files.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::checkpoint {
namespace {

using compute::kFeatureCount;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string File(const std::string& path) {
  auto bytes = compute::ReadWholeFile(path, 64 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return *std::move(bytes);
}
template <class T>
std::vector<T> Numbers(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

absl::StatusOr<compute::FoundationModel> Import(const std::string& folder) {
  auto checkpoint = ReadTorchCheckpoint(File(folder + "/checkpoint.pt"), "pt");
  if (!checkpoint.ok()) return checkpoint.status();
  auto stats = ReadNpz(File(folder + "/stats.npz"), "npz", 4096);
  if (!stats.ok()) return stats.status();
  return PublishedModel(*std::move(checkpoint), *stats, {"imported"});
}

// The program vector and the times, against PyTorch's from the same weights.
void ExpectGolden(const std::string& folder) {
  auto imported = Import(folder);
  ASSERT_TRUE(imported.ok()) << imported.status();
  auto model = std::make_shared<const compute::FoundationModel>(*imported);
  const compute::Manifest& m = model->manifest();
  EXPECT_EQ(m.mode, compute::Mode::kWindow);
  EXPECT_TRUE(m.bias);
  EXPECT_THAT(m.provenance_json, HasSubstr(R"("epoch":3.0)"));
  const auto features = Numbers<float>(File(folder + "/features.f32"));
  const auto golden = Numbers<double>(File(folder + "/golden.f64"));
  const size_t count = features.size() / kFeatureCount;
  const size_t width = static_cast<size_t>(m.width);
  ASSERT_EQ(golden.size(), width + m.architectures.size());

  auto back_end = compute::MakeCpuRepresenter(model, {});
  ASSERT_TRUE(back_end.ok()) << back_end.status();
  auto stream = compute::StreamRepresenter::Create(
      back_end->get(), {0, static_cast<int64_t>(count)}, {});
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE(stream->Feed(features.data(), count).ok());
  auto sum = stream->Finish();
  ASSERT_TRUE(sum.ok()) << sum.status();
  const std::vector<double> vector = sum->Vector();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < width; ++i) {
    difference += (vector[i] - golden[i]) * (vector[i] - golden[i]);
    norm += golden[i] * golden[i];
  }
  EXPECT_GT(norm, 0);
  EXPECT_LE(std::sqrt(difference / norm), 1e-5);
  for (size_t a = 0; a < m.architectures.size(); ++a) {
    double time = 0;
    for (size_t i = 0; i < width; ++i) {
      time += vector[i] * double{model->ArchitectureVector(a)[i]};
    }
    EXPECT_NEAR(time, golden[width + a], 1e-5 * golden[width + a]);
  }
}

TEST(PublishedModelTest, GivesPyTorchsVector) {
  ExpectGolden(PERFVEC_SOURCE_DIR "/tests/golden/checkpoint");
}

TEST(PublishedModelTest, GivesPyTorchsVectorAtFullWidth) {
  const std::string python = "/usr/bin/python3";
  if (std::system((python + " -c 'import torch' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "python3-torch is not installed";
  }
  std::string folder = ::testing::TempDir() + "perfvec-checkpoint-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  ASSERT_EQ(
      std::system((python +
                   " " PERFVEC_SOURCE_DIR "/tests/golden/make_checkpoint.py " +
                   folder + " --width 256 --instructions 40")
                      .c_str()),
      0);
  ExpectGolden(folder);
  std::filesystem::remove_all(folder);
}

// InsLSTM(2, 1, narchs=3) and its statistics, to be broken.
struct Parts {
  TorchCheckpoint checkpoint;
  std::map<std::string, std::vector<double>> stats;
};
compute::Tensor Zeros(std::vector<int64_t> shape) {
  size_t size = 1;
  for (int64_t d : shape) size *= static_cast<size_t>(d);
  return {std::move(shape), std::vector<float>(size)};
}
Parts Small() {
  Parts parts;
  auto& t = parts.checkpoint.tensors;
  t["lstm.weight_ih_l0"] = Zeros({8, kFeatureCount});
  t["lstm.weight_hh_l0"] = Zeros({8, 2});
  t["lstm.bias_ih_l0"] = t["lstm.bias_hh_l0"] = Zeros({8});
  t["linear.weight"] = Zeros({3, 2});
  parts.stats["mean"] = std::vector<double>(kFeatureCount, 3);
  parts.stats["std"] = std::vector<double>(kFeatureCount, 0);
  return parts;
}
absl::StatusOr<compute::FoundationModel> Make(const Parts& parts) {
  return PublishedModel(parts.checkpoint, parts.stats, {"m"});
}

TEST(PublishedModelTest, ManifestSaysWhatTheCheckpointMeans) {
  auto model = Make(Small());
  ASSERT_TRUE(model.ok()) << model.status();
  const compute::Manifest& m = model->manifest();
  EXPECT_EQ(m.warm_up, 255);
  EXPECT_EQ(m.layers, 1);
  EXPECT_EQ(m.width, 2);
  EXPECT_EQ(m.inputs.columns[50].mean, 3);
  EXPECT_EQ(m.inputs.columns[50].deviation, 1) << "a std of 0 counts as 1";
  ASSERT_EQ(m.architectures.size(), 3);
  EXPECT_EQ(m.architectures[2].name, "m_2");
}

TEST(PublishedModelTest, DataParallelsPrefixIsDropped) {
  Parts parts = Small();
  compute::TensorMap renamed;
  for (auto& [name, tensor] : parts.checkpoint.tensors) {
    renamed["module." + name] = tensor;
  }
  parts.checkpoint.tensors = renamed;
  auto model = Make(parts);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->id(), Make(Small())->id());
}

TEST(PublishedModelTest, OtherModelsAreNamed) {
  const auto message = [](const Parts& parts) {
    return std::string(Make(parts).status().message());
  };
  Parts p = Small();
  p.checkpoint.tensors["linear.bias"] = Zeros({3});
  EXPECT_THAT(message(p), HasSubstr("predictor with bias"));
  p = Small();
  p.checkpoint.tensors["lstm.weight_hh_l0_reverse"] = Zeros({8, 2});
  EXPECT_THAT(message(p), HasSubstr("bidirectional"));
  p = Small();
  p.checkpoint.tensors["lstm.weight_hh_l0"] = Zeros({6, 2});
  EXPECT_THAT(message(p), HasSubstr("a GRU"));
  p = Small();
  p.checkpoint.tensors["inst_embed.weight"] = Zeros({6, 2});
  EXPECT_THAT(message(p), HasSubstr("without embedding"));
  p = Small();
  p.checkpoint.tensors["lstm.weight_ih_l0"] = Zeros({8, 50});
  EXPECT_THAT(message(p), HasSubstr("expected shape [8, 51], found [8, 50]"));
  p = Small();
  p.checkpoint.tensors.erase("linear.weight");
  EXPECT_THAT(message(p), HasSubstr("expected \"linear.weight\""));
  p = Small();
  p.checkpoint.tensors["linear.weight"].values[1] = NAN;
  EXPECT_THAT(message(p), HasSubstr("nan"));
  p = Small();
  p.stats["std"].resize(50);
  EXPECT_THAT(message(p), HasSubstr("\"std\": expected 51 numbers, found 50"));
  p = Small();
  p.stats["mean"][7] = INFINITY;
  EXPECT_THAT(message(p), HasSubstr("finite"));
  p = Small();
  p.stats.erase("mean");
  EXPECT_THAT(message(p), HasSubstr("expected an array \"mean\""));
}

TEST(NpzTest, ReadsStoredAndDeflated) {
  for (bool deflated : {false, true}) {
    auto arrays = ReadNpz(
        Zip({{"mean.npy", Npy({1, 2.5})}, {"std.npy", Npy({})}}, deflated),
        "s.npz", 10);
    ASSERT_TRUE(arrays.ok()) << arrays.status();
    EXPECT_THAT(arrays->at("mean"), ElementsAre(1, 2.5));
    EXPECT_TRUE(arrays->at("std").empty());
  }
}

TEST(NpzTest, OtherArraysAreNamed) {
  const auto message = [](const std::string& npy) {
    return std::string(ParseNpy(npy, "f", 10).status().message());
  };
  EXPECT_THAT(message("hello"), HasSubstr("expected a .npy file"));
  EXPECT_THAT(message(Npy({1}, ">f8")), HasSubstr(">f8"));
  EXPECT_THAT(message(Npy({1}, "|O")), HasSubstr("|O"));
  EXPECT_THAT(message(Npy({1, 2}, "<f8", "(1, 2)")), HasSubstr("(1, 2)"));
  EXPECT_THAT(message(Npy({1}, "<f8", "(9999999999999999999999,)")),
              HasSubstr("one dimension"));
  EXPECT_THAT(message(Npy({1}, "<f8", "(11,)")), HasSubstr("at most 10"));
  EXPECT_THAT(message(Npy({1}, "<f8", "(3,)")), HasSubstr("24 bytes"));
  const std::string good = Npy({1, 2, 3});
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ParseNpy(good.substr(0, size), "f", 10).ok()) << size;
  }
  EXPECT_EQ(ReadNpz(Zip({{"mean.npy", std::string(8 << 20, '\0')}}, true),
                    "s.npz", 10)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(
      std::string(ReadNpz(Zip({{"x", "y"}}), "s.npz", 10).status().message()),
      HasSubstr("NAME.npy"));
}

}  // namespace
}  // namespace perfvec::checkpoint
