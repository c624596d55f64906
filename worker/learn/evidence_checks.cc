#include "worker/learn/evidence_checks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/learn/dense.h"

namespace perfvec::compute {
namespace {

constexpr double kContradiction = 0.1;
constexpr double kSameDirection = 0.02;
constexpr double kStrange = 2;  // distance; 1 in 100 known ones is above

bool Finite(const std::vector<double>& v) {
  return std::all_of(v.begin(), v.end(),
                     [](double x) { return std::isfinite(x); });
}

void WarnOfRepeats(const std::vector<Evidence>& evidence,
                   std::vector<std::string>* warnings) {
  std::map<std::string, std::pair<double, size_t>> seen;  // time, instructions
  for (size_t p = 0; p < evidence.size(); ++p) {
    const Evidence& e = evidence[p];
    const double each = TimeOf(e) / e.instructions;
    const auto [it, fresh] = seen.try_emplace(e.program, each, p);
    if (fresh) continue;
    const double ratio = each / it->second.first;
    if (std::fabs(std::log(ratio)) > kContradiction) {
      warnings->push_back(absl::StrFormat(
          "%s was given twice, with times that differ by a factor of %.3g: "
          "give runs of the same input on the same machine",
          e.program, ratio));
    }
  }
}

void WarnOfRank(const std::vector<Evidence>& evidence,
                std::vector<std::string>* warnings) {
  const size_t h = evidence[0].totals[0].sum.size();
  // Gram-Schmidt over the programs' vectors, each of length 1.
  std::vector<std::vector<double>> basis;
  std::vector<std::string> same;
  for (const Evidence& e : evidence) {
    std::vector<double> v = SumOf(e);
    const double length = std::sqrt(Dot(v.data(), v.data(), h));
    for (double& x : v) x /= length;
    for (const std::vector<double>& b : basis) {
      const double f = Dot(b.data(), v.data(), h);
      for (size_t i = 0; i < h; ++i) v[i] -= f * b[i];
    }
    const double rest = std::sqrt(Dot(v.data(), v.data(), h));
    if (rest > kSameDirection) {
      for (double& x : v) x /= rest;
      basis.push_back(std::move(v));
    } else if (same.size() < 5) {
      same.push_back(e.program);
    }
  }
  if (same.empty()) return;
  std::string names = same[0];
  for (size_t i = 1; i < same.size(); ++i)
    absl::StrAppend(&names, ", ", same[i]);
  warnings->push_back(
      absl::StrCat("the vectors of ", evidence.size(), " programs span ",
                   basis.size(), " directions: ", names,
                   " say little that the others do not; give other programs"));
}

}  // namespace

absl::Status CheckEvidence(const Evidence& e, size_t width) {
  const auto bad = [&](const std::string& expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("program ", e.program, ": expected ", expected));
  };
  if (!(e.instructions > 0) || !std::isfinite(e.instructions)) {
    return bad(absl::StrCat("instructions, found ", e.instructions));
  }
  if (e.totals.empty()) return bad("a time, found none");
  for (const Total& t : e.totals) {
    if (!(t.time > 0) || !std::isfinite(t.time)) {
      return bad(absl::StrCat("positive times, found ", t.time));
    }
    if (!(t.noise >= 0) || t.noise > 10) {
      return bad(
          absl::StrCat("a spread of 0 to 10 times the time, found ", t.noise));
    }
    if (t.sum.size() != width || !Finite(t.sum)) {
      return bad(absl::StrCat("a vector of ", width, " numbers, found ",
                              t.sum.size(), " elements"));
    }
  }
  if (e.gram.empty() && e.cross.empty()) return absl::OkStatus();
  if (e.gram.size() != width * width || e.cross.size() != width ||
      !Finite(e.gram) || !Finite(e.cross)) {
    return bad(absl::StrCat("per-instruction sums of ", width, " x ", width,
                            " and ", width, " numbers, found ", e.gram.size(),
                            " and ", e.cross.size()));
  }
  return absl::OkStatus();
}

double TimeOf(const Evidence& e) {
  double sum = 0;
  for (const Total& t : e.totals) sum += t.time;
  return sum;
}

std::vector<double> SumOf(const Evidence& e) {
  std::vector<double> sum(e.totals[0].sum.size());
  for (const Total& t : e.totals) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += t.sum[i];
  }
  return sum;
}

bool StrangeArchitecture(double distance) { return distance > kStrange; }

std::vector<std::string> EvidenceWarnings(const std::vector<Evidence>& evidence,
                                          const LearnedVector& learned,
                                          double expected_noise) {
  std::vector<std::string> warnings;
  if (evidence.size() < 3) {
    warnings.push_back(absl::StrCat(
        "too little evidence: of ", evidence.size(),
        " programs, the known architectures decide most of the vector; ten or "
        "more make it this machine's"));
  }
  for (size_t p = 0; p < evidence.size(); ++p) {
    const ProgramFit& fit = learned.programs[p];
    const Evidence& e = evidence[p];
    if (fit.set_aside) {
      warnings.push_back(absl::StrFormat(
          "%s was set aside: its time is %.3g times what the others lead to "
          "expect; check its unit and that it ran what was traced",
          e.program, fit.time / fit.left_out));
    }
    if (e.totals[0].noise > kContradiction) {
      warnings.push_back(absl::StrFormat(
          "%s: its repetitions scatter by %.0f %%; it counts for less",
          e.program, 100 * e.totals[0].noise));
    }
    if (!(fit.fitted > 0)) {
      warnings.push_back(absl::StrCat(
          e.program, ": the vector learned predicts no positive time for it"));
    }
  }
  if (learned.noise > 3 * expected_noise) {
    warnings.push_back(absl::StrFormat(
        "the times contradict one another: no vector explains them to better "
        "than about %.0f %%; this model expects %.0f %%",
        100 * learned.noise, 100 * expected_noise));
  }
  if (learned.distance > kStrange) {
    warnings.push_back(absl::StrFormat(
        "the architecture is unlike those known to the model (distance %.1f, "
        "%.0f is the limit): expect larger errors",
        learned.distance, kStrange));
  }
  WarnOfRepeats(evidence, &warnings);
  WarnOfRank(evidence, &warnings);
  return warnings;
}

}  // namespace perfvec::compute
