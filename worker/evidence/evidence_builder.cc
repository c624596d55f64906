#include "worker/evidence/evidence_builder.h"

#include <cblas.h>

#include <algorithm>
#include <utility>

namespace perfvec::compute {
namespace {

constexpr size_t kBlockRows = 1024;  // of one matrix product

// Row 2k + 1 is added to row 2k of the table, which becomes row k.
void AddPairs(std::vector<double>& table, size_t rows, size_t width) {
  if (table.empty()) return;
  for (size_t k = 0; k < rows / 2; ++k) {
    for (size_t i = 0; i < width; ++i) {
      table[k * width + i] =
          table[2 * k * width + i] + table[(2 * k + 1) * width + i];
    }
  }
  table.resize(rows / 2 * width);
}

// The last row of the table is added to the one before it.
void AddLast(std::vector<double>& table, size_t width) {
  if (table.empty()) return;
  const size_t last = table.size() - width;
  for (size_t i = 0; i < width; ++i) table[last - width + i] += table[last + i];
  table.resize(last);
}

}  // namespace

EvidenceBuilder::EvidenceBuilder(const EvidenceOptions& options)
    : options_(options),
      interval_(std::max<size_t>(1, options.interval)),
      gram_(options.times_only ? 0 : options.width * options.width),
      cross_(options.width * options.columns) {
  out_.gram.assign(gram_.size(), 0);
  out_.cross.assign(cross_.size(), 0);
}

void EvidenceBuilder::Add(const float* representations, const float* times,
                          size_t rows) {
  for (size_t at = 0; at < rows; at += kBlockRows) {
    AddBlock(representations + at * options_.width,
             times + at * options_.columns, std::min(kBlockRows, rows - at));
  }
}

void EvidenceBuilder::AddBlock(const float* r, const float* t, size_t rows) {
  const int h = static_cast<int>(options_.width);
  const int a = static_cast<int>(options_.columns), m = static_cast<int>(rows);
  if (!gram_.empty()) {
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, h, m, 1, r, h, 0,
                gram_.data(), h);
    for (size_t i = 0; i < gram_.size(); ++i) out_.gram[i] += gram_[i];
  }
  if (a == 1) {
    cblas_sgemv(CblasRowMajor, CblasTrans, m, h, 1, r, h, t, 1, 0,
                cross_.data(), 1);
  } else if (a > 1) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, h, a, m, 1, r, h, t, a,
                0, cross_.data(), a);
  }
  for (size_t i = 0; i < cross_.size(); ++i) out_.cross[i] += cross_[i];
  AddToIntervals(r, t, rows);
  out_.instructions += static_cast<double>(rows);
}

void EvidenceBuilder::AddToIntervals(const float* r, const float* t,
                                     size_t rows) {
  const size_t h = options_.times_only ? 0 : options_.width;
  const size_t a = options_.columns;
  for (size_t i = 0; i < rows; ++i, ++in_last_) {
    if (intervals_ == 0 || in_last_ == interval_) {
      if (intervals_ == options_.max_intervals) {
        AddPairs(out_.interval_sums, intervals_, h);
        AddPairs(out_.interval_times, intervals_, a);
        intervals_ /= 2;
        interval_ *= 2;
      }
      ++intervals_;
      in_last_ = 0;
      out_.interval_sums.resize(intervals_ * h);
      out_.interval_times.resize(intervals_ * a);
    }
    double* const sum = out_.interval_sums.data() + (intervals_ - 1) * h;
    double* const time = out_.interval_times.data() + (intervals_ - 1) * a;
    for (size_t u = 0; u < h; ++u) sum[u] += r[i * h + u];
    for (size_t c = 0; c < a; ++c) time[c] += t[i * a + c];
  }
}

ProgramEvidence EvidenceBuilder::Take() {
  if (intervals_ > 1 && in_last_ < interval_) {
    AddLast(out_.interval_sums, options_.times_only ? 0 : options_.width);
    AddLast(out_.interval_times, options_.columns);
  }
  const size_t h = options_.width;
  for (size_t i = 0; !out_.gram.empty() && i < h; ++i) {
    for (size_t j = 0; j < i; ++j) out_.gram[i * h + j] = out_.gram[j * h + i];
  }
  return std::move(out_);
}

}  // namespace perfvec::compute
