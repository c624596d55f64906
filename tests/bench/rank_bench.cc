// The kernels behind Rank and PredictMatrix, one thread, no RPC.
//
// rank*: one vector against many, GB/s of vectors read. Rivals: one pass over
// the same bytes (their sum, with as many accumulators as the kernel has) and
// OpenBLAS sgemv on row-major vectors. matrix*: many against many, GFLOP/s,
// against OpenBLAS sgemm. The rival of the row is the better one; the other's
// ratio is in "other_ratio". Time is CPU time of the thread.
#include <cblas.h>
#include <immintrin.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "server/predictor/kernels.h"
#include "server/predictor/vector_table.h"
#include "tests/bench/pairs.h"

namespace perfvec::server {
namespace {

constexpr int64_t kWidth = 256;

double ThreadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

// Seconds of `work` once; repeated to at least `min_seconds`.
template <typename Work>
double Time(double min_seconds, const Work& work) {
  int64_t times = 0;
  const double begin = ThreadSeconds();
  double seconds = 0;
  do {
    work();
    ++times;
    seconds = ThreadSeconds() - begin;
  } while (seconds < min_seconds);
  return seconds / times;
}

__attribute__((target_clones("avx512f", "avx2", "default"))) float Sum(
    const float* values, int64_t count) {
  constexpr int kLanes = 128;
  float sums[kLanes] = {};
  for (int64_t i = 0; i < count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += values[i + lane];
  }
  float sum = 0;
  for (float s : sums) sum += s;
  return sum;
}

AlignedFloats Random(int64_t count) {
  AlignedFloats values = NewAlignedFloats(count);
  std::mt19937 random(20261121);
  std::uniform_real_distribution<float> value(0, 1);
  for (int64_t i = 0; i < count; ++i) values[i] = value(random);
  return values;
}

void BenchRank(const std::string& row, int64_t rows, const Kernels& kernels) {
  const AlignedFloats panels = Random(rows * kWidth);
  const AlignedFloats x = Random(kWidth);
  std::vector<float> out(rows);
  const double bytes = rows * kWidth * sizeof(float);
  const double min_seconds = 0.02;
  volatile float sink = 0;
  const auto ours = [&] {
    const double s = Time(min_seconds, [&] {
      kernels.rank(x.get(), panels.get(), rows / kPanelRows, kWidth,
                   out.data());
    });
    return bytes / s / 1e9;
  };
  const auto pass = [&] {
    const double s =
        Time(min_seconds, [&] { sink = Sum(panels.get(), rows * kWidth); });
    return bytes / s / 1e9;
  };
  const auto gemv = [&] {
    const double s = Time(min_seconds, [&] {
      cblas_sgemv(CblasRowMajor, CblasNoTrans, rows, kWidth, 1, panels.get(),
                  kWidth, x.get(), 1, 0, out.data(), 1);
    });
    return bytes / s / 1e9;
  };
  std::vector<double> a, b, c;
  for (int i = 0; i < 22; ++i) {
    const double o = ours(), p = pass(), g = gemv();
    if (i == 0) continue;
    a.push_back(o);
    b.push_back(p);
    c.push_back(g);
  }
  const bool pass_is_better =
      bench::Percentile(b, 0.5) > bench::Percentile(c, 0.5);
  bench::PairOptions options;
  options.row = row;
  options.unit = "GB/s";
  bench::PrintRow(
      options, a, pass_is_better ? b : c,
      {{"rows", rows},
       {"kernel", kernels.name},
       {"rival_is", pass_is_better ? "one pass" : "sgemv"},
       {"other_rival", bench::Percentile(pass_is_better ? c : b, 0.5)}});
}

void BenchMatrix(const std::string& row, int64_t programs,
                 int64_t architectures, const Kernels& kernels) {
  const AlignedFloats x = Random(programs * kWidth);
  const AlignedFloats y = Random(architectures * kWidth);
  const AlignedFloats out = NewAlignedFloats(programs * architectures);
  const double flop = 2.0 * programs * architectures * kWidth;
  bench::PairOptions options;
  options.row = row;
  options.unit = "GFLOP/s";
  bench::RunPairs(
      options,
      [&] {
        return flop / 1e9 / Time(0.05, [&] {
                 kernels.matrix(x.get(), programs / kPanelRows, y.get(),
                                architectures / kPanelRows, kWidth, out.get());
               });
      },
      [&] {
        return flop / 1e9 / Time(0.05, [&] {
                 cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, programs,
                             architectures, kWidth, 1, x.get(), kWidth, y.get(),
                             kWidth, 0, out.get(), architectures);
               });
      },
      {{"programs", programs},
       {"architectures", architectures},
       {"kernel", kernels.name},
       {"rival_is", "sgemm"}});
}

int Main() {
  openblas_set_num_threads(1);
  for (const Kernels* kernels : SupportedKernels()) {
    const std::string name = kernels->name;
    const bool best = kernels == &BestKernels();
    if (name == "generic" && !best) continue;  // std::fma in the C library
    const std::string suffix = best ? "" : "_" + name;
    BenchRank("rank_cache" + suffix, 128, *kernels);  // 128 KiB
    BenchRank("rank" + suffix, 131072, *kernels);     // 128 MiB
    BenchMatrix("rank_matrix_small" + suffix, 16, 96, *kernels);
    BenchMatrix("rank_matrix" + suffix, 1024, 960, *kernels);
  }
  return 0;
}

}  // namespace
}  // namespace perfvec::server

int main() { return perfvec::server::Main(); }
