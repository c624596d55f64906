#include "storage/import/gem5_importer.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

struct Imported {
  absl::Status status;
  std::vector<StaticInstruction> instructions;
  std::vector<uint64_t> address;
  std::vector<int> taken;
  std::vector<uint32_t> latency_tenth_ns;
  Gem5ImportSummary summary;
};

Imported Import(std::unique_ptr<ByteSource> trace,
                std::unique_ptr<ByteSource> stores,
                Gem5ImportOptions options = {}) {
  Gem5Importer importer(std::move(trace), std::move(stores), options);
  Imported result;
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = importer.Next(&chunk);
    result.status = more.status();
    if (!more.ok() || !*more) break;
    const InstructionBlock& block = chunk.block;
    EXPECT_EQ(block.first_instruction, result.instructions.size());
    EXPECT_GT(block.size(), 0u);
    for (size_t i = 0; i < block.size(); ++i) {
      result.instructions.push_back(block.statics.at(block.static_index[i]));
      result.address.push_back(block.address.at(i));
      result.taken.push_back(block.taken.at(i));
    }
    if (!chunk.latency_tenth_ns.empty()) {
      const auto& column = chunk.latency_tenth_ns[0];
      EXPECT_EQ(column.size(), block.size());
      result.latency_tenth_ns.insert(result.latency_tenth_ns.end(),
                                     column.begin(), column.end());
    }
  }
  result.summary = importer.summary();
  return result;
}

Imported Import(const std::string& trace, const std::string& stores,
                Gem5ImportOptions options = {}) {
  return Import(std::make_unique<StringSource>(trace, "t.txt", 7),
                std::make_unique<StringSource>(stores, "t.sq.txt", 5), options);
}

std::unique_ptr<ByteSource> Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<ByteSource>> source = OpenFileSource(path);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? *std::move(source) : nullptr;
}

// The parts of a line behind the leading numbers.
constexpr char kAdd[] =
    " 1 0 0 0 0 0 0 0 0 0 0 0 0 0  0 0 0 -1 -1 -1 -1 0 0 0 0 0 0  4000 0 0 0 "
    "-1 -1 -1 0 0 0 0 0  2 1  0 2 6 509  0 7\n";
constexpr char kStore[] =
    " 48 1 0 0 0 0 0 0 0 0 0 0 0 0  1 18446744073709551615 8 2 -1 -1 -1 0 0 0 "
    "0 0 0  4004 0 0 -1 -1 -1 -1 0 0 0 0 0  1 0  0 35 \n";
constexpr char kExclusive[] =
    " 48 0 0 0 0 0 0 0 0 1 0 0 0 0  1 640 4 0 -1 -1 -1 0 0 0 0 0 0  4008 0 0 "
    "-1 -1 -1 -1 0 0 0 0 0  1 1  0 2  0 17\n";
constexpr char kAtomicAdd[] =
    " 48 0 0 0 0 0 0 0 1 0 1 1 0 1  1 704 4 0 -1 -1 -1 0 0 0 0 0 0  4012 0 0 "
    "-1 -1 -1 -1 0 0 0 0 0  1 1  0 2  0 17\n";

TEST(Gem5ImporterTest, JoinsAStoreAndComputesLatencies) {
  const Imported r = Import(
      absl::StrCat("0 -1 1000 250 500 1 2 3 4", kAdd,
                   "0 1 1100 500 600 1 2 3 4\n", "0 -1 1200 99 1050 1 2 3 4",
                   kAdd, "0 -1 1200 99 8888 1 2 3 4", kAdd),
      absl::StrCat("0 1 1100 500 600 1 2 3 4 700 2199", kStore));
  ASSERT_TRUE(r.status.ok()) << r.status;
  ASSERT_EQ(r.instructions.size(), 4u);
  const StaticInstruction& add = r.instructions[0];
  EXPECT_EQ(add.pc, 4000u);
  EXPECT_EQ(add.op_class, 1);
  EXPECT_EQ(add.flags, 0u);
  ASSERT_EQ(add.source_count, 2);
  EXPECT_EQ(add.sources[1], (Register{6, 509}));
  ASSERT_EQ(add.destination_count, 1);
  EXPECT_EQ(add.destinations[0], (Register{0, 7}));
  EXPECT_EQ(r.instructions[2], add);
  const StaticInstruction& store = r.instructions[1];
  EXPECT_EQ(store.op_class, kStoreOpClass);
  EXPECT_EQ(store.flags, kMicroOp | kHasAddress | kHasStoreQueueIndex);
  EXPECT_EQ(store.access_size, 8u);
  EXPECT_EQ(r.address[1], 18446744073709551615u);
  // 10+5; 11+21 - 15; 12+10 is before; 12+88 - 32.
  EXPECT_EQ(r.latency_tenth_ns, (std::vector<uint32_t>{15, 17, 0, 68}));
  EXPECT_TRUE(r.summary.has_timing);
  EXPECT_EQ(r.summary.total_time_tenth_ns, 100u);
}

TEST(Gem5ImporterTest, ZeroTicksMeanNoTiming) {
  const Imported r = Import(absl::StrCat("0 -1 0 0 0 0 0 0 0", kAdd), "");
  ASSERT_TRUE(r.status.ok()) << r.status;
  EXPECT_FALSE(r.summary.has_timing);
  EXPECT_TRUE(r.latency_tenth_ns.empty());
  const Imported mixed = Import(
      absl::StrCat("0 -1 0 0 0 0 0 0 0", kAdd, "0 -1 500 0 0 0 0 0 0", kAdd),
      "");
  EXPECT_THAT(mixed.status.message(), HasSubstr("t.txt line 2: has ticks"));
}

TEST(Gem5ImporterTest, InOrderOddities) {
  const std::string trace = absl::StrCat(
      // Inline, with its two store times.
      "0 0 100 500 600 1 2 3 4 700 900", kExclusive,
      // In the store file with another index, and -1 for its times.
      "0 0 200 500 600 1 2 3 4\n",
      // Whole here, and once more in the store file.
      "0 -1 300 500 600 1 2 3 4", kAtomicAdd,
      // Inline without an index: an atomic without barriers.
      "0 -1 350 500 600 1 2 3 4 700 6000", kAtomicAdd,
      // A fault: whole, and nowhere else.
      "1 0 400 500 600 1 2 3 4", kStore, "0 7 500 500 600 1 2 3 4\n");
  const std::string stores =
      absl::StrCat("0 5 200 -1 -1 1 2 3 4 700 1000", kExclusive,
                   "0 6 300 500 600 1 2 3 4 700 5000", kAtomicAdd,
                   "0 7 500 500 600 1 2 3 4 700 800", kStore);
  const Imported r = Import(trace, stores);
  ASSERT_TRUE(r.status.ok()) << r.status;
  ASSERT_EQ(r.instructions.size(), 6u);
  EXPECT_EQ(r.latency_tenth_ns, (std::vector<uint32_t>{10, 2, 41, 10, 0, 0}));
  EXPECT_EQ(r.instructions[0], r.instructions[1]);
  EXPECT_EQ(r.instructions[2].flags & kHasStoreQueueIndex, 0u);
  EXPECT_EQ(r.instructions[3], r.instructions[2]);
  EXPECT_EQ(r.instructions[4].flags & kFault, kFault);
  EXPECT_EQ(r.summary.stores, 2u);
  EXPECT_EQ(r.summary.dropped_stores, 0u);
}

TEST(Gem5ImporterTest, MissingExclusiveIsAnErrorOrAPlaceholder) {
  const std::string trace =
      absl::StrCat("0 -1 100 500 600 1 2 3 4", kAdd,
                   "0 0 200 500 600 1 2 3 4\n0 7 500 500 600 1 2 3 4\n");
  const std::string stores =
      absl::StrCat("0 7 500 500 600 1 2 3 4 700 800", kStore);
  EXPECT_THAT(Import(trace, stores).status.message(),
              HasSubstr("t.txt line 2: the store with sq_index 0 and "
                        "fetch_tick 200 is missing"));
  Gem5ImportOptions options;
  options.insert_placeholders = true;
  const Imported r = Import(trace, stores, options);
  ASSERT_TRUE(r.status.ok()) << r.status;
  ASSERT_EQ(r.instructions.size(), 3u);
  EXPECT_EQ(r.instructions[1].op_class, -1);
  EXPECT_EQ(r.instructions[1].pc, 4004u);
  EXPECT_TRUE(r.instructions[1].flags & kPlaceholder);
  EXPECT_EQ(r.summary.placeholders, 1u);
}

TEST(Gem5ImporterTest, StopsWhereTheSimulationStopped) {
  const std::string lead = "0 -1 100 500 600 1 2 3 4";
  // Cut lines at the end of both files; a store still in the queue.
  const std::string store = absl::StrCat("0 1 100 5 6 1 2 3 4 7 8", kStore);
  const Imported r =
      Import(absl::StrCat(lead, kAdd, "0 1 100 5 6 1 2 3 4\n", lead, kAdd,
                          "0 2 100 5 6 1 2 3 4\n", lead, kAdd, "0 -1 100 50"),
             absl::StrCat(store, store.substr(0, 60)));
  ASSERT_TRUE(r.status.ok()) << r.status;
  EXPECT_EQ(r.instructions.size(), 3u);
  EXPECT_EQ(r.summary.dropped_instructions, 2u);
  EXPECT_TRUE(r.summary.cut_trace_line);
  EXPECT_TRUE(r.summary.cut_store_line);
  const Imported late = Import(absl::StrCat(lead, kAdd), store);
  ASSERT_TRUE(late.status.ok()) << late.status;
  EXPECT_EQ(late.summary.dropped_stores, 1u);
}

TEST(Gem5ImporterTest, FilesOfDifferentRunsAreRefused) {
  const std::string lead = "0 -1 100 500 600 1 2 3 4";
  std::string stores;
  for (int i = 0; i < 2000; ++i) {
    absl::StrAppend(&stores, "0 1 100 5 6 1 2 3 4 7 8", kStore);
  }
  EXPECT_THAT(Import(absl::StrCat(lead, kAdd), stores).status.message(),
              HasSubstr("the trace file is cut"));
  std::string trace;
  for (int i = 0; i < 2000; ++i) {
    absl::StrAppend(&trace, "0 1 100 5 6 1 2 3 4\n");
  }
  EXPECT_THAT(Import(trace, "").status.message(),
              HasSubstr("the store file is cut"));
  EXPECT_THAT(Import("0 3 100 5 6 1 2 3 4\n", stores).status.message(),
              HasSubstr("are the two files of the same run?"));
}

TEST(Gem5ImporterTest, BadLinesAreNamed) {
  const std::string good = absl::StrCat("0 -1 100 500 600 1 2 3 4", kAdd);
  const auto error = [&](const std::string& bad) {
    const Imported r = Import(good + bad + "\n", "");
    EXPECT_EQ(r.status.code(), absl::StatusCode::kInvalidArgument) << bad;
    return std::string(r.status.message());
  };
  EXPECT_EQ(error("2 -1 100 500 600 1 2 3 4 1 0"),
            "t.txt line 2: field 1 (fault): expected 0 or 1, found '2'");
  EXPECT_EQ(error("0 -1 100 500 600 1 2 3 4 1 7"),
            "t.txt line 2: field 11 (micro_op): expected 0 or 1, found '7'");
  EXPECT_EQ(error("0 -1 1x0 500 600 1 2 3 4 1 7"),
            "t.txt line 2: field 3 (fetch_tick): expected a number from 0, "
            "found '1x0'");
  EXPECT_EQ(error("0 0 100 500 600 1 2 3 4 5 6 47 2"),
            "t.txt line 2: field 13 (micro_op): expected 0 or 1, found '2'");
  EXPECT_EQ(error(""), "t.txt line 2: the line ends before field 1 (fault)");
  EXPECT_EQ(error("0 -1 100 500 600 1 2"),
            "t.txt line 2: the line ends before field 8 (dispatch)");
  EXPECT_EQ(error("0 -1 100 500 600 1 2 3 4"),
            "t.txt line 2: has the nine leading fields only, but field 2 "
            "(sq_index) is -1, so its other fields are not in the store file "
            "either");
  const std::string rest(kAdd, sizeof kAdd - 2);
  EXPECT_EQ(error(good.substr(0, good.size() - 1) + " 3"),
            "t.txt line 2: field 57 (extra): the line should end "
            "before it, found '3'");
  const std::string sources = "  2 1  0 2 6 509  0 7";
  const std::string before = good.substr(0, good.rfind(sources));
  EXPECT_EQ(error(before + "  9 1"),
            "t.txt line 2: field 49 (n_src): is too large, found '9'");
  EXPECT_EQ(error(before + "  1 1  7 0 0 0"),
            "t.txt line 2: field 51 (register class): is too large, found "
            "'7'");
  EXPECT_THAT(error(before + "  1 1  0 99999 0 0"),
              HasSubstr("field 52 (register index): is too large"));
  EXPECT_THAT(error("0 -1 99999999999999999999 5 6 1 2 3 4"),
              HasSubstr("field 3 (fetch_tick): expected a number below 2^64"));
  EXPECT_THAT(error(std::string(70000, 'x')), HasSubstr("no gem5 trace"));
  const Imported store = Import("0 1 100 5 6 1 2 3 4\n", "0 1 1 - 3\n");
  EXPECT_EQ(store.status.message(),
            "t.sq.txt line 1: field 4 (rob_exit): expected a number, "
            "found '-'");
}

std::string DataFolder() {
  const char* const folder = std::getenv("PERFVEC_DATA");
  return folder != nullptr
             ? folder
             : absl::StrCat(PERFVEC_SOURCE_DIR, "/../shared/data");
}

// Atomics of every kind, exclusives and store-releases on gem5's in-order core,
// cut in the middle of a line: 48 atomics inline with index -1, 120 printed
// twice, 24 exclusives inline, 24 in the store file only, 23 store-releases
// that it leaves out.
TEST(Gem5ImporterTest, InOrderAtomics) {
  const std::string base = absl::StrCat(
      PERFVEC_SOURCE_DIR, "/tests/golden/import_in_order_atomics.trace");
  const auto import = [&](bool placeholders) {
    Gem5ImportOptions options;
    options.insert_placeholders = placeholders;
    return Import(Open(base + ".txt.zst"), Open(base + ".sq.txt.zst"), options);
  };
  EXPECT_THAT(import(false).status.message(),
              HasSubstr("is missing from the store file"));
  const Imported r = import(true);
  ASSERT_TRUE(r.status.ok()) << r.status;
  EXPECT_EQ(r.instructions.size(), 978u);
  EXPECT_EQ(r.summary.placeholders, 23u);
  EXPECT_EQ(r.summary.dropped_instructions, 20u);
  EXPECT_TRUE(r.summary.cut_trace_line);
  int atomics = 0, exclusives = 0;
  for (const StaticInstruction& s : r.instructions) {
    atomics += (s.flags & kAtomic) != 0;
    exclusives += (s.flags & kStoreConditional) != 0;
    EXPECT_EQ((s.flags & kAtomic) != 0 && s.op_class != kStoreOpClass, false);
  }
  EXPECT_GT(atomics, 160);
  EXPECT_GT(exclusives, 45);
}

// The latency matrix was computed from the same text by other code; its first
// row is the architecture that the text comes from.
TEST(Gem5ImporterTest, LatenciesAreThoseOfTheSharedMatrices) {
  for (const char* const name :
       {"crypto_aes", "lua_fib", "ptr_chase", "zlib_deflate"}) {
    const std::string folder = absl::StrCat(DataFolder(), "/gem5/", name);
    if (!std::filesystem::exists(folder)) {
      GTEST_SKIP() << "no shared traces at " << folder
                   << "; set PERFVEC_DATA to check them";
    }
    const Imported r = Import(Open(folder + "/trace.txt.zst"),
                              Open(folder + "/trace.sq.txt.zst"));
    ASSERT_TRUE(r.status.ok()) << r.status;
    ASSERT_GE(r.instructions.size(), 200000u);
    std::string row(2 * r.instructions.size(), '\0');
    auto matrix = MaybeDecompress(Open(folder + "/latency.u16.zst"));
    for (size_t have = 0; have < row.size();) {
      auto n = matrix->Read(row.data() + have, row.size() - have);
      ASSERT_TRUE(n.ok() && *n > 0);
      have += *n;
    }
    for (size_t i = 0; i < r.instructions.size(); ++i) {
      const uint32_t expected = static_cast<unsigned char>(row[2 * i]) |
                                static_cast<unsigned char>(row[2 * i + 1]) << 8;
      ASSERT_EQ(std::min(r.latency_tenth_ns[i], 65535u), expected)
          << name << " instruction " << i;
    }
  }
}

TEST(Gem5ImporterTest, ReadsTheInOrderGoldenTrace) {
  const std::string folder =
      absl::StrCat(DataFolder(), "/golden/in_order_lcs_dp");
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no shared traces at " << folder
                 << "; set PERFVEC_DATA to check them";
  }
  const Imported r = Import(Open(folder + "/trace.txt.zst"),
                            Open(folder + "/trace.sq.txt.zst"));
  ASSERT_TRUE(r.status.ok()) << r.status;
  EXPECT_EQ(r.instructions.size(), 150000u);
  EXPECT_EQ(r.summary.stores, 13050u);
  EXPECT_EQ(r.summary.dropped_stores, 0u);
}

}  // namespace
}  // namespace perfvec::trace
