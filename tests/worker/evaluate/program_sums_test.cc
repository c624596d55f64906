#include "worker/evaluate/program_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "tests/worker/evaluate/synthetic_data.h"
#include "tests/worker/represent/reference_lstm.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::train {
namespace {

constexpr size_t kInstructions = 2700;  // not a multiple of the segment, 500

const std::vector<SyntheticArchitecture>& Machines() {
  static const std::vector<SyntheticArchitecture>& machines =
      *new std::vector<SyntheticArchitecture>{{"a"}, {"b", "seen", 40, 9}};
  return machines;
}

ProgramData Data() {
  TemporaryFolder folder;
  WriteDataFolder(folder.path(), {{"p", "f", "seen", kInstructions}},
                  Machines());
  auto list = ReadDataFolder(folder.path());
  EXPECT_TRUE(list.ok()) << list.status();
  auto data = ReadProgram(*list, list->programs[0],
                          compute::PublishedFeatureSchema(), {0, 1});
  EXPECT_TRUE(data.ok()) << data.status();
  return *std::move(data);
}

std::unique_ptr<compute::Representer> BackEnd(
    compute::Mode mode = compute::Mode::kStream) {
  compute::FoundationModel model = SyntheticModel({"a"}, {});
  compute::Manifest m = model.manifest();
  m.mode = mode;
  auto made = compute::FoundationModel::Create(m, model.tensors());
  return *compute::MakeCpuRepresenter(
      std::make_shared<const compute::FoundationModel>(*std::move(made)), {2});
}

// What the service would add up for instructions [begin, end), begin at the
// border of a segment.
std::vector<double> Served(const ProgramData& data, size_t begin, size_t end,
                           compute::Representer* back_end) {
  auto stream = compute::StreamRepresenter::Create(
      back_end, {static_cast<int64_t>(begin), static_cast<int64_t>(end)}, {});
  const size_t first = stream->first_instruction();
  EXPECT_TRUE(
      stream->Feed(&data.features[first * data.feature_count], end - first)
          .ok());
  return stream->Finish()->Vector();
}

TEST(ProgramSumsTest, AreTheServicesProgramVectors) {
  const ProgramData data = Data();
  for (compute::Mode mode : {compute::Mode::kStream, compute::Mode::kWindow}) {
    auto back_end = BackEnd(mode);
    auto sums =
        SumProgram(data, {333, 1000, 1777}, {}, back_end.get(), nullptr);
    ASSERT_TRUE(sums.ok()) << sums.status();
    for (const Range range : {Range{0, kInstructions}, Range{1000, 2700}}) {
      const std::vector<double> expected =
          Served(data, range.begin, range.end, back_end.get());
      const std::vector<double> sum = sums->Sum(range, AllKinds());
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(sum[i], expected[i], 1e-9 * kInstructions);
      }
    }
    // Cuts anywhere, and kinds, add up.
    std::vector<double> parts(12);
    for (const Range range :
         {Range{0, 333}, Range{333, 1777}, Range{1777, kInstructions}}) {
      for (int k = 0; k < kInstructionKinds; ++k) {
        const std::vector<double> one = sums->Sum(range, KindSet{1} << k);
        for (size_t i = 0; i < one.size(); ++i) parts[i] += one[i];
      }
    }
    const std::vector<double> whole = sums->Sum({0, kInstructions}, AllKinds());
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_NEAR(parts[i], whole[i], 1e-9 * kInstructions);
    }
  }
}

TEST(ProgramSumsTest, StartingLaterChangesNothingBehind) {
  const ProgramData data = Data();
  auto back_end = BackEnd();
  PassOptions late;
  late.represent_from = 1234;
  auto all = SumProgram(data, {1234}, {}, back_end.get(), nullptr);
  auto part = SumProgram(data, {1234}, late, back_end.get(), nullptr);
  ASSERT_TRUE(all.ok() && part.ok());
  EXPECT_EQ(all->Sum({1234, kInstructions}, AllKinds()),
            part->Sum({1234, kInstructions}, AllKinds()));
}

TEST(ProgramSumsTest, TimesAndCountsByKind) {
  const ProgramData data = Data();
  auto sums = SumProgram(data, {1000}, {}, nullptr, nullptr);
  ASSERT_TRUE(sums.ok()) << sums.status();
  double loads = 0, cold = 0, total = 0;
  for (size_t i = 1000; i < kInstructions; ++i) {
    total += SyntheticLatency(Machines()[1], {"p", "f"}, i);
  }
  const Range tail = {1000, kInstructions}, whole = {0, kInstructions};
  EXPECT_EQ(sums->Times(tail, AllKinds())[1], total);
  const auto count = [&](Range r, InstructionKind k) {
    return sums->Count(r, KindSet{1} << static_cast<int>(k));
  };
  loads = count(tail, InstructionKind::kLoad);
  EXPECT_EQ(loads, 425);  // two of eight
  EXPECT_EQ(count(tail, InstructionKind::kBranch), 212);
  EXPECT_EQ(count(tail, InstructionKind::kFloat), 213);
  EXPECT_EQ(count(tail, InstructionKind::kColdData), 0);
  // 40 data lines, of which the stride of 4 × 37 touches ten; one of code.
  cold = count(whole, InstructionKind::kColdData);
  EXPECT_EQ(cold + count(whole, InstructionKind::kColdFetch), 10);
  EXPECT_EQ(count(whole, InstructionKind::kColdFetch), 1);
  const double cold_time = sums->Times(whole, ColdKinds())[0];
  EXPECT_EQ(cold_time, 10 * 24);  // all of them loads
}

TEST(ProgramSumsTest, EvidenceIsTheSumOverInstructions) {
  const ProgramData data = Data();
  auto back_end = BackEnd();
  PassOptions options;
  options.evidence = true;
  options.evidence_range = {1000, kInstructions};
  options.evidence_interval = 800;
  options.sample_every = 1;
  compute::ProgramEvidence evidence;
  auto sums = SumProgram(data, {1000}, options, back_end.get(), &evidence);
  ASSERT_TRUE(sums.ok()) << sums.status();
  const size_t h = 12, a = 2;
  std::vector<double> gram(h * h), cross(h * a), times(2 * a);
  for (size_t i = 1000; i < kInstructions; ++i) {
    const float* r = &sums->sample[i * h];
    for (size_t u = 0; u < h; ++u) {
      for (size_t v = 0; v < h; ++v) gram[u * h + v] += double{r[u]} * r[v];
      for (size_t c = 0; c < a; ++c) {
        cross[u * a + c] += double{r[u]} * data.latency[c * kInstructions + i];
      }
    }
    const size_t k = i < 1800 ? 0 : 1;  // the second takes what is left over
    for (size_t c = 0; c < a; ++c) {
      times[k * a + c] += data.latency[c * kInstructions + i];
    }
  }
  EXPECT_EQ(evidence.instructions, 1700);
  EXPECT_EQ(evidence.interval_times, times);
  ASSERT_EQ(evidence.interval_sums.size(), 2 * h);
  const std::vector<double> sum = sums->Sum({1000, kInstructions}, AllKinds());
  for (size_t u = 0; u < h; ++u) {
    EXPECT_NEAR(evidence.interval_sums[u] + evidence.interval_sums[h + u],
                sum[u], 1e-6);
  }
  for (size_t i = 0; i < gram.size(); ++i) {
    EXPECT_NEAR(evidence.gram[i], gram[i], 1e-5 * gram[i] + 1e-5);
  }
  for (size_t i = 0; i < cross.size(); ++i) {
    EXPECT_NEAR(evidence.cross[i], cross[i], 1e-5 * cross[i] + 1e-4);
  }
}

TEST(ProgramSumsTest, NanIsRefused) {
  ProgramData data = Data();
  data.features[1500 * data.feature_count + 2] = std::nanf("");
  auto back_end = BackEnd();
  auto sums = SumProgram(data, {}, {}, back_end.get(), nullptr);
  EXPECT_EQ(sums.status().code(), absl::StatusCode::kInvalidArgument);
}

// One row for each kind, in the order of the list.
TEST(InstructionKindTest, EachKind) {
  struct Row {
    InstructionKind kind;
    float op, fetch, address, load, store, conditional;
  };
  const float never = compute::kMaxStackDistance;
  for (const Row& r : std::vector<Row>{
           {InstructionKind::kColdFetch, 48, never, 1, never, never, 0},
           {InstructionKind::kColdData, 48, 1, 1, never, never, 0},
           {InstructionKind::kLoad, 48, 1, 1, never, 3, 0},  // stored before
           {InstructionKind::kFarFetch, 2, 513, 0, 0, 0, 0},
           {InstructionKind::kFarData, 49, 1, 1, 600, never, 0},
           {InstructionKind::kLoad, 48, 512, 1, 512, 600, 0},
           {InstructionKind::kLoad, 50, 1, 1, 1, 1, 0},
           {InstructionKind::kStore, 49, 1, 1, 1, 1, 0},
           {InstructionKind::kStore, 51, 1, 1, 1, 1, 0},
           {InstructionKind::kBranch, 2, 1, 0, 0, 0, 1},
           {InstructionKind::kFloat, 5, 1, 0, 0, 0, 0},
           {InstructionKind::kFloat, 47, 1, 0, 0, 0, 0},
           {InstructionKind::kOther, 4, 1, 0, 0, 0, 0}}) {
    float features[compute::kFeatureCount] = {};
    features[compute::kFeatureOperation] = r.op;
    features[compute::kFeatureFetchDistance] = r.fetch;
    features[compute::kFeatureHasAddress] = r.address;
    features[compute::kFeatureLoadDistance] = r.load;
    features[compute::kFeatureStoreDistance] = r.store;
    features[compute::kFeatureConditional] = r.conditional;
    EXPECT_EQ(KindOf(features), r.kind)
        << KindName(static_cast<int>(r.kind)) << " op " << r.op;
  }
}

}  // namespace
}  // namespace perfvec::train
