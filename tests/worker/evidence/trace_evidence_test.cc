#include "worker/evidence/trace_evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/trace/writer.h"
#include "tests/worker/model/random_model.h"
#include "tests/worker/represent/generated_trace.h"
#include "worker/evidence/kept_sums.h"
#include "worker/learn/dense.h"
#include "worker/learn/learn_architecture.h"
#include "worker/learn/learn_from_times.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::evidence {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 20261121;
constexpr size_t kWidth = 8, kMachines = 12, kInstructions = 6000;

// Machines mix three kinds of cost; latencies are what their vectors say, to
// the nearest whole 0.1 ns, with noise.
class TraceEvidenceTest : public ::testing::Test {
 protected:
  TraceEvidenceTest() {
    compute::Manifest m = compute::SmallManifest(2, kWidth);
    m.segment_length = 256;
    m.warm_up = 63;
    back_end_ =
        *compute::MakeCpuRepresenter(std::make_shared<compute::FoundationModel>(
                                         *compute::RandomModel(m, kSeed, 4)),
                                     {});
    std::mt19937_64 random(kSeed);
    std::uniform_real_distribution<double> uniform(0.2, 2);
    double kinds[3][kWidth];
    for (auto& kind : kinds) {
      for (double& k : kind) k = uniform(random);
    }
    for (size_t a = 0; a < kMachines; ++a) {
      const double scale = 100 * uniform(random);
      vectors_.emplace_back(kWidth);
      for (auto& kind : kinds) {
        const double f = uniform(random) * scale;
        for (size_t i = 0; i < kWidth; ++i) vectors_[a][i] += f * kind[i];
      }
    }
  }

  struct Program {
    std::string path;
    std::vector<float> r;        // [instructions][width]
    std::vector<uint32_t> time;  // [machine][instructions]
  };

  Program MakeProgram(uint64_t seed) {
    Program p;
    p.path = absl::StrCat(::testing::TempDir(), "/evidence", seed, ".pvt");
    Write(seed, p);  // without times: for its representations
    compute::RepresentTraceOptions options;
    options.rows = [&](const compute::RepresentedRows& rows) {
      EXPECT_EQ(rows.latency_tenth_ns, nullptr);
      EXPECT_EQ(rows.first * kWidth, p.r.size());
      p.r.insert(p.r.end(), rows.outputs, rows.outputs + rows.count * kWidth);
      return absl::OkStatus();
    };
    auto sum = compute::RepresentTrace(*trace::OpenFileSource(p.path),
                                       back_end_.get(), options);
    EXPECT_TRUE(sum.ok()) << sum.status();
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (const std::vector<double>& m : vectors_) {
      for (size_t i = 0; i < kInstructions; ++i) {
        double t = 0;
        for (size_t u = 0; u < kWidth; ++u) t += p.r[i * kWidth + u] * m[u];
        t = std::max(0.0, t * (1 + 0.3 * normal(random)));
        p.time.push_back(static_cast<uint32_t>(std::lround(t)));
      }
    }
    Write(seed, p);
    return p;
  }

  void Write(uint64_t seed, const Program& p) {
    compute::GeneratedTrace generated(seed, 20 + seed * seed * 40);
    trace::TraceHeader header;
    const size_t columns = p.time.size() / kInstructions;
    for (size_t c = 0; c < columns; ++c) {
      header.latency_columns.push_back(absl::StrCat("m", c));
    }
    auto writer =
        trace::TraceWriter::Create(*trace::CreateFileSink(p.path), header);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (size_t at = 0; at < kInstructions; at += 1000) {
      trace::TraceChunk chunk;
      generated.Next(1000, &chunk.block);
      for (size_t c = 0; c < columns; ++c) {
        const auto from = p.time.begin() + c * kInstructions + at;
        chunk.latency_tenth_ns.emplace_back(from, from + 1000);
      }
      ASSERT_TRUE((*writer)->Append(chunk).ok());
    }
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  std::unique_ptr<compute::Representer> back_end_;
  std::vector<std::vector<double>> vectors_;
};

TEST_F(TraceEvidenceTest, IsTheSumOverInstructions) {
  const Program p = MakeProgram(1);
  TraceEvidenceOptions options;
  options.columns = {"m4", "m1"};
  options.skip = 500;
  options.interval = 2000;
  auto e = MakeTraceEvidence(p.path, back_end_.get(), options);
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_EQ(e->program(), "evidence1");
  EXPECT_EQ(e->model_id(), back_end_->model()->id());
  EXPECT_EQ(e->instructions(), kInstructions - 500);
  ASSERT_EQ(e->columns_size(), 2);
  EXPECT_EQ(e->columns(0).name(), "m4");
  ASSERT_EQ(e->columns(1).interval_times_size(), 2);
  ASSERT_EQ(e->interval_sums_size(), 2 * kWidth);
  double gram = 0, cross = 0, sum = 0, time = 0;
  for (size_t i = 500; i < kInstructions; ++i) {
    const double r = p.r[i * kWidth + 2], t = p.time[kInstructions + i];
    gram += r * p.r[i * kWidth + 3];
    cross += r * t;
    if (i < 2500) continue;
    sum += r;
    time += t;
  }
  // Row 2 of the triangle begins behind 8 + 7 others; its first is column 2.
  EXPECT_NEAR(e->gram(16), gram, 1e-5 * gram);
  EXPECT_NEAR(e->columns(1).cross(2), cross, 1e-5 * cross);
  EXPECT_NEAR(e->interval_sums(kWidth + 2), sum, 1e-9 * sum);
  EXPECT_EQ(e->columns(1).interval_times(1), time);

  options.totals_only = true;
  e = MakeTraceEvidence(p.path, back_end_.get(), options);
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_TRUE(e->gram().empty());
  EXPECT_TRUE(e->columns(0).cross().empty());
  EXPECT_EQ(e->columns(1).interval_times(1), time);
}

// Files of a folder whose names end so.
std::vector<std::string> Files(const std::string& directory,
                               const std::string& ending) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string path = entry.path().string();
    if (path.size() >= ending.size() &&
        path.substr(path.size() - ending.size()) == ending) {
      files.push_back(path);
    }
  }
  return files;
}

void Damage(const std::string& file, int64_t at) {
  std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
  damage.seekp(at);
  damage.put('x');
}

// What the architectures have no part in is kept: G of the file is used as it
// is, for other columns than those it was made with, and made anew if damaged.
TEST_F(TraceEvidenceTest, SumsAreKeptForFurtherArchitectures) {
  const Program p = MakeProgram(1);
  TraceEvidenceOptions options;
  options.skip = 100;
  options.interval = 1000;
  options.columns = {"m2"};
  options.cache = ::testing::TempDir() + "/evidence_sums";
  std::filesystem::remove_all(options.cache);
  const auto make = [&] {
    auto made = MakeTraceEvidence(p.path, back_end_.get(), options);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : v1::TraceEvidence();
  };
  const v1::TraceEvidence first = make();
  const auto sums = Files(options.cache, ".sums");
  ASSERT_EQ(sums.size(), 1u);

  // Told by a G that only the file has.
  SumsKey key;
  key.rows.model_id = back_end_->model()->id();
  key.rows.width = kWidth;
  auto digest = DigestOfTrace(p.path, &key.rows.instructions);
  ASSERT_TRUE(digest.ok()) << digest.status();
  key.rows.digest = *digest;
  key.skip = 100;
  key.interval = 1000;
  EXPECT_EQ(key.PathIn(options.cache), sums[0]);
  compute::ProgramEvidence kept;
  ASSERT_TRUE(ReadKeptSums(sums[0], key, &kept));
  EXPECT_EQ(kept.instructions, kInstructions - 100);
  EXPECT_EQ(kept.gram[1], first.gram(1));
  compute::ProgramEvidence marked = kept;
  marked.gram[1] = 12345;
  ASSERT_TRUE(WriteKeptSums(sums[0], key, marked).ok());
  options.columns = {"m0", "m5"};
  const v1::TraceEvidence more = make();
  EXPECT_EQ(more.gram(1), 12345);
  EXPECT_THAT(more.interval_sums(),
              testing::ElementsAreArray(first.interval_sums()));
  ASSERT_EQ(more.columns_size(), 2);
  EXPECT_EQ(more.columns(1).interval_times_size(), 5);
  double cross = 0;
  for (size_t i = 100; i < kInstructions; ++i) {
    cross += p.r[i * kWidth + 2] * p.time[5 * kInstructions + i];
  }
  EXPECT_NEAR(more.columns(1).cross(2), cross, 1e-5 * cross);

  // Of another key, damaged or cut it counts as none.
  SumsKey other = key;
  other.interval = 2000;
  EXPECT_FALSE(ReadKeptSums(sums[0], other, &kept));
  other = key;
  other.rows.model_id[3] ^= 1;
  EXPECT_FALSE(ReadKeptSums(sums[0], other, &kept));
  for (int64_t at : {3, 200, 700}) {
    ASSERT_TRUE(WriteKeptSums(sums[0], key, marked).ok());
    ASSERT_TRUE(ReadKeptSums(sums[0], key, &kept));
    Damage(sums[0], at);
    EXPECT_FALSE(ReadKeptSums(sums[0], key, &kept)) << at;
  }
  for (uint64_t size : {0, 5, 160, 700, 800}) {
    std::filesystem::resize_file(sums[0], size);
    EXPECT_FALSE(ReadKeptSums(sums[0], key, &kept)) << size;
  }
  EXPECT_NEAR(make().gram(1), first.gram(1), 1e-5 * first.gram(1));
  EXPECT_TRUE(ReadKeptSums(sums[0], key, &kept));
}

TEST_F(TraceEvidenceTest, TheCacheHasABound) {
  const Program one = MakeProgram(1), two = MakeProgram(2);
  TraceEvidenceOptions options;
  options.columns = {"m2"};
  options.cache = ::testing::TempDir() + "/evidence_bound";
  std::filesystem::remove_all(options.cache);
  const auto make = [&](const Program& p) {
    auto made = MakeTraceEvidence(p.path, back_end_.get(), options);
    EXPECT_TRUE(made.ok()) << made.status();
  };
  const auto total = [&] {
    uint64_t bytes = 0;
    for (const std::string& file : Files(options.cache, "s")) {
      bytes += std::filesystem::file_size(file);
    }
    return bytes;
  };
  make(one);
  std::ofstream(options.cache + "/mine.txt") << std::string(1 << 20, 'x');
  const uint64_t first = total();
  // Room for one and a half: the first goes, what is not of the cache stays.
  options.cache_bytes = first * 3 / 2;
  make(two);
  EXPECT_LE(total(), options.cache_bytes);
  EXPECT_EQ(Files(options.cache, ".rows").size(), 1u);
  EXPECT_EQ(Files(options.cache, ".txt").size(), 1u);
  // What was used last stays.
  options.cache_bytes = first * 5 / 2;
  make(one);
  make(two);
  EXPECT_EQ(Files(options.cache, ".rows").size(), 2u);
  options.cache_bytes = first * 3 / 2;
  make(two);
  EXPECT_FALSE(PruneCache(options.cache, 0, Files(options.cache, "s")));
  EXPECT_TRUE(PruneCache(options.cache, options.cache_bytes, {}));
  EXPECT_LE(total(), options.cache_bytes);
  // No room for representations at all: the sums alone are kept.
  std::filesystem::remove_all(options.cache);
  options.cache_bytes = 4096;
  make(one);
  EXPECT_TRUE(Files(options.cache, ".rows").empty());
  EXPECT_EQ(Files(options.cache, ".sums").size(), 1u);
  make(one);
}

TEST_F(TraceEvidenceTest, KeptRepresentationsGiveTheSame) {
  const Program p = MakeProgram(1);
  TraceEvidenceOptions options;
  options.skip = 100;
  auto fresh = MakeTraceEvidence(p.path, back_end_.get(), options);
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  options.cache = ::testing::TempDir() + "/evidence_cache";
  std::filesystem::remove_all(options.cache);
  const auto same = [&](const v1::TraceEvidence& e) {
    ASSERT_EQ(e.gram_size(), fresh->gram_size());
    for (int i = 0; i < e.gram_size(); ++i) {
      ASSERT_NEAR(e.gram(i), fresh->gram(i), 1e-5 * fresh->gram(i) + 1e-5);
    }
    const auto& cross = e.columns(7).cross();
    for (int i = 0; i < cross.size(); ++i) {
      const double expected = fresh->columns(7).cross(i);
      ASSERT_NEAR(cross[i], expected, 1e-5 * expected + 1e-4);
    }
    EXPECT_EQ(e.columns(7).interval_times(0),
              fresh->columns(7).interval_times(0));
  };
  auto made = MakeTraceEvidence(p.path, back_end_.get(), options);
  ASSERT_TRUE(made.ok()) << made.status();
  same(*made);
  // A back end that is never asked: the rows come from the file.
  class Idle : public compute::Representer {
   public:
    explicit Idle(compute::Representer* like) : like_(like) {}
    const std::shared_ptr<const compute::FoundationModel>& model()
        const override {
      return like_->model();
    }
    std::string Description() const override { return like_->Description(); }
    int PreferredLanes() const override { return 1; }
    absl::Status RunNetwork(const compute::LaneBatch&, double*) override {
      return absl::InternalError("the network was run");
    }

   private:
    compute::Representer* like_;
  } idle(back_end_.get());
  auto kept = MakeTraceEvidence(p.path, &idle, options);
  ASSERT_TRUE(kept.ok()) << kept.status();
  same(*kept);
  // Other instructions are not those.
  const Program other = MakeProgram(2);
  EXPECT_EQ(MakeTraceEvidence(other.path, &idle, options).status().code(),
            absl::StatusCode::kInternal);

  ASSERT_EQ(Files(options.cache, "").size(), 2u);
  const auto file = Files(options.cache, ".rows").at(0);
  Damage(file, 5000);
  kept = MakeTraceEvidence(p.path, &idle, options);
  EXPECT_EQ(kept.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(kept.status().message()), HasSubstr("delete it"));
  std::filesystem::resize_file(file, 3000);
  kept = MakeTraceEvidence(p.path, &idle, options);
  EXPECT_EQ(kept.status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(TraceEvidenceTest, WhatCannotBeUsedIsNamed) {
  const Program p = MakeProgram(1);
  TraceEvidenceOptions options;
  options.columns = {"m99"};
  auto e = MakeTraceEvidence(p.path, back_end_.get(), options);
  EXPECT_EQ(e.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(e.status().message()),
              HasSubstr("no latencies on \"m99\", but on m0, m1"));
  options.columns.clear();
  options.skip = kInstructions;
  e = MakeTraceEvidence(p.path, back_end_.get(), options);
  EXPECT_THAT(std::string(e.status().message()),
              HasSubstr("expected more than 6000 instructions, found 6000"));
  Program bare;
  bare.path = ::testing::TempDir() + "/bare.pvt";
  Write(1, bare);
  e = MakeTraceEvidence(bare.path, back_end_.get(), {});
  EXPECT_EQ(e.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(e.status().message()), HasSubstr("no latencies;"));
}

// The service and `perfvec-worker evaluate --learn-from` learn by different
// weights of the same objective; given the same evidence they agree.
TEST_F(TraceEvidenceTest, TheServiceLearnsWhatTheEvaluationLearns) {
  constexpr size_t kNew = kMachines - 1;
  std::vector<compute::Evidence> served;
  std::vector<compute::ProgramEvidence> evaluated;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    TraceEvidenceOptions options;
    options.interval = 1000;
    auto e =
        MakeTraceEvidence(MakeProgram(seed).path, back_end_.get(), options);
    ASSERT_TRUE(e.ok()) << e.status();
    compute::Evidence s;
    compute::ProgramEvidence v;
    s.program = e->program();
    s.instructions = v.instructions = e->instructions();
    v.interval_sums = {e->interval_sums().begin(), e->interval_sums().end()};
    for (int k = 0; k < e->columns(kNew).interval_times_size(); ++k) {
      const double* sum = e->interval_sums().data() + k * kWidth;
      s.totals.push_back(
          {{sum, sum + kWidth}, e->columns(kNew).interval_times(k), 0});
      for (const auto& c : e->columns()) {
        v.interval_times.push_back(c.interval_times(k));
      }
    }
    v.gram.resize(kWidth * kWidth);
    int at = 0;
    for (size_t i = 0; i < kWidth; ++i) {
      for (size_t j = i; j < kWidth; ++j) {
        v.gram[i * kWidth + j] = v.gram[j * kWidth + i] = e->gram(at++);
      }
      s.cross.push_back(e->columns(kNew).cross(static_cast<int>(i)));
      for (const auto& c : e->columns()) {
        v.cross.push_back(c.cross(static_cast<int>(i)));
      }
    }
    s.gram = v.gram;
    served.push_back(std::move(s));
    evaluated.push_back(std::move(v));
  }
  std::vector<compute::KnownVector> known;
  std::vector<std::vector<double>> vectors;
  for (size_t a = 0; a < kNew; ++a) {
    known.push_back({absl::StrCat("m", a), vectors_[a]});
    vectors.push_back(vectors_[a]);
  }
  auto learned = compute::LearnFromTimes(served, known, {});
  ASSERT_TRUE(learned.ok()) << learned.status();
  std::vector<const compute::ProgramEvidence*> pointers;
  for (const auto& one : evaluated) pointers.push_back(&one);
  const compute::LearnWeights weights;
  auto prior = compute::FitArchitecturePrior(
      vectors, compute::MeanRepresentation(pointers), weights.rank);
  ASSERT_TRUE(prior.ok()) << prior.status();
  auto other = compute::LearnArchitecture(pointers, kNew, *prior, weights);
  ASSERT_TRUE(other.ok()) << other.status();
  const Program fresh = MakeProgram(5);
  double a = 0, b = 0, truth = 0;
  for (size_t i = 0; i < fresh.r.size(); ++i) {
    a += fresh.r[i] * learned->vector[i % kWidth];
    b += fresh.r[i] * (*other)[i % kWidth];
  }
  for (size_t i = 0; i < kInstructions; ++i) {
    truth += fresh.time[kNew * kInstructions + i];
  }
  EXPECT_NEAR(a / b, 1, 0.005);
  EXPECT_NEAR(a / truth, 1, 0.01);
}

}  // namespace
}  // namespace perfvec::evidence
