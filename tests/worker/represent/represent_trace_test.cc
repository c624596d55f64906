#include "worker/represent/represent_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/trace/writer.h"
#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/generated_trace.h"
#include "worker/features/feature_extractor.h"
#include "worker/model/files.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 20261121;
constexpr size_t kChunk = 700;

std::vector<trace::TraceChunk> Chunks(size_t instructions) {
  GeneratedTrace generated(kSeed, /*data_lines=*/500);
  std::vector<trace::TraceChunk> chunks;
  for (size_t at = 0; at < instructions; at += kChunk) {
    chunks.emplace_back();
    generated.Next(std::min(kChunk, instructions - at), &chunks.back().block);
  }
  return chunks;
}

std::string TraceBytes(const std::vector<trace::TraceChunk>& chunks) {
  const std::string path = ::testing::TempDir() + "/represent_trace_test.pvt";
  auto writer = trace::TraceWriter::Create(*trace::CreateFileSink(path), {});
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const trace::TraceChunk& chunk : chunks) {
    const absl::Status s = (*writer)->Append(chunk);
    EXPECT_TRUE(s.ok()) << s;
  }
  EXPECT_TRUE((*writer)->Finish().ok());
  return *ReadWholeFile(path, 1 << 20);
}

class RepresentTraceTest : public ::testing::Test {
 protected:
  RepresentTraceTest() : chunks_(Chunks(5000)), bytes_(TraceBytes(chunks_)) {
    Manifest m = SmallManifest(2, 8);
    m.segment_length = 256;
    m.warm_up = 63;
    back_end_ = *MakeCpuRepresenter(
        std::make_shared<const FoundationModel>(*RandomModel(m, kSeed)), {});
  }

  absl::StatusOr<ProgramVectorAccumulator> Represent(
      const RepresentTraceOptions& options, std::string bytes) {
    return RepresentTrace(
        std::make_unique<trace::StringSource>(std::move(bytes), "t.pvt", 1000),
        back_end_.get(), options);
  }

  std::vector<trace::TraceChunk> chunks_;
  std::string bytes_;
  std::unique_ptr<Representer> back_end_;
};

TEST_F(RepresentTraceTest, IsExtractionThenRepresentation) {
  auto stream = StreamRepresenter::Create(back_end_.get(), {}, {});
  FeatureExtractor extractor;
  for (const trace::TraceChunk& chunk : chunks_) {
    std::vector<float> features(chunk.block.size() * kFeatureCount);
    ASSERT_TRUE(extractor.Extract(chunk.block, features.data()).ok());
    ASSERT_TRUE(stream->Feed(features.data(), chunk.block.size()).ok());
  }
  absl::StatusOr<ProgramVectorAccumulator> sum = Represent({}, bytes_);
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->instructions(), 5000);
  EXPECT_EQ(sum->Serialize(), stream->Finish()->Serialize());
}

class RepresentTraceSchemaTest : public RepresentTraceTest,
                                 public ::testing::WithParamInterface<bool> {};

TEST_P(RepresentTraceSchemaTest, TakesTheFeaturesThatTheModelNames) {
  const bool cores = GetParam();
  Manifest m = cores ? SmallCoresManifest(1, 8, 5) : SmallRichManifest(1, 8);
  m.segment_length = 256;
  m.warm_up = 63;
  back_end_ = *MakeCpuRepresenter(
      std::make_shared<const FoundationModel>(*RandomModel(m, kSeed)), {});
  auto stream = StreamRepresenter::Create(back_end_.get(), {}, {});
  FeatureExtractor extractor(cores ? CoresFeatureSchema()
                                   : RichFeatureSchema());
  for (const trace::TraceChunk& chunk : chunks_) {
    std::vector<float> features(chunk.block.size() *
                                extractor.schema().count());
    ASSERT_TRUE(extractor.Extract(chunk.block, features.data()).ok());
    ASSERT_TRUE(stream->Feed(features.data(), chunk.block.size()).ok());
  }
  absl::StatusOr<ProgramVectorAccumulator> sum = Represent({}, bytes_);
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->Serialize(), stream->Finish()->Serialize());
  // A shard computes the features of what lies before it.
  RepresentTraceOptions options;
  options.range = {0, 2560};
  auto part = Represent(options, bytes_);
  options.range = {2560, 5000};
  ASSERT_TRUE(part->Merge(*Represent(options, bytes_)).ok());
  EXPECT_EQ(part->Serialize(), sum->Serialize());
}

INSTANTIATE_TEST_SUITE_P(Schemas, RepresentTraceSchemaTest, ::testing::Bool());

TEST_F(RepresentTraceTest, RangesMergeToTheWhole) {
  RepresentTraceOptions options;
  options.range = {0, 1536};
  absl::StatusOr<ProgramVectorAccumulator> sum = Represent(options, bytes_);
  ASSERT_TRUE(sum.ok()) << sum.status();
  for (InstructionRange range :
       {InstructionRange{1536, 1792}, {1792, 4864}, {4864, 5000}}) {
    options.range = range;
    absl::StatusOr<ProgramVectorAccumulator> part = Represent(options, bytes_);
    ASSERT_TRUE(part.ok()) << part.status();
    ASSERT_TRUE(sum->Merge(*part).ok());
  }
  EXPECT_EQ(sum->Serialize(), Represent({}, bytes_)->Serialize());
}

TEST_F(RepresentTraceTest, RangesThatDoNotFitAreRefused) {
  RepresentTraceOptions options;
  options.range = {0, 1000};
  absl::Status s = Represent(options, bytes_).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(s.message()), HasSubstr("the end of t.pvt"));
  for (int64_t end : {5001, 5120, 1 << 20}) {
    options.range = {0, end};
    EXPECT_EQ(Represent(options, bytes_).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST_F(RepresentTraceTest, DamageComesThroughAsTheReaderSaysIt) {
  const absl::Status cut =
      Represent({}, bytes_.substr(0, bytes_.size() * 2 / 3)).status();
  EXPECT_EQ(cut.code(), absl::StatusCode::kDataLoss) << cut;
  EXPECT_EQ(Represent({}, "not a trace").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(RepresentTraceTest, ProgressAndStop) {
  std::vector<int64_t> done;
  RepresentTraceOptions options;
  options.progress = [&](const TraceProgress& p) {
    EXPECT_EQ(p.bytes_total, bytes_.size());
    EXPECT_LE(p.bytes_read, p.bytes_total);
    done.push_back(p.instructions_done);
    return absl::OkStatus();
  };
  ASSERT_TRUE(Represent(options, bytes_).ok());
  ASSERT_FALSE(done.empty());
  EXPECT_EQ(done.back(), 5000);
  options.progress = [](const TraceProgress&) {
    return absl::CancelledError("enough");
  };
  EXPECT_EQ(Represent(options, bytes_).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace perfvec::compute
