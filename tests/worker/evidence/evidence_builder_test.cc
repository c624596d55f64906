#include "worker/evidence/evidence_builder.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

namespace perfvec::compute {
namespace {

constexpr size_t kRows = 3000, kWidth = 7, kColumns = 3;

struct Rows {
  std::vector<float> r, t;
};

Rows MakeRows() {
  std::mt19937 random(20261121);
  Rows rows;
  for (size_t i = 0; i < kRows * kWidth; ++i) {
    rows.r.push_back(static_cast<float>(random() % 256) / 256);
  }
  for (size_t i = 0; i < kRows * kColumns; ++i) {
    rows.t.push_back(static_cast<float>(random() % 50));
  }
  return rows;
}

ProgramEvidence Build(const Rows& rows, const EvidenceOptions& options,
                      size_t piece = kRows) {
  EvidenceBuilder builder(options);
  for (size_t at = 0; at < kRows; at += piece) {
    builder.Add(&rows.r[at * kWidth], &rows.t[at * options.columns],
                std::min(piece, kRows - at));
  }
  return builder.Take();
}

TEST(EvidenceBuilderTest, AllArchitecturesInOnePassAreEachOnItsOwn) {
  const Rows rows = MakeRows();
  const ProgramEvidence all = Build(rows, {kWidth, kColumns, 500}, 700);
  EXPECT_EQ(all.instructions, kRows);
  ASSERT_EQ(all.interval_sums.size(), 6 * kWidth);
  for (size_t c = 0; c < kColumns; ++c) {
    Rows one = rows;
    one.t.clear();
    for (size_t i = 0; i < kRows; ++i) {
      one.t.push_back(rows.t[i * kColumns + c]);
    }
    EvidenceOptions options{kWidth, 1, 500};
    options.times_only = c > 0;
    const ProgramEvidence alone = Build(one, options);
    if (c == 0) {
      EXPECT_EQ(alone.interval_sums, all.interval_sums);
      for (size_t i = 0; i < kWidth * kWidth; ++i) {
        EXPECT_NEAR(alone.gram[i], all.gram[i], 1e-5 * all.gram[i]);
      }
    } else {
      EXPECT_TRUE(alone.gram.empty());
      EXPECT_TRUE(alone.interval_sums.empty());
    }
    for (size_t u = 0; u < kWidth; ++u) {
      double cross = 0;
      for (size_t i = 0; i < kRows; ++i) {
        cross += double{rows.r[i * kWidth + u]} * one.t[i];
      }
      EXPECT_NEAR(all.cross[u * kColumns + c], cross, 1e-5 * cross);
      EXPECT_NEAR(alone.cross[u], cross, 1e-5 * cross);
    }
    for (size_t k = 0; k < 6; ++k) {
      EXPECT_EQ(all.interval_times[k * kColumns + c], alone.interval_times[k]);
    }
  }
}

TEST(EvidenceBuilderTest, IntervalsAreMergedToStayFew) {
  const Rows rows = MakeRows();
  EvidenceOptions options{kWidth, kColumns, 100};
  options.max_intervals = 8;
  const ProgramEvidence few = Build(rows, options, 64);
  // 30 of 100 become 7 of 400 and 200 that the last one takes.
  ASSERT_EQ(few.interval_times.size(), 7 * kColumns);
  double last = 0, all = 0;
  for (size_t i = 0; i < kRows; ++i) {
    all += rows.t[i * kColumns];
    if (i >= 2400) last += rows.t[i * kColumns];
  }
  EXPECT_EQ(few.interval_times[6 * kColumns], last);
  double sum = 0;
  for (size_t k = 0; k < 7; ++k) sum += few.interval_times[k * kColumns];
  EXPECT_EQ(sum, all);
}

TEST(EvidenceBuilderTest, NothingGivesNothing) {
  EvidenceBuilder builder({kWidth, kColumns});
  const ProgramEvidence none = builder.Take();
  EXPECT_EQ(none.instructions, 0);
  EXPECT_TRUE(none.interval_sums.empty());
}

}  // namespace
}  // namespace perfvec::compute
