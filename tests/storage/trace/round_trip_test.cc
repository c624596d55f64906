#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/reader.h"
#include "storage/trace/writer.h"
#include "tests/storage/trace/test_traces.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

TEST(RoundTripTest, RandomTraces) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    RandomTrace random(seed, 1 + 17 * seed);
    const int columns = seed % 4;
    std::vector<TraceChunk> chunks;
    for (const uint32_t size : {1u, 2u, 700u, 3000u}) {
      chunks.push_back(random.Chunk(size, columns));
    }
    const std::vector<IntervalMark> marks = {{0, "all"}, {701, ""}};
    const std::string bytes = WriteTrace(TestHeader(columns), chunks, marks);
    std::vector<TraceChunk> read;
    TraceIndex index;
    const absl::Status status =
        ReadTrace(bytes, &read, &index, {}, seed % 2 ? 13 : SIZE_MAX);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(read.size(), chunks.size());
    for (size_t i = 0; i < chunks.size(); ++i) ExpectSame(chunks[i], read[i]);
    EXPECT_EQ(index.instructions, 3703u);
    ASSERT_EQ(index.marks.size(), 2u);
    EXPECT_EQ(index.marks[0].label, "all");
    EXPECT_EQ(index.marks[1].instruction, 701u);
    // What was read writes the same bytes.
    EXPECT_EQ(WriteTrace(TestHeader(columns), read, marks), bytes);
  }
}

TEST(RoundTripTest, LargestChunk) {
  RandomTrace random(7, 65536);
  std::vector<TraceChunk> chunks = {random.Chunk(kMaxChunkInstructions, 0)};
  std::vector<TraceChunk> read;
  const absl::Status status =
      ReadTrace(WriteTrace(TestHeader(0), chunks), &read);
  ASSERT_TRUE(status.ok()) << status;
  ExpectSame(chunks[0], read[0]);
}

TEST(RoundTripTest, EmptyTrace) {
  TraceIndex index;
  const absl::Status status =
      ReadTrace(WriteTrace(TestHeader(1), {}), nullptr, &index);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(index.instructions, 0u);
}

TEST(RoundTripTest, ChosenLatencyColumns) {
  RandomTrace random(3);
  const std::vector<TraceChunk> chunks = {random.Chunk(500, 4)};
  const std::string bytes = WriteTrace(TestHeader(4), chunks);
  std::vector<TraceChunk> read;
  ColumnSelection selection;
  selection.all = false;
  selection.columns = {3, 1};
  absl::Status status = ReadTrace(bytes, &read, nullptr, selection);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(read[0].latency_tenth_ns.size(), 2u);
  EXPECT_EQ(read[0].latency_tenth_ns[0], chunks[0].latency_tenth_ns[3]);
  EXPECT_EQ(read[0].latency_tenth_ns[1], chunks[0].latency_tenth_ns[1]);
  selection.columns = {4};
  status = ReadTrace(bytes, nullptr, nullptr, selection);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  selection.columns = {1, 1};
  status = ReadTrace(bytes, nullptr, nullptr, selection);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(WriterTest, RefusesWhatNoReaderWouldTake) {
  RandomTrace random(5);
  const TraceChunk good = random.Chunk(10, 1);
  const auto append = [&](const TraceChunk& chunk) {
    std::string bytes;
    auto writer = TraceWriter::Create(std::make_unique<StringSink>(&bytes),
                                      TestHeader(1));
    return (*writer)->Append(chunk);
  };
  EXPECT_TRUE(append(good).ok());
  TraceChunk bad = good;
  bad.block.first_instruction = 5;
  EXPECT_THAT(append(bad).message(), HasSubstr("begins at instruction 5"));
  bad = good;
  bad.latency_tenth_ns.clear();
  EXPECT_THAT(append(bad).message(), HasSubstr("0 latency columns"));
  bad = good;
  bad.latency_tenth_ns[0].pop_back();
  EXPECT_FALSE(append(bad).ok());
  bad = good;
  bad.block.address.pop_back();
  EXPECT_FALSE(append(bad).ok());
  bad = good;
  bad.block.static_index[3] = 1000;
  EXPECT_THAT(append(bad).message(), HasSubstr("static is missing"));
  bad = good;
  bad.block.taken[9] = 2;
  EXPECT_FALSE(append(bad).ok());
  bad = good;
  for (auto& s : bad.block.statics) {
    s.source_count = 1;
    s.sources[0].register_class = 7;
  }
  EXPECT_THAT(append(bad).message(), HasSubstr("register class"));
  bad = good;
  for (auto& s : bad.block.statics) s.flags = 1u << 17;
  EXPECT_FALSE(append(bad).ok());
  EXPECT_FALSE(append(TraceChunk()).ok());

  std::string bytes;
  auto writer =
      TraceWriter::Create(std::make_unique<StringSink>(&bytes), TestHeader(1));
  ASSERT_TRUE((*writer)->Append(good).ok());
  ASSERT_TRUE((*writer)->Mark(4, "a").ok());
  EXPECT_FALSE((*writer)->Mark(4, "b").ok());
  EXPECT_FALSE((*writer)->Mark(5, std::string(257, 'x')).ok());
  ASSERT_TRUE((*writer)->Mark(10, "behind the end").ok());
  EXPECT_FALSE((*writer)->Finish().ok());
}

}  // namespace
}  // namespace perfvec::trace
