// Traces for tests of the trace format: random ones, and their bytes.
#ifndef PERFVEC_TESTS_STORAGE_TRACE_TEST_TRACES_H_
#define PERFVEC_TESTS_STORAGE_TRACE_TEST_TRACES_H_

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "storage/trace/block_builder.h"
#include "storage/trace/reader.h"
#include "storage/trace/writer.h"

namespace perfvec::trace {

// A random program: a few hundred statics with every field in use, walked with
// loops, calls and data accesses of all kinds.
class RandomTrace {
 public:
  explicit RandomTrace(uint64_t seed, int statics = 300) : random_(seed) {
    for (int i = 0; i < statics; ++i) {
      StaticInstruction s;
      s.pc = Below(4) == 0 ? random_() : 0x400000 + 4 * i;
      s.flags = random_() & ((kPlaceholder << 1) - 1);
      s.access_size = Below(2) ? random_() : Below(64);
      if (!(s.flags & kHasAddress)) s.access_size = 0;
      s.op_class = static_cast<int>(Below(32769)) - 1;
      s.source_count = Below(kMaxSourceRegisters + 1);
      s.destination_count = Below(kMaxDestinationRegisters + 1);
      for (int k = 0; k < s.source_count; ++k) s.sources[k] = AnyRegister();
      for (int k = 0; k < s.destination_count; ++k) {
        s.destinations[k] = AnyRegister();
      }
      statics_.push_back(s);
    }
  }

  TraceChunk Chunk(uint32_t instructions, int latency_columns) {
    BlockBuilder builder(instructions);
    while (!builder.full()) {
      const uint64_t kind = Below(20);
      at_ = kind == 0   ? Below(statics_.size())
            : kind == 1 ? at_ - std::min<size_t>(at_, 12)
                        : (at_ + 1) % statics_.size();
      const StaticInstruction& s = statics_[at_];
      if (s.flags & kHasAddress) {
        const uint64_t access = Below(10);
        address_ = access == 0   ? random_()
                   : access == 1 ? address_ + (random_() >> Below(64))
                                 : address_ + 8;
      }
      builder.Append(s, s.flags & kHasAddress ? address_ : 0, Below(5) == 0);
    }
    TraceChunk chunk;
    chunk.block = builder.Take();
    chunk.block.first_instruction = position_;
    position_ += instructions;
    chunk.latency_tenth_ns.resize(latency_columns);
    for (auto& column : chunk.latency_tenth_ns) {
      for (uint32_t i = 0; i < instructions; ++i) {
        const uint64_t kind = Below(50);
        column.push_back(kind == 0   ? random_()
                         : kind == 1 ? 65533 + Below(5)
                                     : Below(100));
      }
    }
    return chunk;
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }
  Register AnyRegister() {
    Register r;
    r.register_class = Below(kMaxRegisterClass + 1);
    r.index = Below(3) ? Below(40) : Below(65536);
    return r;
  }

  std::mt19937_64 random_;
  std::vector<StaticInstruction> statics_;
  size_t at_ = 0;
  uint64_t address_ = 1 << 20;
  uint64_t position_ = 0;
};

inline TraceHeader TestHeader(int latency_columns) {
  TraceHeader header;
  header.tool = "test";
  header.command = "none";
  header.date = "2024-01-01T00:00:00Z";
  for (int i = 0; i < latency_columns; ++i) {
    header.latency_columns.push_back("arch_" + std::to_string(i));
  }
  return header;
}

inline std::string WriteTrace(const TraceHeader& header,
                              const std::vector<TraceChunk>& chunks,
                              const std::vector<IntervalMark>& marks = {}) {
  std::string bytes;
  auto writer =
      TraceWriter::Create(std::make_unique<StringSink>(&bytes), header);
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const TraceChunk& chunk : chunks) {
    absl::Status status = (*writer)->Append(chunk);
    EXPECT_TRUE(status.ok()) << status;
  }
  for (const IntervalMark& mark : marks) {
    absl::Status status = (*writer)->Mark(mark.instruction, mark.label);
    EXPECT_TRUE(status.ok()) << status;
  }
  auto index = (*writer)->Finish();
  EXPECT_TRUE(index.ok()) << index.status();
  return bytes;
}

// Reads to the end; the status is that of the first error.
inline absl::Status ReadTrace(const std::string& bytes,
                              std::vector<TraceChunk>* chunks = nullptr,
                              TraceIndex* index = nullptr,
                              ColumnSelection selection = {},
                              size_t piece_bytes = SIZE_MAX) {
  auto reader = TraceReader::Open(
      std::make_unique<StringSource>(bytes, "t.pvt", piece_bytes), selection);
  if (!reader.ok()) return reader.status();
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (chunks != nullptr) chunks->push_back(chunk);
  }
  if (index != nullptr) *index = (*reader)->index();
  return absl::OkStatus();
}

// The same instructions; the statics may stand in another order.
inline void ExpectSame(const TraceChunk& a, const TraceChunk& b) {
  ASSERT_EQ(a.block.first_instruction, b.block.first_instruction);
  ASSERT_EQ(a.block.size(), b.block.size());
  ASSERT_EQ(a.block.address, b.block.address);
  ASSERT_EQ(a.block.taken, b.block.taken);
  ASSERT_EQ(a.latency_tenth_ns, b.latency_tenth_ns);
  for (size_t i = 0; i < a.block.size(); ++i) {
    ASSERT_EQ(a.block.statics.at(a.block.static_index[i]),
              b.block.statics.at(b.block.static_index[i]))
        << "instruction " << i;
  }
}

}  // namespace perfvec::trace

#endif  // PERFVEC_TESTS_STORAGE_TRACE_TEST_TRACES_H_
