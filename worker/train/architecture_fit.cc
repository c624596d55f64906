#include "worker/train/architecture_fit.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

// LAPACK, Fortran calling convention.
extern "C" void dposv_(const char* uplo, const int* n, const int* nrhs,
                       double* a, const int* lda, double* b, const int* ldb,
                       int* info);

namespace perfvec::train {

ArchitectureSums::ArchitectureSums(int width)
    : h_(width),
      gram_(size_t(width) * width),
      right_(width),
      interval_gram_(size_t(width) * width),
      interval_right_(width) {}

void ArchitectureSums::Add(const ProgramEvidence& p, int architecture,
                           int architectures) {
  const size_t a = architectures, intervals = p.interval_times.size() / a;
  double total = 0;
  for (size_t k = 0; k < intervals; ++k) {
    total += p.interval_times[k * a + architecture];
  }
  if (!(total > 0)) return;
  ++programs_;
  const double w = p.instructions / (total * total);  // 1 / (n ℓ²)
  cblas_daxpy(h_ * h_, w, p.gram.data(), 1, gram_.data(), 1);
  cblas_daxpy(h_, w, &p.cross[architecture], architectures, right_.data(), 1);

  const double least = kLeastShare * total / intervals;
  const double share = 1 / std::sqrt(static_cast<double>(intervals));
  scaled_.assign(intervals * h_, 0);
  for (size_t k = 0; k < intervals; ++k) {
    const double time = p.interval_times[k * a + architecture];
    const double scale = share / std::max(time, least);
    cblas_daxpy(h_, scale, &p.interval_sums[k * h_], 1, &scaled_[k * h_], 1);
    cblas_daxpy(h_, scale * time, &scaled_[k * h_], 1, interval_right_.data(),
                1);
  }
  cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, h_, intervals, 1,
              scaled_.data(), h_, 1, interval_gram_.data(), h_);
}

void ArchitectureSums::Add(const ArchitectureSums& others) {
  programs_ += others.programs_;
  cblas_daxpy(h_ * h_, 1, others.gram_.data(), 1, gram_.data(), 1);
  cblas_daxpy(h_ * h_, 1, others.interval_gram_.data(), 1,
              interval_gram_.data(), 1);
  cblas_daxpy(h_, 1, others.right_.data(), 1, right_.data(), 1);
  cblas_daxpy(h_, 1, others.interval_right_.data(), 1, interval_right_.data(),
              1);
}

absl::StatusOr<std::vector<double>> ArchitectureSums::Solve(
    const FitWeights& weights, const double* initial) const {
  std::vector<double> normal = gram_, solution = right_;
  cblas_daxpy(h_ * h_, weights.interval, interval_gram_.data(), 1,
              normal.data(), 1);
  cblas_daxpy(h_, weights.interval, interval_right_.data(), 1, solution.data(),
              1);
  for (int i = 0; i < h_; ++i) {
    normal[size_t(i) * h_ + i] += weights.prior;
    solution[i] += weights.prior * initial[i];
  }
  // Rows' upper triangle is columns' lower one.
  int info = 0;
  const int one = 1;
  dposv_("L", &h_, &one, normal.data(), &h_, solution.data(), &h_, &info);
  if (info != 0) {
    return absl::InternalError(absl::StrCat(
        "normal equations of ", programs_, " programs: expected a ",
        "positive definite matrix, the leading minor of order ", info,
        " is not; raise the prior's weight"));
  }
  return solution;
}

absl::StatusOr<std::vector<double>> FitArchitectures(
    const std::vector<const ProgramEvidence*>& programs, int width,
    int architectures, const FitWeights& weights,
    const std::vector<double>& initial) {
  std::vector<double> table = initial;
  for (int a = 0; a < architectures; ++a) {
    ArchitectureSums sums(width);
    for (const ProgramEvidence* p : programs) sums.Add(*p, a, architectures);
    if (sums.empty()) continue;
    auto vector = sums.Solve(weights, &initial[size_t(a) * width]);
    if (!vector.ok()) return vector.status();
    std::copy(vector->begin(), vector->end(), &table[size_t(a) * width]);
  }
  return table;
}

}  // namespace perfvec::train
