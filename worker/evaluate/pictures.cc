#include "worker/evaluate/pictures.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/evaluate/svg.h"
#include "worker/learn/dense.h"
#include "worker/model/files.h"

namespace perfvec::train {
namespace {

constexpr size_t kMostDots = 6000;

std::string Component(int number, double share) {
  return absl::StrFormat("principal component %d (%.0f %% of the variance)",
                         number, 100 * share);
}

// Nine kinds are too many colours: what is near shares one.
struct KindGroup {
  const char* name;
  int colour;
  std::vector<InstructionKind> kinds;
};
const std::vector<KindGroup>& KindGroups() {
  using K = InstructionKind;
  static const std::vector<KindGroup>& groups = *new std::vector<KindGroup>{
      {"integer and other", 6, {K::kOther}},
      {"load", 0, {K::kLoad}},
      {"store", 1, {K::kStore}},
      {"branch", 2, {K::kBranch}},
      {"float and vector", 3, {K::kFloat}},
      {"far access", 5, {K::kFarFetch, K::kFarData}},
      {"cold access", 4, {K::kColdFetch, K::kColdData}}};
  return groups;
}

std::string DrawRepresentations(const Evaluation& e) {
  const size_t h = static_cast<size_t>(e.model->manifest().width);
  std::vector<double> rows;
  std::vector<InstructionKind> kinds;
  for (const ProgramSums& s : e.sums) {
    rows.insert(rows.end(), s.sample.begin(), s.sample.end());
    kinds.insert(kinds.end(), s.sample_kinds.begin(), s.sample_kinds.end());
  }
  const size_t skip = kinds.size() / kMostDots + 1;
  const Projection projection = Project(rows, h);
  std::vector<DotSeries> series;
  for (const KindGroup& group : KindGroups()) {
    DotSeries s;
    s.name = group.name;
    s.colour = group.colour;
    s.radius = 1.8;
    for (size_t i = 0; i < kinds.size(); ++i) {
      const bool cold = IsCold(static_cast<int>(kinds[i]));
      // Cold ones are few: all are shown.
      if ((cold || i % skip == 0) &&
          std::count(group.kinds.begin(), group.kinds.end(), kinds[i]) > 0) {
        s.points.push_back(projection.points[i]);
      }
    }
    series.push_back(std::move(s));
  }
  return ScatterPlot("Representations of instructions",
                     Component(1, projection.first_share),
                     Component(2, projection.second_share), series);
}

// Sampled designs are numbered, o3_r017; named ones are shown by name.
bool IsNumbered(const std::string& name) {
  const size_t r = name.rfind("_r");
  return r != std::string::npos && r + 2 < name.size() &&
         std::all_of(name.begin() + r + 2, name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string DrawArchitectures(const Evaluation& e) {
  const size_t h = static_cast<size_t>(e.model->manifest().width);
  std::vector<double> rows;
  std::vector<const PlannedArchitecture*> shown;
  for (size_t a = 0; a < e.plan.architectures.size(); ++a) {
    const double* vector = &e.vectors[a * h];
    if (std::isnan(vector[0])) continue;
    double square = 0;
    for (size_t i = 0; i < h; ++i) square += vector[i] * vector[i];
    for (size_t i = 0; i < h; ++i) {
      rows.push_back(vector[i] / std::sqrt(std::max(square, 1e-300)));
    }
    shown.push_back(&e.plan.architectures[a]);
  }
  const Projection projection = Project(rows, h);
  std::vector<DotSeries> series = {
      {"out of order", 0, false, 4, {}, {}},
      {"in order", 4, false, 4, {}, {}},
      {"predefined, out of order", 0, true, 5, {}, {}},
      {"predefined, in order", 4, true, 5, {}, {}},
      {"learned here", 2, false, 5, {}, {}}};
  for (size_t i = 0; i < shown.size(); ++i) {
    const PlannedArchitecture& a = *shown[i];
    const bool numbered = IsNumbered(a.name);
    const int in_order = a.kind == "in_order" ? 1 : 0;
    DotSeries& s = series[a.learned ? 4 : in_order + (numbered ? 0 : 2)];
    s.points.push_back(projection.points[i]);
    if (!numbered) s.labels.push_back(a.name);
  }
  return ScatterPlot("Architecture vectors, each divided by its length",
                     Component(1, projection.first_share),
                     Component(2, projection.second_share), series);
}

std::string DrawErrors(const Evaluation& e, const SplitResult& split) {
  std::vector<BarRow> rows;
  for (const ProgramErrors& p : ByProgram(split.cells)) {
    const PlannedProgram& program = e.plan.programs[p.program];
    rows.push_back(
        {program.entry.name, program.family_shared ? 0 : 4, p.mean, p.p95});
  }
  std::sort(rows.begin(), rows.end(),
            [](const BarRow& a, const BarRow& b) { return a.value > b.value; });
  return BarChart(absl::StrCat("Error of total time: ", split.split.title),
                  "|T - predicted| / T over architectures: bar mean, tick p95",
                  rows,
                  {{"family in training", 0}, {"family not in training", 4}});
}

}  // namespace

Projection Project(const std::vector<double>& x, size_t width) {
  Projection out;
  const size_t n = width == 0 ? 0 : x.size() / width;
  if (n == 0) return out;
  std::vector<double> mean(width), covariance(width * width);
  for (size_t i = 0; i < x.size(); ++i) mean[i % width] += x[i] / n;
  for (size_t i = 0; i < n; ++i) {
    for (size_t a = 0; a < width; ++a) {
      const double d = x[i * width + a] - mean[a];
      for (size_t b = 0; b < width; ++b) {
        covariance[a * width + b] += d * (x[i * width + b] - mean[b]);
      }
    }
  }
  const compute::Eigen eigen =
      compute::SymmetricEigen(std::move(covariance), width);
  double total = 0;
  for (double v : eigen.values) total += std::max(0.0, v);
  total = std::max(total, 1e-300);
  out.first_share = eigen.values[0] / total;
  out.second_share = width > 1 ? eigen.values[1] / total : 0;
  const double* const first = eigen.vectors.data();
  const double* const second = width > 1 ? first + width : first;
  for (size_t i = 0; i < n; ++i) {
    double u = 0, v = 0;
    for (size_t a = 0; a < width; ++a) {
      const double d = x[i * width + a] - mean[a];
      u += d * first[a];
      v += d * second[a];
    }
    out.points.emplace_back(u, v);
  }
  return out;
}

absl::Status DrawPictures(const Evaluation& e, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(directory, ": cannot be made: ", error.message()));
  }
  std::vector<std::pair<std::string, std::string>> files = {
      {"representations.svg", DrawRepresentations(e)},
      {"architectures.svg", DrawArchitectures(e)}};
  for (const SplitResult& split : e.splits) {
    files.emplace_back(absl::StrCat("errors_", split.split.name, ".svg"),
                       DrawErrors(e, split));
  }
  for (const auto& [name, text] : files) {
    absl::Status status =
        compute::WriteFileAtomically(absl::StrCat(directory, "/", name), text);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace perfvec::train
