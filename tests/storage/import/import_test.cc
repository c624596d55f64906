#include "storage/import/import.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/check.h"
#include "storage/trace/indexed_trace.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() {
    std::string name = ::testing::TempDir() + "/import_XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~ImportTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }
  void WriteFile(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }
  std::string ReadFile(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  // An add every 1 ns, `instructions` of them.
  void WritePair(int instructions) const {
    std::string trace;
    for (int i = 0; i < instructions; ++i) {
      absl::StrAppend(&trace, "0 -1 ", 1000 * i + 1000,
                      " 0 0 1 2 3 4 1 0 0 0 0 0 0 0 0 0 0 0 0 0  0 0 0 -1 -1 "
                      "-1 -1 0 0 0 0 0 0  ",
                      4096 + 4 * (i % 50),
                      " 0 0 0 -1 -1 -1 0 0 0 0 0  1 1  0 2  0 7\n");
    }
    WriteFile("trace.txt", trace);
    WriteFile("trace.sq.txt", "");
  }
  ImportOptions Options() const {
    ImportOptions options;
    options.trace_path = Path("trace.txt");
    options.output_path = Path("out.pvt");
    options.header.tool = "test";
    return options;
  }

  std::string folder_;
};

TEST_F(ImportTest, KeepsTimingUnderItsName) {
  WritePair(70000);
  ImportOptions options = Options();
  options.latency_name = "core_1";
  options.interval_instructions = 30000;
  uint64_t progress = 0;
  options.progress = [&](const ImportProgress& p) {
    progress = p.instructions;
  };
  const auto report = ImportGem5(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(progress, 70000u);
  EXPECT_EQ(report->index.instructions, 70000u);
  EXPECT_EQ(report->index.chunks.size(), 2u);
  const auto info = ReadTraceInfo(options.output_path);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->file_bytes, report->output_bytes);
  EXPECT_THAT(info->header.latency_columns, ::testing::ElementsAre("core_1"));
  EXPECT_EQ(info->index.total_time_tenth_ns[0], 700000u);
  ASSERT_EQ(info->index.marks.size(), 3u);
  EXPECT_EQ(info->index.marks[2].instruction, 60000u);

  auto source = OpenFileSource(options.output_path);
  const auto contents = CheckTrace(*std::move(source));
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->most_statics_in_a_chunk, 50u);
  EXPECT_EQ(contents->info.index.instructions, 70000u);

  auto indexed = IndexedTrace::Open(options.output_path);
  ASSERT_TRUE(indexed.ok()) << indexed.status();
  EXPECT_EQ((*indexed)->ChunkOf(65535), 0u);
  EXPECT_EQ((*indexed)->ChunkOf(65536), 1u);
  EXPECT_EQ((*indexed)->ChunkOf(70000), 2u);
  TraceChunk chunk;
  ASSERT_TRUE((*indexed)->ReadChunk(1, &chunk).ok());
  EXPECT_EQ(chunk.block.first_instruction, 65536u);
  EXPECT_EQ(chunk.block.statics[chunk.block.static_index[0]].pc,
            4096u + 4 * (65536 % 50));
}

TEST_F(ImportTest, SameInputSameBytes) {
  WritePair(1000);
  ImportOptions options = Options();
  ASSERT_TRUE(ImportGem5(options).ok());
  const std::string first = ReadFile("out.pvt");
  ASSERT_TRUE(ImportGem5(options).ok());
  EXPECT_EQ(ReadFile("out.pvt"), first);
  EXPECT_FALSE(first.empty());
}

TEST_F(ImportTest, TakesLatenciesFromAMatrix) {
  WritePair(3);
  WriteFile("m.u16", std::string("\1\0\2\0\3\0\4\0\5\0\xff\xff", 12));
  ImportOptions options = Options();
  options.latency_matrix_path = Path("m.u16");
  options.latency_matrix_names = {"a", "b"};
  const auto report = ImportGem5(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->index.total_time_tenth_ns,
              ::testing::ElementsAre(6, 65544));
  WritePair(4);
  EXPECT_THAT(ImportGem5(options).status().message(),
              HasSubstr("holds 3 instructions"));
  WritePair(2);
  EXPECT_THAT(ImportGem5(options).status().message(),
              HasSubstr("holds 3 instructions, but the trace has 2"));
  options.latency_matrix_names.push_back("c");
  options.latency_matrix_names.push_back("d");
  options.latency_matrix_names.push_back("e");
  EXPECT_THAT(ImportGem5(options).status().message(),
              HasSubstr("no matrix of 16-bit latencies for 5"));
}

TEST_F(ImportTest, AFailedImportLeavesNoFile) {
  WritePair(70000);
  std::ofstream(Path("trace.txt"), std::ios::app) << "nonsense\n";
  const auto report = ImportGem5(Options());
  EXPECT_THAT(report.status().message(), HasSubstr("trace.txt line 70001"));
  EXPECT_FALSE(std::filesystem::exists(Path("out.pvt")));
  EXPECT_FALSE(std::filesystem::exists(Path("out.pvt.partial")));
  WriteFile("trace.txt", "");
  EXPECT_THAT(ImportGem5(Options()).status().message(),
              HasSubstr("no whole instruction"));
}

TEST_F(ImportTest, FindsTheStoreFile) {
  EXPECT_EQ(FindStoresPath(Path("trace.txt")).status().code(),
            absl::StatusCode::kNotFound);
  WriteFile("sq.trace.txt", "");
  EXPECT_EQ(*FindStoresPath(Path("trace.txt.zst")), Path("sq.trace.txt"));
  WriteFile("trace.sq.txt.zst", "");
  EXPECT_EQ(*FindStoresPath(Path("trace.txt.zst")), Path("trace.sq.txt.zst"));
  EXPECT_FALSE(FindStoresPath("-").ok());
}

// The design aim on real traces: at most 1.5 bytes an instruction.
TEST_F(ImportTest, SharedTracesAreSmall) {
  const char* const variable = std::getenv("PERFVEC_DATA");
  const std::string data =
      variable != nullptr ? variable
                          : absl::StrCat(PERFVEC_SOURCE_DIR, "/../shared/data");
  if (!std::filesystem::exists(data + "/gem5")) {
    GTEST_SKIP() << "no shared traces at " << data
                 << "; set PERFVEC_DATA to check them";
  }
  int traces = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(data + "/gem5")) {
    ImportOptions options = Options();
    options.trace_path = entry.path() / "trace.txt.zst";
    options.latency_name = "none";
    const auto report = ImportGem5(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_LE(report->output_bytes, 1.5 * report->index.instructions)
        << entry.path();
    EXPECT_EQ(report->text.dropped_instructions, 0u) << entry.path();
    ++traces;
  }
  EXPECT_GT(traces, 100);
}

}  // namespace
}  // namespace perfvec::trace
