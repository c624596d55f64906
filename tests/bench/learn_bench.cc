// The closed form of LearnArchitecture against two ways to descend the same
// objective: conjugate gradients on its normal equations (preconditioned by
// their diagonal) and Adam, with the best of six step sizes.
//
//   learn_bench [MODEL_DIR]
//
// Before it what a server does for a request of 20 and of 40 runs and of 3 and
// 20 traces (their sums made before), and the sums of per-instruction evidence
// from representations kept in memory: those of 77 architectures in one pass
// against one after the other, of one architecture against reading the memory,
// and with G kept against G anew.
//
// The prior is that of the model's architectures but one; the totals are those
// of 20 synthetic programs (log-normal vectors) on the one left out, 5 % noise.
// Each line has the loss above the least one, relative, and the time: of the
// descents to 1 % and to 1e-6 above it.
#include <cblas.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/pairs.h"
#include "worker/evidence/evidence_builder.h"
#include "worker/learn/belief.h"
#include "worker/learn/dense.h"
#include "worker/learn/learn_from_times.h"
#include "worker/model/foundation_model.h"

namespace perfvec::compute {
namespace {

constexpr size_t kTotals = 20, kRuns = 40;
// 128 MiB of representations: more than caches hold.
constexpr size_t kEvidenceRows = 1 << 17, kEvidenceWidth = 256, kColumns = 77;
constexpr double kNoise = 0.05;
constexpr int kCgSteps = 4000, kAdamSteps = 30000;
constexpr double kAdamRates[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
constexpr double kGoals[] = {1e-2, 1e-6};
constexpr int kRepeats = 31;

double Dot(const double* a, const double* b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// mᵀ A m − 2 mᵀ b + c
struct Objective {
  std::vector<double> a, b;
  double c = 0;
  size_t h() const { return b.size(); }
  std::vector<double> Times(const std::vector<double>& m) const {
    std::vector<double> out(h());
    for (size_t i = 0; i < h(); ++i) out[i] = Dot(&a[i * h()], m.data(), h());
    return out;
  }
  double Loss(const std::vector<double>& m) const {
    return Dot(m.data(), Times(m).data(), h()) -
           2 * Dot(m.data(), b.data(), h()) + c;
  }
};

Objective MakeObjective(const Belief& belief, const TimesEvidence& times) {
  const size_t h = belief.width();
  Objective o;
  o.a.assign(h * h, 0);
  for (size_t i = 0; i < h; ++i) o.a[i * h + i] = 1;
  CholeskySolve(belief.covariance, h, o.a, h);
  o.b.assign(h, 0);
  for (size_t i = 0; i < h; ++i) {
    o.b[i] = Dot(&o.a[i * h], belief.mean.data(), h);
  }
  o.c = Dot(o.b.data(), belief.mean.data(), h);
  for (size_t k = 0; k < times.values.size(); ++k) {
    const double* x = &times.rows[k * h];
    const double w = 1 / times.variances[k];
    for (size_t i = 0; i < h; ++i) {
      o.b[i] += w * x[i] * times.values[k];
      for (size_t j = 0; j < h; ++j) o.a[i * h + j] += w * x[i] * x[j];
    }
    o.c += w * times.values[k] * times.values[k];
  }
  return o;
}

// When each goal was reached, seconds; infinite: not.
struct Descent {
  double reached[2] = {INFINITY, INFINITY};
  double excess = INFINITY;
  void Note(double excess_now, double seconds) {
    excess = std::min(excess, excess_now);
    for (int g = 0; g < 2; ++g) {
      if (excess_now <= kGoals[g] && !std::isfinite(reached[g])) {
        reached[g] = seconds;
      }
    }
  }
  bool Done() const { return std::isfinite(reached[1]); }
};

Descent ConjugateGradients(const Objective& o, std::vector<double> m,
                           double least) {
  Descent out;
  const size_t h = o.h();
  const double start = Now();
  double checks = 0;  // seconds of looking at the loss, not counted
  std::vector<double> r = o.Times(m), z(h), p(h);
  for (size_t i = 0; i < h; ++i) r[i] = o.b[i] - r[i];
  double rho = 0;
  for (int step = 0; step < kCgSteps && !out.Done(); ++step) {
    for (size_t i = 0; i < h; ++i) z[i] = r[i] / o.a[i * h + i];
    const double next = Dot(r.data(), z.data(), h);
    for (size_t i = 0; i < h; ++i) {
      p[i] = z[i] + (step == 0 ? 0 : next / rho) * p[i];
    }
    rho = next;
    const std::vector<double> ap = o.Times(p);
    const double f = rho / Dot(p.data(), ap.data(), h);
    for (size_t i = 0; i < h; ++i) {
      m[i] += f * p[i];
      r[i] -= f * ap[i];
    }
    const double pause = Now();
    out.Note(o.Loss(m) / least - 1, pause - start - checks);
    checks += Now() - pause;
  }
  return out;
}

Descent Adam(const Objective& o, std::vector<double> m, double least,
             double rate) {
  Descent out;
  const size_t h = o.h();
  const double start = Now();
  double checks = 0;
  std::vector<double> first(h), second(h);
  for (int step = 1; step <= kAdamSteps && !out.Done(); ++step) {
    const std::vector<double> am = o.Times(m);
    for (size_t i = 0; i < h; ++i) {
      const double g = 2 * (am[i] - o.b[i]);
      first[i] = 0.9 * first[i] + 0.1 * g;
      second[i] = 0.999 * second[i] + 0.001 * g * g;
      m[i] -= rate * (first[i] / (1 - std::pow(0.9, step))) /
              (std::sqrt(second[i] / (1 - std::pow(0.999, step))) + 1e-12);
    }
    if (step % 10 != 0) continue;
    const double pause = Now();
    out.Note(o.Loss(m) / least - 1, pause - start - checks);
    checks += Now() - pause;
  }
  return out;
}

void Print(const std::string& method, double excess, double seconds_1,
           double seconds_2, double closed) {
  std::printf(
      "{\"method\": \"%s\", \"loss_above_least\": %.3g, \"ms_to_1e-2\": %.3f, "
      "\"ms_to_1e-6\": %.3f, \"times_closed_form\": [%.0f, %.0f]}\n",
      method.c_str(), excess, 1e3 * seconds_1, 1e3 * seconds_2,
      seconds_1 / closed, seconds_2 / closed);
}

// Seconds to add `columns` latencies of each instruction, kept apart by
// architecture: one pass a column if `each`.
double AddSeconds(const std::vector<float>& r, const std::vector<float>& t,
                  size_t columns, bool each, bool gram_kept = true) {
  const double start = Now();
  for (size_t pass = 0; pass < (each ? columns : 1); ++pass) {
    EvidenceBuilder builder(
        {kEvidenceWidth, each ? 1 : columns, 10000, 64, gram_kept});
    builder.Add(r.data(), t.data(), kEvidenceRows);
    if (!(builder.Take().cross[0] > 0)) return NAN;
  }
  return Now() - start;
}

void BenchEvidence() {
  std::mt19937 random(7);
  std::vector<float> r(kEvidenceRows * kEvidenceWidth);
  std::vector<float> t(kEvidenceRows * kColumns);
  for (float& v : r) v = static_cast<float>(random() % 1024) / 1024;
  for (float& v : t) v = static_cast<float>(random() % 1024);
  const nlohmann::json extra = {{"instructions", kEvidenceRows},
                                {"width", kEvidenceWidth},
                                {"architectures", kColumns}};
  bench::PairOptions options;
  options.unit = "ms";
  options.higher_is_better = false;
  options.pairs = 5;
  options.row = "evidence_one_pass";
  bench::RunPairs(
      options, [&] { return 1e3 * AddSeconds(r, t, kColumns, false); },
      [&] { return 1e3 * AddSeconds(r, t, kColumns, true); }, extra);
  options.row = "evidence_one_architecture";
  options.pairs = 21;
  bench::RunPairs(
      options, [&] { return 1e3 * AddSeconds(r, t, 1, false); },
      [&] {
        const double start = Now();
        const float sum = cblas_sasum(static_cast<int>(r.size()), r.data(), 1);
        return sum > 0 ? 1e3 * (Now() - start) : NAN;
      },
      extra);
  options.row = "evidence_gram_kept";
  options.pairs = 7;
  bench::RunPairs(
      options, [&] { return 1e3 * AddSeconds(r, t, 1, false, true); },
      [&] { return 1e3 * AddSeconds(r, t, 1, false, false); }, extra);
}

// The evidence as of traces of a million instructions in ten intervals: sums of
// products that the program's mean leads to, cross from the true vector.
std::vector<Evidence> OfTraces(std::vector<Evidence> evidence, size_t count,
                               const float* truth, size_t h) {
  constexpr double kInstructions = 1e6;
  constexpr int kIntervals = 10;
  evidence.resize(count);
  for (Evidence& e : evidence) {
    const Total whole = e.totals[0];
    e.instructions = kInstructions;
    e.gram.assign(h * h, 0);
    e.cross.assign(h, 0);
    for (size_t i = 0; i < h; ++i) {
      for (size_t j = 0; j < h; ++j) {
        e.gram[i * h + j] =
            whole.sum[i] * whole.sum[j] * (i == j ? 1.5 : 1) / kInstructions;
        e.cross[i] += e.gram[i * h + j] * truth[j];
      }
    }
    e.totals.clear();
    for (int k = 0; k < kIntervals; ++k) {
      e.totals.push_back(whole);
      for (double& s : e.totals.back().sum) s /= kIntervals;
      e.totals.back().time *= (0.95 + 0.01 * k) / kIntervals;
    }
  }
  return evidence;
}

int Main(const std::string& directory) {
  auto model = FoundationModel::Load(directory);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", std::string(model.status().message()).c_str());
    return 1;
  }
  const size_t h = static_cast<size_t>(model->manifest().width);
  const int count = static_cast<int>(model->manifest().architectures.size());
  std::vector<KnownVector> known;
  std::vector<std::vector<double>> vectors;
  for (int a = 1; a < count; ++a) {
    const float* from = model->ArchitectureVector(a);
    vectors.emplace_back(from, from + h);
    known.push_back({model->manifest().architectures[a].name, vectors.back()});
  }
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> mean(h), base(h);
  for (double& b : base) b = std::exp(1.5 * normal(random) - 4);
  std::vector<std::vector<double>> programs;
  std::vector<double> truth;
  std::vector<Evidence> evidence;
  while (evidence.size() < kRuns) {
    std::vector<double> s(h);
    for (size_t i = 0; i < h; ++i) s[i] = base[i] * std::exp(normal(random));
    double time = 0;
    for (size_t i = 0; i < h; ++i)
      time += s[i] * model->ArchitectureVector(0)[i];
    double known_time = INFINITY;
    for (const auto& v : vectors) {
      known_time = std::min(known_time, Dot(s.data(), v.data(), h));
    }
    if (!(time > 0) || !(known_time > 0)) continue;  // no program
    time *= 1 + kNoise * normal(random);
    evidence.push_back(
        {"p" + std::to_string(evidence.size()), 1, {{s, time, 0}}, {}, {}});
    if (programs.size() == kTotals) continue;
    for (size_t i = 0; i < h; ++i) mean[i] += s[i] / kTotals;
    programs.push_back(s);
    truth.push_back(time);
  }
  const std::vector<Evidence> fewer(evidence.begin(),
                                    evidence.begin() + kTotals);
  const auto belief = BeliefOfKnown(vectors, mean);
  if (!belief.ok()) return 1;
  TimesEvidence times;
  double scale = 0;
  for (size_t k = 0; k < kTotals; ++k) {
    scale +=
        truth[k] / Dot(programs[k].data(), belief->mean.data(), h) / kTotals;
  }
  for (size_t k = 0; k < kTotals; ++k) {
    for (double s : programs[k]) times.rows.push_back(s * scale / truth[k]);
    times.values.push_back(1);
    times.variances.push_back(kNoise * kNoise);
  }
  const Objective objective = MakeObjective(*belief, times);
  BenchEvidence();
  const float* vector = model->ArchitectureVector(0);
  const auto few_traces = OfTraces(evidence, 3, vector, h);
  const auto traces = OfTraces(evidence, kTotals, vector, h);
  std::vector<double> seconds, whole, whole_runs, of_few, of_traces, best;
  for (int r = 0; r < kRepeats; ++r) {
    const double start = Now();
    auto update = AbsorbTimes(*belief, MakeKernel(*belief, times.rows), times);
    seconds.push_back(Now() - start);
    if (!update.ok()) return 1;
    best = update->mean;
    const double begin = Now();
    if (!LearnFromTimes(fewer, known, {}).ok()) return 1;
    const double middle = Now();
    if (!LearnFromTimes(evidence, known, {}).ok()) return 1;
    whole.push_back(middle - begin);
    whole_runs.push_back(Now() - middle);
    const double few_begin = Now();
    if (!LearnFromTimes(few_traces, known, {}).ok()) return 1;
    const double traces_begin = Now();
    if (!LearnFromTimes(traces, known, {}).ok()) return 1;
    of_few.push_back(traces_begin - few_begin);
    of_traces.push_back(Now() - traces_begin);
  }
  const double closed = bench::Percentile(seconds, 0.5);
  std::printf(
      "{\"cpu\": \"%s\", \"width\": %zu, \"totals\": %zu, "
      "\"known\": %zu, \"learn_from_times_ms\": %.2f, \"of_40_ms\": [%.2f, "
      "%.2f], \"of_3_traces_ms\": [%.2f, %.2f], \"of_20_traces_ms\": [%.2f, "
      "%.2f]}\n",
      bench::CpuName().c_str(), h, kTotals, vectors.size(),
      1e3 * bench::Percentile(whole, 0.5),
      1e3 * bench::Percentile(whole_runs, 0.5),
      1e3 * bench::Percentile(whole_runs, 0.9),
      1e3 * bench::Percentile(of_few, 0.5),
      1e3 * bench::Percentile(of_few, 0.9),
      1e3 * bench::Percentile(of_traces, 0.5),
      1e3 * bench::Percentile(of_traces, 0.9));
  const double least = objective.Loss(best);
  Print("closed form", 0, closed, closed, closed);
  const Descent cg = ConjugateGradients(objective, belief->mean, least);
  Print("conjugate gradients", cg.excess, cg.reached[0], cg.reached[1], closed);
  Descent adam;
  double adam_rate = 0;
  for (double rate : kAdamRates) {
    const Descent one = Adam(objective, belief->mean, least, rate);
    if (one.excess < adam.excess) {
      adam = one;
      adam_rate = rate;
    }
  }
  char name[40];
  std::snprintf(name, sizeof(name), "Adam, rate %g", adam_rate);
  Print(name, adam.excess, adam.reached[0], adam.reached[1], closed);
  return 0;
}

}  // namespace
}  // namespace perfvec::compute

int main(int argc, char** argv) {
  return perfvec::compute::Main(
      argc > 1 ? argv[1] : PERFVEC_SOURCE_DIR "/deploy/models/default");
}
