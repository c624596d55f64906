// Whatever happens to a .pvt file is noticed, and named for what it is.
#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/byte_pipe.h"
#include "storage/trace/check.h"
#include "storage/trace/chunk_codec.h"
#include "storage/trace/indexed_trace.h"
#include "storage/trace/reader.h"
#include "tests/storage/trace/test_traces.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

constexpr size_t kColumns = 1;

// A trace of three chunks, and where its parts are.
class DamageTest : public ::testing::Test {
 protected:
  DamageTest() {
    RandomTrace random(11, 20);
    std::vector<TraceChunk> chunks;
    for (const uint32_t size : {40u, 1u, 25u}) {
      chunks.push_back(random.Chunk(size, kColumns));
    }
    bytes_ = WriteTrace(TestHeader(kColumns), chunks, {{5, "five"}});
    EXPECT_TRUE(ReadTrace(bytes_, nullptr, &index_).ok());
    index_offset_ = GetU64(bytes_.data() + bytes_.size() - kTrailerBytes);
  }

  static void SetU32(uint32_t value, size_t offset, std::string* bytes) {
    std::string field;
    PutU32(value, &field);
    bytes->replace(offset, 4, field);
  }
  // Makes the checksum of bytes [begin, end) right, which stands at `end`.
  static void FixChecksum(size_t begin, size_t end, std::string* bytes) {
    std::string field;
    PutU64(Checksum(absl::string_view(*bytes).substr(begin, end - begin)),
           &field);
    bytes->replace(end, 8, field);
  }
  std::string WithIndex(const TraceIndex& index) const {
    std::string bytes = bytes_.substr(0, index_offset_);
    EncodeIndex(index, 1, index_offset_, &bytes);
    return bytes;
  }
  static std::string Error(const std::string& bytes) {
    const absl::Status status = ReadTrace(bytes);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(absl::StartsWith(status.message(), "t.pvt: ")) << status;
    return std::string(status.message());
  }
  // The same through the index; empty if nothing was found.
  static absl::Status IndexedStatus(const std::string& bytes) {
    const std::string path =
        absl::StrCat(::testing::TempDir(), "/damage_", ::getpid(), ".pvt");
    std::ofstream(path, std::ios::binary) << bytes;
    absl::Status status = ReadTraceInfo(path).status();
    if (status.ok()) {
      auto trace = IndexedTrace::Open(path);
      TraceChunk chunk;
      for (size_t i = 0; i < (*trace)->index().chunks.size(); ++i) {
        if (status.ok()) status = (*trace)->ReadChunk(i, &chunk);
      }
    }
    ::unlink(path.c_str());
    return status;
  }

  std::string bytes_;
  TraceIndex index_;
  size_t index_offset_ = 0;
};

TEST_F(DamageTest, CutAtEveryByte) {
  for (size_t size = 0; size < bytes_.size(); ++size) {
    const std::string cut = bytes_.substr(0, size);
    const absl::Status status = ReadTrace(cut);
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << size;
    ASSERT_THAT(status.message(),
                HasSubstr(absl::StrCat("cut at byte ", size, ",")));
    ASSERT_FALSE(IndexedStatus(cut).ok()) << size;
  }
  EXPECT_TRUE(IndexedStatus(bytes_).ok());
}

TEST_F(DamageTest, EveryFlippedBitIsDetected) {
  for (size_t bit = 0; bit < 8 * bytes_.size(); ++bit) {
    std::string flipped = bytes_;
    flipped[bit / 8] ^= 1 << (bit % 8);
    const absl::Status status = ReadTrace(flipped);
    ASSERT_FALSE(status.ok()) << "bit " << bit % 8 << " of byte " << bit / 8;
    // A flip in a length may look like a cut; anything else is damage.
    ASSERT_TRUE(absl::StrContains(status.message(), "damaged") ||
                absl::StrContains(status.message(), "not a .pvt trace") ||
                absl::StrContains(status.message(), "cut at"))
        << status;
  }
}

TEST_F(DamageTest, EachFaultHasItsName) {
  std::string bad = bytes_;
  bad[1] = 'Q';
  EXPECT_THAT(Error(bad), HasSubstr("not a .pvt trace"));
  EXPECT_THAT(Error("0 -1 80000 3000"), HasSubstr("not a .pvt trace"));

  bad = bytes_;
  SetU32(3, 8, &bad);
  EXPECT_EQ(ReadTrace(bad).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Error(bad), HasSubstr("byte 8: format version 3, but this "
                                    "program reads versions 1 to 2"));

  bad = bytes_ + "x";
  EXPECT_THAT(Error(bad), HasSubstr(absl::StrCat("ends at byte ", bytes_.size(),
                                                 ", but the file goes on")));

  const size_t chunk = index_.chunks[1].offset;
  bad = bytes_;
  bad[chunk] ^= 1;
  EXPECT_THAT(Error(bad), HasSubstr(absl::StrCat(
                              "byte ", chunk, ": damaged: expected a chunk")));
  bad = bytes_;
  bad[chunk + 30] ^= 1;
  EXPECT_THAT(Error(bad),
              HasSubstr(absl::StrCat("chunk 1 (byte ", chunk,
                                     ", instruction 40): damaged: the checksum "
                                     "of its header")));
  bad = bytes_;
  bad[index_offset_ - 1] ^= 1;
  EXPECT_THAT(Error(bad), HasSubstr("chunk 2"));
  EXPECT_THAT(Error(bad), HasSubstr("damaged: the checksum of its section 16"));
  bad = bytes_;
  bad[index_offset_ + 9] ^= 1;
  EXPECT_THAT(Error(bad), HasSubstr("damaged: the index's checksum"));
}

TEST_F(DamageTest, WrongCounts) {
  TraceIndex index = index_;
  index.instructions += 1;
  EXPECT_THAT(Error(WithIndex(index)),
              HasSubstr("wrong count: the index says 67 instructions, but its "
                        "chunks add up to 66"));
  index = index_;
  index.chunks[0].instructions += 1;
  index.chunks[2].instructions -= 1;
  EXPECT_THAT(Error(WithIndex(index)),
              HasSubstr("wrong count: it says that chunk 0 has 41"));
  EXPECT_THAT(IndexedStatus(WithIndex(index)).message(),
              HasSubstr("wrong count"));
  index = index_;
  index.chunks.pop_back();
  index.instructions -= 25;
  EXPECT_THAT(Error(WithIndex(index)),
              HasSubstr("wrong count: it says 41 instructions in 2 chunks, but "
                        "the file holds 66 in 3"));
  index = index_;
  index.chunks[1].offset += 1;
  EXPECT_THAT(Error(WithIndex(index)), HasSubstr("wrong count"));
  EXPECT_FALSE(IndexedStatus(WithIndex(index)).ok());
  index = index_;
  index.total_time_tenth_ns[0] += 1;
  EXPECT_THAT(Error(WithIndex(index)),
              HasSubstr("wrong count: it says that latency column 0"));
  index = index_;
  index.marks[0].instruction = 66;
  EXPECT_THAT(Error(WithIndex(index)), HasSubstr("contradict"));
  // A chunk left out: the next one does not begin where the last one ended.
  const std::string bad = bytes_.substr(0, index_.chunks[1].offset) +
                          bytes_.substr(index_.chunks[2].offset);
  EXPECT_THAT(Error(bad), HasSubstr("wrong count: it should begin at "
                                    "instruction 40, but says 41"));
}

TEST_F(DamageTest, OversizeLengthsAreRefusedBeforeTheyAreBelieved) {
  std::string bad = bytes_;
  SetU32(0xffffffff, 12, &bad);
  EXPECT_THAT(Error(bad), HasSubstr("byte 12: damaged: a header of"));

  bad = bytes_;
  SetU32(0xffffffff, index_offset_ + 4, &bad);
  EXPECT_THAT(Error(bad), HasSubstr("damaged: it says to have 4294967295"));
  // Within the bound, but more than is there: memory grows only as bytes come.
  SetU32(kMaxIndexBytes, index_offset_ + 4, &bad);
  EXPECT_THAT(Error(bad), HasSubstr("cut at byte"));

  const size_t chunk = index_.chunks[0].offset;
  const size_t checksum = chunk + ChunkHeaderBytes(kColumns) - 8;
  for (size_t section = 0; section < kInstructionSections + kColumns;
       ++section) {
    for (const size_t field : {0, 4}) {
      bad = bytes_;
      SetU32(0x7fffffff, chunk + 16 + 16 * section + field, &bad);
      FixChecksum(chunk, checksum, &bad);
      EXPECT_THAT(Error(bad),
                  HasSubstr(absl::StrCat("its section ", section, " has")));
    }
  }
  bad = bytes_;
  SetU32(kMaxChunkInstructions + 1, chunk + 4, &bad);
  FixChecksum(chunk, checksum, &bad);
  EXPECT_THAT(Error(bad), HasSubstr("holds 65537 instructions, but 1 to"));
  // A section that decompresses to another size than it says.
  bad = bytes_;
  SetU32(GetU32(bad.data() + chunk + 16) + 1, chunk + 16, &bad);
  FixChecksum(chunk, checksum, &bad);
  EXPECT_THAT(Error(bad), HasSubstr("instead of"));
}

// Decodes a chunk whose sections were changed behind the checksums' back.
absl::Status DecodeMutated(const SectionBytes& sections, uint32_t count,
                           InstructionBlock* block) {
  SectionViews views;
  for (int i = 0; i < kInstructionSections; ++i) views[i] = sections[i];
  return DecodeInstructions(views, count, block);
}

TEST(MutationTest, DecoderTakesAnyBytes) {
  const uint64_t seed = 20240517;
  std::mt19937_64 random(seed);
  int decoded = 0, refused = 0;
  for (int round = 0; round < 30000; ++round) {
    SCOPED_TRACE(absl::StrCat("seed ", seed, " round ", round));
    RandomTrace trace(round % 7, 30);
    const uint32_t count = 1 + random() % 120;
    SectionBytes sections;
    ASSERT_TRUE(
        EncodeInstructions(trace.Chunk(count, 0).block, &sections).ok());
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      std::string& s = sections[random() % kInstructionSections];
      const size_t at = s.empty() ? 0 : random() % s.size();
      switch (random() % 4) {
        case 0:
          s.insert(at, 1 + random() % 3, static_cast<char>(random()));
          break;
        case 1:
          if (!s.empty()) s.erase(at, 1 + random() % 5);
          break;
        case 2:
          if (!s.empty()) s[at] = random();
          break;
        default:
          if (!s.empty()) s[at] ^= 1 << (random() % 8);
      }
    }
    InstructionBlock block;
    const uint32_t asked = random() % 5 ? count : 1 + random() % 120;
    const absl::Status status = DecodeMutated(sections, asked, &block);
    if (!status.ok()) {
      ++refused;
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      continue;
    }
    ++decoded;
    ASSERT_EQ(block.size(), asked);
    for (const uint32_t index : block.static_index) {
      ASSERT_LT(index, block.statics.size());
    }
    // What it took is a block that can be written again.
    ASSERT_TRUE(EncodeInstructions(block, &sections).ok());
    InstructionBlock again;
    ASSERT_TRUE(DecodeMutated(sections, asked, &again).ok());
    ASSERT_EQ(again.address, block.address);
    ASSERT_EQ(again.taken, block.taken);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(decoded, 1000);
}

TEST(MutationTest, LatencyDecoderTakesAnyBytes) {
  std::vector<uint32_t> latency;
  EXPECT_FALSE(DecodeLatency("", 1, &latency).ok());
  EXPECT_TRUE(DecodeLatency(std::string("\1\2", 2), 1, &latency).ok());
  EXPECT_FALSE(DecodeLatency("\xff\xff", 1, &latency).ok());
  EXPECT_FALSE(DecodeLatency("\xff\xff\1\2\3", 1, &latency).ok());
  EXPECT_TRUE(DecodeLatency("\xff\xff\1\2\3\4", 1, &latency).ok());
  EXPECT_EQ(latency[0], 0x04030201u);
  EXPECT_FALSE(DecodeLatency("\xff\xff\1\2\3\4\5", 1, &latency).ok());
  EXPECT_FALSE(DecodeLatency("\1\2\3", 1, &latency).ok());
}

TEST_F(DamageTest, ASourceErrorIsPassedOn) {
  auto pipe = std::make_shared<BytePipe>("upload", 1 << 20);
  ASSERT_TRUE(pipe->Write(absl::string_view(bytes_).substr(0, 300)).ok());
  pipe->CloseWrite(absl::UnavailableError("the connection broke"));
  auto reader = TraceReader::Open(BytePipe::ReadEnd(pipe));
  absl::Status status = reader.status();
  TraceChunk chunk;
  for (int i = 0; i < 2 && status.ok(); ++i) {
    status = (*reader)->Next(&chunk).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace perfvec::trace
