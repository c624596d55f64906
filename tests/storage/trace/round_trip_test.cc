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

// A disk with so much room.
class SmallSink : public ByteSink {
 public:
  SmallSink(size_t room, std::string* out) : room_(room), out_(out) {}
  absl::Status Write(absl::string_view bytes) override {
    const size_t fits = std::min(bytes.size(), room_ - out_->size());
    out_->append(bytes.data(), fits);
    return fits == bytes.size() ? absl::OkStatus()
                                : absl::ResourceExhaustedError("full");
  }
  absl::Status Truncate(uint64_t bytes) override {
    out_->resize(bytes);
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  const size_t room_;
  std::string* const out_;
};

TEST(RoundTripTest, WhatThereWasRoomForIsAWholeTrace) {
  RandomTrace random(11);
  TraceHeader header = TestHeader(0);
  header.version = 2;
  std::vector<TraceChunk> chunks;
  for (int i = 0; i < 20; ++i) chunks.push_back(random.Chunk(300, 0));
  const size_t whole = WriteTrace(header, chunks).size();
  int saved = 0;
  for (size_t room = 200; room < whole + 200; room += whole / 50) {
    SCOPED_TRACE(room);
    std::string bytes;
    auto writer =
        TraceWriter::Create(std::make_unique<SmallSink>(room, &bytes), header);
    ASSERT_TRUE(writer.ok()) << writer.status();
    absl::Status full;
    for (const TraceChunk& chunk : chunks) {
      if (full.ok()) full = (*writer)->Append(chunk);
    }
    EXPECT_TRUE((*writer)->Mark(0, "first").ok());
    EXPECT_TRUE((*writer)->Mark(5999, "last").ok());
    TraceExtras extras;
    extras.weights = {0.5, 0.5};
    EXPECT_TRUE((*writer)->SetExtras(extras).ok());
    const auto index = (*writer)->FinishShortened();
    if (!index.ok()) {  // not even an index fits
      EXPECT_LT(room, 600);
      continue;
    }
    ++saved;
    EXPECT_LE(bytes.size(), room);
    EXPECT_EQ(bytes.size(), (*writer)->written_bytes());
    std::vector<TraceChunk> read;
    TraceIndex again;
    const absl::Status status = ReadTrace(bytes, &read, &again);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < read.size(); ++i) ExpectSame(chunks[i], read[i]);
    EXPECT_EQ(again.extras.weights.size(), again.marks.size());
    EXPECT_EQ(again.marks.size(), read.empty() ? 0 : read.size() < 20 ? 1 : 2);
  }
  EXPECT_GT(saved, 40);
}

}  // namespace
}  // namespace perfvec::trace
