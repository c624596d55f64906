// docs/trace_format.md suffices: a reader in another language, written from
// that page alone, prints the same instructions.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "storage/import/import.h"
#include "storage/trace/reader.h"
#include "storage/trace/writer.h"
#include "tests/storage/trace/test_traces.h"

namespace perfvec::trace {
namespace {

std::string Registers(const Register* registers, int count) {
  std::vector<std::string> parts;
  for (int i = 0; i < count; ++i) {
    parts.push_back(
        absl::StrCat(registers[i].register_class, ":", registers[i].index));
  }
  return absl::StrJoin(parts, ",");
}

std::string AsText(const std::string& path) {
  auto source = OpenFileSource(path);
  auto reader = TraceReader::Open(*std::move(source));
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::string text;
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return text;
    const InstructionBlock& b = chunk.block;
    for (size_t i = 0; i < b.size(); ++i) {
      const StaticInstruction& s = b.statics[b.static_index[i]];
      absl::StrAppend(&text, s.pc, " ", s.flags, " ", s.op_class, " ",
                      s.access_size, " ", b.address[i], " ", b.taken[i], " ",
                      Registers(s.sources.data(), s.source_count), "/",
                      Registers(s.destinations.data(), s.destination_count));
      for (const auto& column : chunk.latency_tenth_ns) {
        absl::StrAppend(&text, " ", column[i]);
      }
      text += '\n';
    }
  }
}

class IndependentReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 --version >/dev/null 2>&1 && "
                    "zstd --version >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "needs python3 and zstd";
    }
    path_ =
        absl::StrCat(::testing::TempDir(), "/independent_", ::getpid(), ".pvt");
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  void ExpectSameText() const {
    const std::string command =
        absl::StrCat("python3 ", PERFVEC_SOURCE_DIR,
                     "/tests/storage/trace/independent_reader.py ", path_);
    std::FILE* const pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string text;
    std::vector<char> buffer(1 << 16);
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
      text.append(buffer.data(), n);
    }
    EXPECT_EQ(::pclose(pipe), 0);
    // Not EXPECT_EQ: the difference would be printed whole.
    EXPECT_TRUE(text == AsText(path_)) << text.substr(0, 500);
    EXPECT_FALSE(text.empty());
  }

  std::string path_;
};

TEST_F(IndependentReaderTest, RandomTrace) {
  RandomTrace random(99, 500);
  std::vector<TraceChunk> chunks;
  for (const uint32_t size : {1u, 4000u, 3000u}) {
    chunks.push_back(random.Chunk(size, 2));
  }
  std::ofstream(path_, std::ios::binary)
      << WriteTrace(TestHeader(2), chunks, {{3, "mark"}});
  ExpectSameText();
}

TEST_F(IndependentReaderTest, VersionTwo) {
  RandomTrace random(5, 50);
  TraceHeader header = TestHeader(0);
  header.version = 2;
  std::string bytes;
  auto writer =
      TraceWriter::Create(std::make_unique<StringSink>(&bytes), header);
  ASSERT_TRUE((*writer)->Append(random.Chunk(100, 0)).ok());
  TraceExtras extras;
  extras.functions = {{0x400100, 64, "main"}};
  ASSERT_TRUE((*writer)->SetExtras(extras).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  std::ofstream(path_, std::ios::binary) << bytes;
  ExpectSameText();
}

TEST_F(IndependentReaderTest, RealTraces) {
  for (const char* const name : {"zlib_deflate", "in_order_lcs_dp"}) {
    const std::string base =
        absl::StrCat(PERFVEC_SOURCE_DIR, "/tests/golden/features_", name);
    ImportOptions options;
    options.trace_path = base + ".trace.txt.zst";
    options.stores_path = base + ".trace.sq.txt.zst";
    options.output_path = path_;
    const auto report = ImportGem5(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_GT(report->index.instructions, 5000u);
    EXPECT_LT(report->output_bytes, 2.0 * report->index.instructions);
    EXPECT_EQ(report->index.total_time_tenth_ns[0],
              report->text.total_time_tenth_ns);
    ExpectSameText();
  }
}

}  // namespace
}  // namespace perfvec::trace
