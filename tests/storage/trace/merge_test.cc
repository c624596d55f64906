#include "storage/trace/merge.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "storage/trace/indexed_trace.h"
#include "storage/trace/writer.h"
#include "tests/storage/trace/test_traces.h"

namespace perfvec::trace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MergeTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) {
    return ::testing::TempDir() + "/merge." + std::to_string(getpid()) + "." +
           name;
  }

  // The instructions of `chunks` with latency columns of these names.
  std::string Write(const std::string& name,
                    const std::vector<TraceChunk>& chunks,
                    std::vector<std::string> columns,
                    const std::vector<IntervalMark>& marks = {}) {
    TraceHeader header;
    header.tool = "test";
    header.command = "run " + name;
    header.latency_columns = std::move(columns);
    std::ofstream(Path(name), std::ios::binary)
        << WriteTrace(header, chunks, marks);
    return Path(name);
  }

  absl::Status Merge(std::vector<std::string> inputs,
                     MergeReport* report = nullptr, bool allow_loss = false) {
    MergeOptions options;
    options.inputs = std::move(inputs);
    options.output = Path("out.pvt");
    options.tool = "merger";
    options.allow_loss = allow_loss;
    auto merged = MergeTraces(options);
    if (merged.ok() && report != nullptr) *report = *merged;
    return merged.status();
  }

  void ExpectRefused(std::vector<std::string> inputs,
                     const std::string& words) {
    ::unlink(Path("out.pvt").c_str());
    const absl::Status status = Merge(std::move(inputs));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    EXPECT_NE(::access(Path("out.pvt").c_str(), F_OK), 0);
    EXPECT_NE(::access(Path("out.pvt.partial").c_str(), F_OK), 0);
  }
};

// The chunk with other latencies, as another machine gives them.
TraceChunk OnAnother(const TraceChunk& chunk, uint32_t add, int columns) {
  TraceChunk other = chunk;
  other.latency_tenth_ns.assign(columns, chunk.latency_tenth_ns[0]);
  for (auto& column : other.latency_tenth_ns) {
    for (uint32_t& v : column) v = v / 2 + add++ % 7;
  }
  return other;
}

TEST_F(MergeTest, JoinsColumnsAcrossDifferentChunkBoundaries) {
  RandomTrace random(3);
  const TraceChunk whole = random.Chunk(1000, 1);
  // The same 1000 instructions in chunks of 300.
  std::vector<TraceChunk> pieces;
  const TraceChunk other = OnAnother(whole, 5, 2);
  for (size_t at = 0; at < 1000; at += 300) {
    const size_t n = std::min<size_t>(300, 1000 - at);
    BlockBuilder builder(n);
    TraceChunk piece;
    for (size_t i = at; i < at + n; ++i) {
      builder.Append(whole.block.statics[whole.block.static_index[i]],
                     whole.block.address[i], whole.block.taken[i]);
    }
    piece.block = builder.Take();
    piece.block.first_instruction = at;
    for (const auto& column : other.latency_tenth_ns) {
      piece.latency_tenth_ns.emplace_back(column.begin() + at,
                                          column.begin() + at + n);
    }
    pieces.push_back(piece);
  }
  const std::string a = Write("a", {whole}, {"one"}, {{100, "mark"}});
  const std::string b = Write("b", pieces, {"two", "three"});
  MergeReport report;
  ASSERT_TRUE(Merge({a, b}, &report).ok());
  EXPECT_EQ(report.left_out, 0);
  EXPECT_EQ(report.placeholders, 0);
  auto merged = IndexedTrace::Open(Path("out.pvt"));
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_THAT((*merged)->header().latency_columns,
              ElementsAre("one", "two", "three"));
  EXPECT_EQ((*merged)->header().tool, "merger");
  EXPECT_EQ((*merged)->header().command, "run a");
  ASSERT_EQ((*merged)->index().marks.size(), 1);
  TraceChunk chunk, expected = whole;
  ASSERT_TRUE((*merged)->ReadChunk(0, &chunk).ok());
  expected.latency_tenth_ns.insert(expected.latency_tenth_ns.end(),
                                   other.latency_tenth_ns.begin(),
                                   other.latency_tenth_ns.end());
  ExpectSame(expected, chunk);

  // The other way round too, where the first has the small chunks.
  ASSERT_TRUE(Merge({b, a}).ok());
  merged = IndexedTrace::Open(Path("out.pvt"));
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ((*merged)->index().chunks.size(), 4);
  EXPECT_EQ((*merged)->index().instructions, 1000);
}

TEST_F(MergeTest, EndsWithTheShortestAndRefusesToLoseMuch) {
  RandomTrace random(4);
  const TraceChunk whole = random.Chunk(1000, 1);
  const auto first = [&](size_t n) {
    BlockBuilder builder(n);
    TraceChunk piece;
    for (size_t i = 0; i < n; ++i) {
      builder.Append(whole.block.statics[whole.block.static_index[i]],
                     whole.block.address[i], whole.block.taken[i]);
    }
    piece.block = builder.Take();
    piece.latency_tenth_ns = whole.latency_tenth_ns;
    piece.latency_tenth_ns[0].resize(n);
    return piece;
  };
  const std::string a = Write("a", {whole}, {"one"});
  const std::string b = Write("b", {first(995)}, {"two"});
  const std::string c = Write("c", {first(900)}, {"three"});
  MergeReport report;
  ASSERT_TRUE(Merge({a, b}, &report).ok());
  EXPECT_EQ(report.index.instructions, 995);
  EXPECT_EQ(report.left_out, 5);
  ExpectRefused({a, c}, "expected about 1000 instructions");
  ASSERT_TRUE(Merge({a, c}, &report, /*allow_loss=*/true).ok());
  EXPECT_EQ(report.index.instructions, 900);
  EXPECT_EQ(report.left_out, 100);
}

TEST_F(MergeTest, TakesPlaceholdersAndStoreQueueNumbersForTheSame) {
  RandomTrace random(5);
  const TraceChunk chunk = random.Chunk(500, 1);
  TraceChunk other = chunk;
  for (StaticInstruction& s : other.block.statics) {
    s.flags ^= kHasStoreQueueIndex;
  }
  StaticInstruction& unknown =
      other.block.statics[other.block.static_index[40]];
  const uint32_t unknown_index = other.block.static_index[40];
  unknown = {};
  unknown.flags = kPlaceholder;
  unknown.op_class = -1;
  unknown.pc = 12;
  uint64_t placeholders = 0;
  for (size_t i = 0; i < 500; ++i) {
    if (other.block.static_index[i] != unknown_index) continue;
    other.block.address[i] = 0;
    other.block.taken[i] = 0;
    placeholders +=
        (chunk.block.statics[unknown_index].flags & kPlaceholder) == 0;
  }
  MergeReport report;
  ASSERT_TRUE(
      Merge({Write("a", {chunk}, {"one"}), Write("b", {other}, {"two"})},
            &report)
          .ok());
  EXPECT_EQ(report.placeholders, placeholders);
}

TEST_F(MergeTest, ComparesAddressesWhereBothHaveThem) {
  RandomTrace random(8);
  const TraceChunk chunk = random.Chunk(500, 1);
  TraceChunk other = chunk;
  for (StaticInstruction& s : other.block.statics) {
    s.flags &= ~kHasAddress;
    s.access_size = 0;
  }
  for (uint64_t& address : other.block.address) address = 0;
  const std::string a = Write("a", {chunk}, {"one"});
  const std::string b = Write("b", {other}, {"two"});
  EXPECT_TRUE(Merge({a, b}).ok());
  EXPECT_TRUE(Merge({b, a}).ok());
  // Everything else still is.
  for (StaticInstruction& s : other.block.statics) {
    if (s.flags & kPlaceholder) continue;
    s.flags ^= kAtomic;
    break;
  }
  ExpectRefused({a, Write("b", {other}, {"two"})}, "expected pc");
}

TEST_F(MergeTest, NamesTheFirstInstructionThatDiffers) {
  RandomTrace random(6);
  TraceChunk first = random.Chunk(400, 1), second = random.Chunk(400, 1);
  // No placeholders here: they would match anything.
  for (TraceChunk* chunk : {&first, &second}) {
    for (StaticInstruction& s : chunk->block.statics) s.flags &= ~kPlaceholder;
  }
  const std::string a = Write("a", {first, second}, {"one"});
  const auto with = [&](auto change) {
    TraceChunk changed = second;
    change(changed.block);
    return Write("b", {first, changed}, {"two"});
  };
  ExpectRefused({a, with([](InstructionBlock& b) { b.taken[17] ^= 1; })},
                "instruction 417: expected pc 0x");
  ExpectRefused({a, with([](InstructionBlock& b) {
                   for (size_t i = 0;; ++i) {
                     if (b.statics[b.static_index[i]].flags & kHasAddress) {
                       b.address[i] ^= 64;
                       return;
                     }
                   }
                 })},
                "not of the same execution");
  ExpectRefused({a, with([](InstructionBlock& b) {
                   StaticInstruction& s = b.statics[b.static_index[0]];
                   s.op_class = s.op_class == 1 ? 2 : 1;
                 })},
                "instruction 400: ");
}

TEST_F(MergeTest, RefusesWhatCannotBeMerged) {
  RandomTrace random(7);
  const TraceChunk chunk = random.Chunk(100, 1);
  TraceChunk bare = chunk;
  bare.latency_tenth_ns.clear();
  const std::string a = Write("a", {chunk}, {"one"});
  const std::string bare_path = Write("bare", {bare}, {});
  ExpectRefused({a}, "two or more");
  ExpectRefused({a, a}, "the latency column one is also in");
  ExpectRefused({a, bare_path}, "no latency column");
  ASSERT_TRUE(Merge({bare_path, a}).ok());
  // Cut and missing files are told by the reader.
  const std::string cut = Write("cut", {chunk}, {"two"});
  ASSERT_EQ(::truncate(cut.c_str(), 500), 0);
  EXPECT_EQ(Merge({a, cut}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Merge({a, Path("missing")}).code(), absl::StatusCode::kNotFound);
}

TEST_F(MergeTest, KeepsFunctionsAndWeightsOfTheFirst) {
  RandomTrace random(8);
  const TraceChunk chunk = random.Chunk(1000, 1);
  TraceHeader header;
  header.version = 2;
  header.latency_columns = {"a"};
  std::string bytes;
  auto writer =
      TraceWriter::Create(std::make_unique<StringSink>(&bytes), header);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append(chunk).ok());
  ASSERT_TRUE((*writer)->Mark(0, "first").ok());
  ASSERT_TRUE((*writer)->Mark(995, "last").ok());
  TraceExtras extras;
  extras.functions = {{0x400100, 64, "main"}};
  extras.weights = {0.25, 0.75};
  ASSERT_TRUE((*writer)->SetExtras(extras).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  std::ofstream(Path("a"), std::ios::binary) << bytes;
  // The other is shorter, and the last mark goes with what is lost.
  TraceChunk shorter = OnAnother(chunk, 5, 1);
  shorter.block.static_index.resize(994);
  shorter.block.address.resize(994);
  shorter.block.taken.resize(994);
  shorter.latency_tenth_ns[0].resize(994);
  ASSERT_TRUE(Merge({Path("a"), Write("b", {shorter}, {"b"})}).ok());
  auto merged = IndexedTrace::Open(Path("out.pvt"));
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ((*merged)->header().version, 2);
  const TraceIndex& index = (*merged)->index();
  EXPECT_EQ(index.instructions, 994);
  ASSERT_EQ(index.extras.functions.size(), 1);
  EXPECT_EQ(index.extras.functions[0].name, "main");
  EXPECT_EQ(index.marks.size(), 1);
  EXPECT_EQ(index.extras.weights, (std::vector<double>{0.25}));
}

}  // namespace
}  // namespace perfvec::trace
