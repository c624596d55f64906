#include "worker/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "worker/model/files.h"

namespace perfvec::compute {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string File(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

SafetensorsFile Sample() {
  SafetensorsFile file;
  file.metadata["made by"] = "a test";
  file.tensors["b"] = {{2, 3}, {1, 2, 3, 4, 5, -6.5f}};
  file.tensors["a"] = {{}, {42}};
  file.tensors["empty"] = {{0, 4}, {}};
  return file;
}

TEST(SafetensorsTest, RoundTrip) {
  absl::StatusOr<std::string> bytes = SerializeSafetensors(Sample());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  absl::StatusOr<SafetensorsFile> file = ParseSafetensors(*bytes, "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata.at("made by"), "a test");
  ASSERT_EQ(file->tensors.size(), 3);
  EXPECT_THAT(file->tensors.at("b").shape, ElementsAre(2, 3));
  EXPECT_THAT(file->tensors.at("b").values, ElementsAre(1, 2, 3, 4, 5, -6.5f));
  EXPECT_THAT(file->tensors.at("a").values, ElementsAre(42));
  EXPECT_TRUE(file->tensors.at("empty").values.empty());
  EXPECT_EQ(*SerializeSafetensors(*file), *bytes);
}

// Laid out by hand, so that the writer is not its own judge.
TEST(SafetensorsTest, ReadsTheFormatAsPublished) {
  const float values[] = {1.5f, -2.0f};
  const std::string data(reinterpret_cast<const char*>(values), 8);
  absl::StatusOr<SafetensorsFile> file = ParseSafetensors(
      File(R"({"__metadata__":{"format":"pt"},)"
           R"("w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}   )",
           data),
      "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->tensors.at("w").shape, ElementsAre(2, 1));
  EXPECT_THAT(file->tensors.at("w").values, ElementsAre(1.5f, -2.0f));
}

struct BadCase {
  const char* name;
  std::string bytes;
  const char* message;
};

class SafetensorsBadTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(SafetensorsBadTest, IsRefusedByName) {
  const absl::Status status =
      ParseSafetensors(GetParam().bytes, "the file").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the file: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

std::string One(const std::string& fields, size_t data_size) {
  return File("{\"w\":{" + fields + "}}", std::string(data_size, '\0'));
}

INSTANTIATE_TEST_SUITE_P(
    All, SafetensorsBadTest,
    ::testing::Values(
        BadCase{"Empty", "", "at least 8 bytes"},
        BadCase{"ShortLength", "1234567", "at least 8 bytes, found 7"},
        BadCase{"HeaderPastEnd", File("{}", "").substr(0, 9),
                "header's length is 2"},
        BadCase{"HugeHeader", std::string(8, '\xff'), "header's length"},
        BadCase{"NotJson", File("{nonsense", ""), "not a JSON object"},
        BadCase{"NotAnObject", File("[1, 2]", ""), "not a JSON object"},
        BadCase{"TrailingJson", File("{} {}", ""), "not a JSON object"},
        BadCase{"MetadataNotStrings", File(R"({"__metadata__":{"a":1}})", ""),
                "is not a string"},
        BadCase{"MetadataNotObject", File(R"({"__metadata__":[]})", ""),
                "not an object"},
        BadCase{"MissingShape", One(R"("dtype":"F32","data_offsets":[0,4])", 4),
                "exactly dtype, shape and data_offsets"},
        BadCase{
            "ExtraField",
            One(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1)", 4),
            "exactly"},
        BadCase{"UnknownDtype",
                One(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])", 4),
                "unknown dtype F31"},
        BadCase{"DtypeNotString",
                One(R"("dtype":7,"shape":[1],"data_offsets":[0,4])", 4),
                "dtype is not a string"},
        BadCase{"NegativeDimension",
                One(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])", 4),
                "bad dimension -1"},
        BadCase{"FractionalDimension",
                One(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])", 4),
                "bad dimension 1.5"},
        BadCase{"TooManyDimensions",
                One(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],)"
                    R"("data_offsets":[0,4])",
                    4),
                "at most 8 dimensions"},
        BadCase{"OverflowingShape",
                One(R"("dtype":"F32","shape":[4294967296,4294967296,4],)"
                    R"("data_offsets":[0,4])",
                    4),
                "too many bytes"},
        BadCase{"ShapeAgainstOffsets",
                One(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4),
                "expects 8 bytes, found 4"},
        BadCase{"OffsetsReversed",
                One(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])", 4),
                "lie outside"},
        BadCase{"OffsetsPastEnd",
                One(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 4),
                "lie outside the 4 bytes"},
        BadCase{"OffsetsNotTwo",
                One(R"("dtype":"F32","shape":[1],"data_offsets":[0])", 4),
                "not two offsets"},
        BadCase{"NegativeOffset",
                One(R"("dtype":"F32","shape":[1],"data_offsets":[-4,0])", 4),
                "not two offsets"},
        BadCase{"TrailingData",
                One(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])", 8),
                "cover 4 bytes of data, found 8"},
        BadCase{
            "Gap",
            File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
                 std::string(12, '\0')),
            "a gap before it"},
        BadCase{"Overlap",
                File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                     R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                     std::string(8, '\0')),
                "overlap"},
        BadCase{"RepeatedTensor",
                File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                     std::string(4, '\0')),
                "the key \"a\" twice"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SafetensorsTest, AnotherTypeIsNamed) {
  const absl::Status status =
      ParseSafetensors(
          One(R"("dtype":"BF16","shape":[2],"data_offsets":[0,4])", 4), "f")
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected dtype F32, found BF16"));
}

// Every prefix and every flipped bit of the header either parses or is refused;
// nothing crashes (run under the sanitizers too).
TEST(SafetensorsTest, CutAndFlippedFilesNeverCrash) {
  const std::string bytes = *SerializeSafetensors(Sample());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(ParseSafetensors(bytes.substr(0, n), "f").ok()) << n;
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    ParseSafetensors(flipped, "f").status().IgnoreError();
  }
}

TEST(SafetensorsTest, WriterRefusesShapeAgainstValues) {
  SafetensorsFile file;
  file.tensors["w"] = {{2, 2}, {1, 2, 3}};
  EXPECT_THAT(std::string(SerializeSafetensors(file).status().message()),
              HasSubstr("shape [2, 2] has 3 values"));
}

TEST(SafetensorsTest, MissingFileAndDirectory) {
  EXPECT_EQ(ReadSafetensors("/nonexistent/x").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadSafetensors(::testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(FilesTest, WriteReplacesWholeAndReadIsBounded) {
  const std::string path = ::testing::TempDir() + "/whole_file";
  ASSERT_TRUE(WriteFileAtomically(path, "a longer first text").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "second").ok());
  EXPECT_EQ(*ReadWholeFile(path, 6), "second");
  EXPECT_EQ(ReadWholeFile(path, 5).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(WriteFileAtomically("/nonexistent/x", "a").ok());
}

}  // namespace
}  // namespace perfvec::compute
