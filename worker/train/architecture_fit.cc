#include "worker/train/architecture_fit.h"

#include <cblas.h>

#include <cmath>

#include "absl/strings/str_cat.h"

// LAPACK, Fortran calling convention.
extern "C" void dposv_(const char* uplo, const int* n, const int* nrhs,
                       double* a, const int* lda, double* b, const int* ldb,
                       int* info);

namespace perfvec::train {
namespace {

double Mean(const std::vector<double>& values, size_t begin, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += values[begin + i];
  return sum / count;
}

}  // namespace

absl::StatusOr<std::vector<double>> FitArchitectures(
    const std::vector<const ProgramEvidence*>& programs, int width,
    int architectures, const FitWeights& weights,
    const std::vector<double>& initial) {
  const int h = width, a = architectures;
  std::vector<double> normal(size_t(h) * h), right(size_t(h) * a);
  for (int i = 0; i < h; ++i) {
    normal[size_t(i) * h + i] = weights.prior;
    for (int j = 0; j < a; ++j) {
      right[size_t(i) * a + j] = weights.prior * initial[size_t(j) * h + i];
    }
  }
  for (const ProgramEvidence* p : programs) {
    const size_t intervals = p->interval_times.size() / a;
    double total = 0;
    for (double t : p->interval_times) total += t;
    const double mean_latency = total / (a * p->instructions);
    const double w =
        1 / (p->instructions * std::pow(mean_latency, weights.program_power));
    cblas_daxpy(h * h, w, p->gram.data(), 1, normal.data(), 1);
    cblas_daxpy(h * a, w, p->cross.data(), 1, right.data(), 1);
    for (size_t k = 0; k < intervals; ++k) {
      const double scale = Mean(p->interval_times, k * a, a);
      if (scale <= 0) continue;
      const double v = weights.interval / (scale * scale * intervals);
      const double* s = &p->interval_sums[k * h];
      cblas_dger(CblasRowMajor, h, h, v, s, 1, s, 1, normal.data(), h);
      cblas_dger(CblasRowMajor, h, a, v, s, 1, &p->interval_times[k * a], 1,
                 right.data(), a);
    }
  }
  // Column-major for LAPACK: the symmetric matrix is its own transpose.
  std::vector<double> solution(size_t(a) * h);
  for (int i = 0; i < h; ++i) {
    for (int j = 0; j < a; ++j) {
      solution[size_t(j) * h + i] = right[size_t(i) * a + j];
    }
  }
  int info = 0;
  dposv_("U", &h, &a, normal.data(), &h, solution.data(), &h, &info);
  if (info != 0) {
    return absl::InternalError(absl::StrCat(
        "normal equations of ", programs.size(), " programs: expected a ",
        "positive definite matrix, the leading minor of order ", info,
        " is not; raise the prior's weight"));
  }
  return solution;
}

}  // namespace perfvec::train
