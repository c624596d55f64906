// The features of real traces against the published tool's own output, printed
// as it prints them: to the byte.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/import/gem5_importer.h"
#include "storage/import/line_reader.h"
#include "storage/trace/byte_stream.h"
#include "worker/features/feature_extractor.h"

namespace perfvec::compute {
namespace {

namespace fs = std::filesystem;
using trace::Gem5Importer;
using trace::MaybeDecompress;
using trace::OpenFileSource;

std::unique_ptr<trace::ByteSource> Open(const fs::path& path) {
  auto source = OpenFileSource(path.string());
  EXPECT_TRUE(source.ok()) << source.status();
  return MaybeDecompress(*std::move(source));
}

// What a default stream prints; remembered, since values repeat.
class Printer {
 public:
  const std::string& Print(float value) {
    std::string& text = printed_[value];
    if (text.empty()) {
      std::ostringstream out;
      out << value << " ";
      text = out.str();
    }
    return text;
  }
  std::string Row(const float* row) {
    std::string line;
    for (int i = 0; i < kFeatureCount; ++i) line += Print(row[i]);
    return line;
  }

 private:
  std::unordered_map<float, std::string> printed_;
};

void Compare(const fs::path& text, const fs::path& stores,
             const fs::path& features_text, uint32_t chunk_instructions) {
  trace::Gem5ImportOptions options;
  options.chunk_instructions = chunk_instructions;
  Gem5Importer importer(Open(text), Open(stores), options);
  trace::LineReader wanted(Open(features_text));
  FeatureExtractor extractor;
  Printer printer;
  trace::TraceChunk chunk;
  std::vector<float> features;
  absl::string_view line;
  for (;;) {
    const absl::StatusOr<bool> more = importer.Next(&chunk);
    ASSERT_TRUE(more.ok()) << more.status();
    if (!*more) break;
    const size_t n = chunk.block.size();
    features.resize(n * kFeatureCount);
    const absl::Status status = extractor.Extract(chunk.block, features.data());
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < n; ++i) {
      const absl::StatusOr<bool> has = wanted.Next(&line);
      ASSERT_TRUE(has.ok() && *has) << "golden rows end early";
      ASSERT_EQ(printer.Row(&features[i * kFeatureCount]), line)
          << "instruction " << chunk.block.first_instruction + i;
    }
  }
  const absl::StatusOr<bool> has = wanted.Next(&line);
  EXPECT_TRUE(has.ok() && !*has)
      << "golden rows are left after " << extractor.position();
  EXPECT_GT(extractor.position(), 0u);
}

TEST(GoldenFeaturesTest, BundledSamplesAreIdentical) {
  const fs::path golden = fs::path(PERFVEC_SOURCE_DIR) / "tests/golden";
  for (const std::string name : {"zlib_deflate", "in_order_lcs_dp"}) {
    for (uint32_t chunk : {100, 8000}) {
      SCOPED_TRACE(testing::Message() << name << " in chunks of " << chunk);
      const std::string stem = "features_" + name;
      Compare(golden / (stem + ".trace.txt.zst"),
              golden / (stem + ".trace.sq.txt.zst"),
              golden / (stem + ".txt.zst"), chunk);
    }
  }
}

TEST(GoldenFeaturesTest, AllSharedSetsAreIdentical) {
  const char* variable = std::getenv("PERFVEC_DATA");
  const fs::path data = variable != nullptr
                            ? fs::path(variable)
                            : fs::path(PERFVEC_SOURCE_DIR) / "../shared/data";
  if (!fs::is_directory(data / "golden")) {
    GTEST_SKIP() << "no shared data at " << data
                 << "; set PERFVEC_DATA to run against the whole golden sets";
  }
  int sets = 0;
  for (const auto& entry : fs::directory_iterator(data / "golden")) {
    const fs::path golden = entry.path();
    SCOPED_TRACE(golden);
    // The in-order sets bring their own trace.
    const fs::path pair = fs::exists(golden / "trace.txt.zst")
                              ? golden
                              : data / "gem5" / golden.filename();
    Compare(pair / "trace.txt.zst", pair / "trace.sq.txt.zst",
            golden / "features.txt.zst", 65536);
    ++sets;
  }
  EXPECT_GE(sets, 5);
}

}  // namespace
}  // namespace perfvec::compute
