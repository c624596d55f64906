#include "worker/represent/stream_representer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/generated_trace.h"
#include "tests/worker/represent/reference_lstm.h"
#include "worker/features/feature_extractor.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::compute {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 20261121;

std::shared_ptr<const FoundationModel> Model(Mode mode, int length, int warm_up,
                                             int width = 24) {
  Manifest m = SmallManifest(2, width);
  m.mode = mode;
  m.segment_length = length;
  m.warm_up = warm_up;
  absl::StatusOr<FoundationModel> model = RandomModel(m, kSeed);
  EXPECT_TRUE(model.ok()) << model.status();
  return std::make_shared<const FoundationModel>(*std::move(model));
}

std::unique_ptr<Representer> BackEnd(
    std::shared_ptr<const FoundationModel> model, int threads = 1) {
  CpuOptions options;
  options.threads = threads;
  return *MakeCpuRepresenter(std::move(model), options);
}

// Feeds [first, end) of `features` in pieces of random sizes.
absl::StatusOr<ProgramVectorAccumulator> Represent(
    Representer* back_end, const std::vector<float>& features,
    InstructionRange range, uint64_t seed) {
  absl::StatusOr<StreamRepresenter> stream =
      StreamRepresenter::Create(back_end, range, {});
  if (!stream.ok()) return stream.status();
  std::mt19937_64 random(seed);
  const int64_t count = static_cast<int64_t>(features.size() / kFeatureCount);
  const int64_t end = std::min(range.end, count);
  for (int64_t at = stream->first_instruction(); at < end;) {
    const int64_t n = std::min<int64_t>(end - at, random() % 700);
    absl::Status s = stream->Feed(&features[at * kFeatureCount], n);
    if (!s.ok()) return s;
    at += n;
    EXPECT_EQ(stream->next_instruction(), at);
  }
  return stream->Finish();
}

// The stream mode of docs/foundation_model.md, word for word, in double.
std::vector<double> Definition(const FoundationModel& model,
                               const std::vector<float>& features) {
  const Manifest& m = model.manifest();
  const int64_t count = static_cast<int64_t>(features.size() / kFeatureCount);
  std::vector<float> inputs(count * m.inputs.width());
  m.inputs.Encode(features.data(), count, inputs.data());
  std::vector<double> sum(m.width, 0.0);
  auto add = [&](const Lane& lane) {
    std::vector<double> outputs;
    ReferenceLane(model, inputs.data(), lane, &outputs);
    for (size_t i = 0; i < outputs.size(); ++i) sum[i % m.width] += outputs[i];
  };
  if (m.mode == Mode::kWindow) {
    for (int64_t i = 0; i < count; ++i) {
      add({i - m.warm_up, m.warm_up + 1, 1});
    }
    return sum;
  }
  for (int64_t at = 0; at < count; at += m.segment_length) {
    const int64_t from = std::max<int64_t>(0, at - m.warm_up);
    const int64_t end = std::min<int64_t>(count, at + m.segment_length);
    add({from, static_cast<int>(end - from), static_cast<int>(end - at)});
  }
  return sum;
}

struct Case {
  const char* name;
  Mode mode;
  int length, warm_up, instructions;
};

class StreamRepresenterTest : public ::testing::TestWithParam<Case> {
 protected:
  const Case& c() const { return GetParam(); }
};

TEST_P(StreamRepresenterTest, IsTheDefinition) {
  auto model = Model(c().mode, c().length, c().warm_up);
  auto back_end = BackEnd(model);
  const std::vector<float> features = RandomFeatures(c().instructions, kSeed);
  const std::vector<double> expected = Definition(*model, features);
  absl::StatusOr<ProgramVectorAccumulator> sum =
      Represent(back_end.get(), features, {0, c().instructions}, kSeed);
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->instructions(), c().instructions);
  EXPECT_EQ(sum->model_id(), model->id());
  const std::vector<double> vector = sum->Vector();
  double norm = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    norm += expected[i] * expected[i];
    error += (vector[i] - expected[i]) * (vector[i] - expected[i]);
  }
  EXPECT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm));
}

// Pieces, threads, batches, an unknown end, and every way to cut the trace into
// ranges give the same bytes.
TEST_P(StreamRepresenterTest, AnySplitGivesTheSameBits) {
  auto model = Model(c().mode, c().length, c().warm_up);
  const std::vector<float> features = RandomFeatures(c().instructions, kSeed);
  auto one = BackEnd(model, 1);
  const std::string expected =
      Represent(one.get(), features, {0, c().instructions}, kSeed)->Serialize();
  std::mt19937_64 random(kSeed);
  SCOPED_TRACE(kSeed);
  for (int trial = 0; trial < 4; ++trial) {
    auto back_end = BackEnd(model, 1 + trial);
    std::vector<int64_t> cuts = {0, kEndOfTrace};
    for (int i = 0; i < trial; ++i) {
      cuts.push_back(random() % c().instructions / c().length * c().length);
    }
    std::sort(cuts.begin(), cuts.end());
    std::vector<ProgramVectorAccumulator> parts;
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      absl::StatusOr<ProgramVectorAccumulator> part =
          Represent(back_end.get(), features, {cuts[i], cuts[i + 1]}, random());
      ASSERT_TRUE(part.ok()) << part.status();
      parts.push_back(*part);
    }
    ProgramVectorAccumulator sum = parts.back();
    parts.pop_back();
    for (const ProgramVectorAccumulator& part : parts) {
      ASSERT_TRUE(sum.Merge(part).ok());
    }
    EXPECT_EQ(sum.Serialize(), expected) << "trial " << trial;
  }
}

// Intervals that begin anywhere and groups of instructions: the first are the
// whole to the last bit, the second to the rounding of doubles, and neither
// depends on how the range was cut.
TEST_P(StreamRepresenterTest, PartsAddUpAndDoNotDependOnTheSplit) {
  auto model = Model(c().mode, c().length, c().warm_up);
  const std::vector<float> features = RandomFeatures(c().instructions, kSeed);
  auto back_end = BackEnd(model);
  std::mt19937_64 random(kSeed);
  SCOPED_TRACE(kSeed);
  std::vector<uint32_t> groups(c().instructions);
  for (uint32_t& group : groups) group = random() % 3;
  std::set<int64_t> begins;
  for (int i = 0; i < 4; ++i) {
    begins.insert(1 + random() % (c().instructions - 1));
  }

  struct Sums {
    ProgramVectorAccumulator whole;
    std::vector<ProgramVectorAccumulator> intervals, groups;
  };
  const auto run = [&](int64_t begin, int64_t end) {
    StreamOptions options;
    options.intervals = true;
    options.interval_begins.assign(begins.upper_bound(begin),
                                   begins.lower_bound(end));
    options.groups = 4;  // one of them is empty
    auto stream =
        StreamRepresenter::Create(back_end.get(), {begin, end}, options);
    EXPECT_TRUE(stream.ok()) << stream.status();
    for (int64_t at = stream->first_instruction(); at < end;) {
      const int64_t n = std::min<int64_t>(end - at, 1 + random() % 300);
      EXPECT_TRUE(
          stream->Feed(&features[at * kFeatureCount], n, &groups[at]).ok());
      at += n;
    }
    auto whole = stream->Finish();
    EXPECT_TRUE(whole.ok()) << whole.status();
    return Sums{*whole, stream->interval_sums(), stream->group_sums()};
  };

  const Sums all = run(0, c().instructions);
  ASSERT_EQ(all.intervals.size(), begins.size() + 1);
  ProgramVectorAccumulator sum = all.intervals[0];
  for (size_t i = 1; i < all.intervals.size(); ++i) {
    ASSERT_TRUE(sum.Merge(all.intervals[i]).ok());
  }
  EXPECT_TRUE(sum == all.whole);
  const std::vector<double> uncut =
      Represent(back_end.get(), features, {0, c().instructions}, kSeed)
          ->Vector();
  std::vector<double> by_group(uncut.size());
  uint64_t counted = 0;
  for (const ProgramVectorAccumulator& group : all.groups) {
    const std::vector<double> vector = group.Vector();
    for (size_t i = 0; i < vector.size(); ++i) by_group[i] += vector[i];
    counted += group.instructions();
  }
  EXPECT_EQ(counted, static_cast<uint64_t>(c().instructions));
  EXPECT_EQ(all.groups[3].instructions(), 0);
  EXPECT_EQ(all.groups[1].instructions(),
            std::count(groups.begin(), groups.end(), 1u));
  for (size_t i = 0; i < uncut.size(); ++i) {
    EXPECT_NEAR(all.whole.Vector()[i], uncut[i], 1e-9 * (1 + uncut[i]));
    EXPECT_NEAR(by_group[i], uncut[i], 1e-9 * (1 + uncut[i]));
  }

  const int64_t half = c().instructions / 2 / c().length * c().length;
  if (half == 0) return;
  Sums first = run(0, half);
  const Sums second = run(half, c().instructions);
  for (size_t g = 0; g < first.groups.size(); ++g) {
    ASSERT_TRUE(first.groups[g].Merge(second.groups[g]).ok());
    EXPECT_TRUE(first.groups[g] == all.groups[g]) << "group " << g;
  }
  ASSERT_TRUE(first.whole.Merge(second.whole).ok());
  EXPECT_TRUE(first.whole == all.whole);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, StreamRepresenterTest,
    ::testing::Values(Case{"Stream", Mode::kStream, 64, 15, 1000},
                      Case{"StreamWholeSegments", Mode::kStream, 64, 15, 640},
                      Case{"StreamShort", Mode::kStream, 1024, 255, 300},
                      Case{"StreamWarmUpLongerThanSegment", Mode::kStream, 16,
                           40, 500},
                      Case{"StreamNoWarmUp", Mode::kStream, 32, 0, 333},
                      Case{"StreamFullSize", Mode::kStream, 1024, 255, 9000},
                      Case{"Window", Mode::kWindow, 64, 15, 500},
                      Case{"WindowShort", Mode::kWindow, 64, 31, 20}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(StreamRepresenterErrorsTest, RangesAreChecked) {
  auto back_end = BackEnd(Model(Mode::kStream, 64, 15));
  for (InstructionRange bad :
       {InstructionRange{-64, 0}, {128, 64}, {63, 128}}) {
    EXPECT_EQ(
        StreamRepresenter::Create(back_end.get(), bad, {}).status().code(),
        absl::StatusCode::kInvalidArgument);
  }
  auto stream = StreamRepresenter::Create(back_end.get(), {128, 192}, {});
  EXPECT_EQ(stream->first_instruction(), 113);
  std::vector<float> features = RandomFeatures(100, kSeed);
  EXPECT_EQ(stream->Feed(features.data(), 80).code(),
            absl::StatusCode::kOutOfRange);
  ASSERT_TRUE(stream->Feed(features.data(), 78).ok());
  EXPECT_EQ(stream->Finish().status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(stream->Feed(features.data(), 1).ok());
  EXPECT_EQ(stream->Finish()->instructions(), 64);
}

TEST(StreamRepresenterErrorsTest, IntervalsOutsideTheRangeAreRefused) {
  auto back_end = BackEnd(Model(Mode::kStream, 64, 15));
  for (const std::vector<int64_t>& bad : std::vector<std::vector<int64_t>>{
           {64}, {63}, {192}, {100, 100}, {120, 100}}) {
    StreamOptions options;
    options.intervals = true;
    options.interval_begins = bad;
    EXPECT_EQ(StreamRepresenter::Create(back_end.get(), {64, 192}, options)
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(StreamRepresenterErrorsTest, EmptyTraceIsTheZeroVector) {
  auto back_end = BackEnd(Model(Mode::kStream, 64, 15, 2));
  auto stream = StreamRepresenter::Create(back_end.get(), {0, 0}, {});
  absl::StatusOr<ProgramVectorAccumulator> sum = stream->Finish();
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(sum->Vector(), (std::vector<double>{0, 0}));
}

TEST(StreamRepresenterErrorsTest, NonFiniteFeaturesAreRefusedByPosition) {
  auto back_end = BackEnd(Model(Mode::kStream, 64, 15));
  for (float bad : {NAN, INFINITY, 1e30f}) {
    auto stream = StreamRepresenter::Create(back_end.get(), {}, {});
    std::vector<float> features = RandomFeatures(5, kSeed);
    features[3 * kFeatureCount + 7] = bad;
    const absl::Status s = stream->Feed(features.data(), 5);
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(s.message()), HasSubstr("instructions 0 to 4"));
  }
}

TEST(StreamRepresenterErrorsTest, ProgressIsReportedAndCanStop) {
  auto back_end = BackEnd(Model(Mode::kStream, 16, 4, 2));
  std::vector<int64_t> seen;
  StreamOptions options;
  options.progress = [&](int64_t done) {
    seen.push_back(done);
    return seen.size() == 3 ? absl::CancelledError("stop") : absl::OkStatus();
  };
  auto stream = StreamRepresenter::Create(back_end.get(), {}, options);
  const int64_t batch = 16 * back_end->PreferredLanes();
  const std::vector<float> features = RandomFeatures(4 * batch, kSeed);
  const absl::Status s =
      stream->Feed(features.data(), features.size() / kFeatureCount);
  EXPECT_EQ(s.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(seen, ::testing::ElementsAre(batch, 2 * batch, 3 * batch));
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

// 6 million instructions through extraction and network, generated as they are
// fed: the memory held after a tenth is the memory held at the end.
// tests/bench/long_trace.cc does the same to 1e9.
TEST(StreamRepresenterMemoryTest, DoesNotGrowWithTheTrace) {
  auto back_end = BackEnd(Model(Mode::kStream, 1024, 255, 2));
  auto stream = StreamRepresenter::Create(back_end.get(), {}, {});
  constexpr size_t kBlock = 60000;
  constexpr int kBlocks = 100;
  GeneratedTrace generated(kSeed, /*data_lines=*/1000);
  FeatureExtractor extractor;
  trace::InstructionBlock block;
  std::vector<float> features(kBlock * kFeatureCount);
  int64_t early = 0, most = 0;
  for (int i = 0; i < kBlocks; ++i) {
    generated.Next(kBlock, &block);
    ASSERT_TRUE(extractor.Extract(block, features.data()).ok());
    ASSERT_TRUE(stream->Feed(features.data(), kBlock).ok());
    if (i == kBlocks / 10) early = ResidentBytes();
    if (i > kBlocks / 10) most = std::max(most, ResidentBytes());
  }
  EXPECT_EQ(stream->Finish()->instructions(), kBlock * kBlocks);
  EXPECT_LE(most - early, 4 << 20);
}

}  // namespace
}  // namespace perfvec::compute
