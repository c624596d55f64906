#include "worker/checkpoint/torch_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/worker/checkpoint/zip_writer.h"
#include "worker/checkpoint/pickle.h"
#include "worker/model/files.h"

namespace perfvec::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<TorchCheckpoint> Read(const std::string& pickle,
                                     Members others = {},
                                     bool deflated = false) {
  Members members;
  members["a/data.pkl"] = pickle;
  for (auto& [name, content] : others) members["a/" + name] = content;
  return ReadTorchCheckpoint(Zip(members, deflated), "f.pt");
}

TEST(TorchCheckpointTest, ReadsTensorsOfAnyStridesAndSharedStorages) {
  const Members data = {{"data/0", Floats({0, 1, 2, 3, 4, 5, 6, 7})}};
  auto read =
      Read(StatePickle({{"rows", TensorPickle("0", 8, 0, {2, 3}, {3, 1})},
                        {"t", TensorPickle("0", 8, 2, {2, 2}, {1, 3})}}),
           {{"data/0", Floats({0, 1, 2, 3, 4, 5, 6, 7})},
            {"version", "3\n"},
            {"byteorder", "little"}});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->numbers.at("epoch"), 5);
  EXPECT_THAT(read->tensors.at("rows").shape, ElementsAre(2, 3));
  EXPECT_THAT(read->tensors.at("rows").values, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(read->tensors.at("t").values, ElementsAre(2, 5, 3, 6));
}

struct BadCase {
  const char* name;
  std::string pickle;
  const char* message;
  Members others = {};
};

class BadCheckpointTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadCheckpointTest, IsRefusedByName) {
  const absl::Status status =
      Read(GetParam().pickle, GetParam().others).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("f.pt"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

std::string OneTensor(const std::string& tensor) {
  return StatePickle({{"w", tensor}});
}
const Members kFour = {{"data/0", Floats({1, 2, 3, 4})}};

INSTANTIATE_TEST_SUITE_P(
    Cases, BadCheckpointTest,
    ::testing::Values(
        BadCase{"Call",
                "\x80\x02" + Global("os", "system") + Text("true") + "\x85R.",
                "asks for os.system"},
        BadCase{"Eval", "\x80\x02" + Global("builtins", "eval") + ".",
                "asks for builtins.eval"},
        BadCase{"StackGlobal",
                "\x80\x04" + Text("posix") + Text("system") + "\x93.",
                "asks for posix.system"},
        BadCase{"Instance", "\x80\x02(ios\nsystem\n.", "opcode 0x69"},
        BadCase{"NewObject",
                "\x80\x02" + Global("collections", "OrderedDict") + ")\x81.",
                "opcode 0x81"},
        BadCase{"DictOfArguments",
                "\x80\x02" + Global("collections", "OrderedDict") + Text("x") +
                    "\x85R.",
                "a call of collections OrderedDict"},
        BadCase{"CallOfText", "\x80\x02" + Text("x") + ")R.",
                "a call of text is refused"},
        BadCase{"Protocol5", "\x80\x05}.", "protocol 2 to 4, found 5"},
        BadCase{"Cut", "\x80\x02}(X\xff\xff\xff\xff", "cut"},
        BadCase{"NoMark", "\x80\x02t.", "no mark"}, BadCase{"Empty", "", "cut"},
        BadCase{"TwoValues", "\x80\x02NN.", "expected one value"},
        BadCase{"Memo", "\x80\x02h\x07.", "unknown memo number"},
        BadCase{"NoDict", "\x80\x02N.", "found None"},
        BadCase{"NoStateDict", "\x80\x02}.", "model_state_dict"},
        BadCase{"NoTensor", OneTensor("N"), "expected a tensor, found None"},
        BadCase{"NoStorage", OneTensor(TensorPickle("0", 4, 0, {4}, {1})),
                "expected a member \"a/data/0\""},
        BadCase{"Double",
                OneTensor(TensorPickle("0", 2, 0, {2}, {1}, "DoubleStorage")),
                "found DoubleStorage", kFour},
        BadCase{"Elements", OneTensor(TensorPickle("0", 5, 0, {4}, {1})),
                "storage of 5 float32, found 16 bytes", kFour},
        BadCase{"TooLong", OneTensor(TensorPickle("0", 4, 1, {4}, {1})),
                "beyond the storage", kFour},
        BadCase{"Negative", OneTensor(TensorPickle("0", 4, -1, {1}, {1})),
                "beyond the storage", kFour},
        BadCase{"Backwards", OneTensor(TensorPickle("0", 4, 3, {4}, {-1})),
                "beyond the storage", kFour},
        BadCase{"Expanded",
                OneTensor(TensorPickle("0", 4, 0, {2147483647, 2147483647},
                                       {0, 0})),
                "beyond the storage", kFour},
        BadCase{"Ragged", OneTensor(TensorPickle("0", 4, 0, {2, 2}, {1})),
                "as many strides", kFour},
        BadCase{"BigEndian",
                OneTensor(TensorPickle("0", 4, 0, {4}, {1})),
                "found \"big\"",
                {{"byteorder", "big"}, {"data/0", Floats({1, 2, 3, 4})}}},
        BadCase{
            "Script", OneTensor("N"), "TorchScript", {{"constants.pkl", "x"}}}),
    [](const auto& info) { return info.param.name; });

TEST(TorchCheckpointTest, OtherFilesAreNamed) {
  const std::string old("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                        14);
  EXPECT_THAT(
      std::string(ReadTorchCheckpoint(old, "old.pt").status().message()),
      HasSubstr("old.pt: written by PyTorch before 1.6"));
  EXPECT_THAT(
      std::string(ReadTorchCheckpoint("hello", "x.pt").status().message()),
      HasSubstr("x.pt: expected a zip archive"));
  EXPECT_THAT(
      std::string(
          ReadTorchCheckpoint(Zip({{"a/b", "c"}}), "x.pt").status().message()),
      HasSubstr("expected a member data.pkl"));
}

// A few kB that would become a gigabyte.
TEST(TorchCheckpointTest, CompressedStoragesCannotGrow) {
  const int64_t elements = 8 << 20;
  auto read = Read(OneTensor(TensorPickle("0", elements, 0, {elements}, {1})),
                   {{"data/0", std::string(4 * elements, '\0')}},
                   /*deflated=*/true);
  EXPECT_EQ(read.status().code(), absl::StatusCode::kResourceExhausted)
      << read.status();
}

// Many tensors of one storage are as good a bomb.
TEST(TorchCheckpointTest, SharedStoragesCannotGrow) {
  Members tensors;
  for (int i = 0; i < 300; ++i) {
    tensors[std::to_string(i)] = TensorPickle("0", 4096, 0, {4096}, {1});
  }
  auto read =
      Read(StatePickle(tensors), {{"data/0", std::string(4 * 4096, '\0')}});
  EXPECT_THAT(std::string(read.status().message()),
              HasSubstr("tensors that share a storage"));
}

std::string Golden() {
  auto bytes = compute::ReadWholeFile(
      PERFVEC_SOURCE_DIR "/tests/golden/checkpoint/checkpoint.pt", 1 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return *std::move(bytes);
}

// A tensor or an error, whatever the damage: in the file, where CRCs catch
// most, and in the pickle below them.
TEST(TorchCheckpointTest, AnyDamageGivesAnAnswer) {
  const uint64_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::string golden = Golden();
  ASSERT_TRUE(ReadTorchCheckpoint(golden, "f").ok());
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = golden;
    if (i % 2 == 0) {
      bytes.resize(random() % bytes.size());
    } else {
      for (int k = 0; k < 4; ++k) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
    }
    refused += !ReadTorchCheckpoint(bytes, "f").ok();
  }
  EXPECT_GT(refused, 200);
  const std::string pickle =
      StatePickle({{"w", TensorPickle("0", 4, 0, {2, 2}, {2, 1})},
                   {"v", TensorPickle("0", 4, 0, {4}, {1})}});
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = pickle;
    for (int k = 0; k <= static_cast<int>(random() % 3); ++k) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    auto parsed = Pickle::Parse(bytes, "f");
    if (!parsed.ok()) continue;
    const Pickle::Value* state =
        parsed->Find(parsed->root(), "model_state_dict");
    if (state == nullptr) continue;
    auto entries = parsed->Entries(*state);
    if (!entries.ok()) continue;
    for (const auto& [name, value] : *entries) {
      (void)parsed->Tensor(*value).ok();
    }
  }
}

// Neither depth nor cycles cost anything.
TEST(TorchCheckpointTest, DeepAndCyclicPicklesAreHarmless) {
  std::string deep = "\x80\x02N";
  for (int i = 0; i < 500000; ++i) deep += "\x85";
  EXPECT_TRUE(Pickle::Parse(deep + ".", "f").ok());
  auto cyclic = Pickle::Parse(
      "\x80\x02]q\x01h\x01"
      "a.",
      "f");
  ASSERT_TRUE(cyclic.ok()) << cyclic.status();
  EXPECT_EQ(cyclic->root().items.size(), 1);
  EXPECT_FALSE(
      Pickle::Parse("\x80\x02(" + std::string(2 << 20, 'N') + "t.", "f").ok());
}

}  // namespace
}  // namespace perfvec::checkpoint
