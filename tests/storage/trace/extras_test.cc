// What a trace of version 2 tells beside its instructions.
#include "storage/trace/extras.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/writer.h"
#include "tests/storage/trace/test_traces.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

TraceExtras Example() {
  TraceExtras extras;
  extras.files = {{0x400000, 0x480000, 0, "/bin/sort"},
                  {0x7f0000, 0x7f8000, 0x7f0000, "/lib/libc.so.6"}};
  extras.functions = {{0x400100, 64, "main"}, {0x7f1000, 8, "qsort"}};
  extras.weights = {0.25, 0.75};
  extras.whole_instructions = 123456789;
  return extras;
}

std::string Write(uint32_t version, const TraceExtras& extras,
                  absl::Status* set = nullptr) {
  RandomTrace random(1);
  TraceHeader header = TestHeader(1);
  header.version = version;
  std::string bytes;
  auto writer =
      TraceWriter::Create(std::make_unique<StringSink>(&bytes), header);
  EXPECT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE((*writer)->Append(random.Chunk(100, 1)).ok());
  EXPECT_TRUE((*writer)->Mark(0, "a").ok());
  EXPECT_TRUE((*writer)->Mark(50, "b").ok());
  const absl::Status status = (*writer)->SetExtras(extras);
  if (set != nullptr) *set = status;
  EXPECT_TRUE((*writer)->Finish().ok());
  return bytes;
}

TEST(ExtrasTest, ComeBackFromATrace) {
  TraceIndex index;
  const absl::Status status =
      ReadTrace(Write(2, Example()), nullptr, &index, {}, 13);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(index.extras.files.size(), 2);
  EXPECT_EQ(index.extras.files[1].path, "/lib/libc.so.6");
  EXPECT_EQ(index.extras.files[1].bias, 0x7f0000);
  ASSERT_EQ(index.extras.functions.size(), 2);
  EXPECT_EQ(index.extras.functions[1].name, "qsort");
  EXPECT_EQ(index.extras.weights, (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(index.extras.whole_instructions, 123456789);
}

TEST(ExtrasTest, FindsWhatHoldsAnAddress) {
  const TraceExtras extras = Example();
  EXPECT_EQ(extras.FunctionAt(0x4000ff), nullptr);
  EXPECT_EQ(extras.FunctionAt(0x400100)->name, "main");
  EXPECT_EQ(extras.FunctionAt(0x40013f)->name, "main");
  EXPECT_EQ(extras.FunctionAt(0x400140), nullptr);
  EXPECT_EQ(extras.FileAt(0x3fffff), nullptr);
  EXPECT_EQ(extras.FileAt(0x47ffff)->path, "/bin/sort");
  EXPECT_EQ(extras.FileAt(0x480000), nullptr);
}

TEST(ExtrasTest, VersionOneHoldsNone) {
  absl::Status set;
  Write(1, Example(), &set);
  EXPECT_EQ(set.code(), absl::StatusCode::kInvalidArgument);
  const std::string bytes = Write(1, TraceExtras(), &set);
  EXPECT_TRUE(set.ok()) << set;
  EXPECT_EQ(bytes[8], 1);
}

TEST(ExtrasTest, WriterRefusesWhatBreaksTheRules) {
  auto refused = [](void (*damage)(TraceExtras*)) {
    TraceExtras extras = Example();
    damage(&extras);
    absl::Status set;
    Write(2, extras, &set);
    EXPECT_EQ(set.code(), absl::StatusCode::kInvalidArgument) << set;
  };
  refused([](TraceExtras* e) { std::swap(e->files[0], e->files[1]); });
  refused([](TraceExtras* e) { e->files[0].end = 0x7f0001; });
  refused([](TraceExtras* e) { e->files[0].end = e->files[0].begin; });
  refused([](TraceExtras* e) { e->files[0].path.resize(5000); });
  refused([](TraceExtras* e) { e->functions[1].address = 0x400100; });
  refused([](TraceExtras* e) { e->weights.pop_back(); });
  refused([](TraceExtras* e) { e->weights[0] = -1; });
  refused([](TraceExtras* e) {
    e->weights[1] = std::numeric_limits<double>::quiet_NaN();
  });
}

// A newer program may add sections: they are passed over.
TEST(ExtrasTest, UnknownSectionsArePassedOver) {
  std::string bytes;
  EncodeExtras(Example(), &bytes);
  std::string newer;
  PutU32(4, &newer);
  PutU32(0x21212121, &newer);
  PutU32(3, &newer);
  newer += "abc" + bytes.substr(4);
  TraceExtras extras;
  const absl::Status status = ParseExtras(newer, 2, &extras);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(extras.functions.size(), 2);
}

TEST(ExtrasTest, DamageIsNamed) {
  std::string bytes;
  EncodeExtras(Example(), &bytes);
  TraceExtras extras;
  ASSERT_TRUE(ParseExtras(bytes, 2, &extras).ok());
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_EQ(ParseExtras(bytes.substr(0, cut), 2, &extras).code(),
              absl::StatusCode::kDataLoss)
        << cut;
  }
  EXPECT_FALSE(ParseExtras(bytes + "x", 2, &extras).ok());
  EXPECT_FALSE(ParseExtras(bytes, 3, &extras).ok());
  std::string twice;
  PutU32(2, &twice);
  for (int i = 0; i < 2; ++i) {
    PutU32(0x54484757, &twice);
    PutU32(8, &twice);
    PutU64(0, &twice);
  }
  EXPECT_FALSE(ParseExtras(twice, 0, &extras).ok());
  std::string long_name;  // longer than its section
  PutU32(1, &long_name);
  PutU32(0x454c4946, &long_name);
  PutU32(28, &long_name);
  for (int i = 1; i < 4; ++i) PutU64(i, &long_name);
  PutU32(0xffffffff, &long_name);
  EXPECT_THAT(std::string(ParseExtras(long_name, 0, &extras).message()),
              HasSubstr("contradict"));
}

}  // namespace
}  // namespace perfvec::trace
