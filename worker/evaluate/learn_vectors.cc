#include "worker/evaluate/learn_vectors.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/learn/learn_architecture.h"

namespace perfvec::train {
namespace {

// The evidence with its architectures as `columns` has them, in that order.
absl::StatusOr<compute::ProgramEvidence> Reorder(
    const compute::ProgramEvidence& from, const PlannedProgram& program,
    const std::vector<size_t>& columns, const Plan& plan) {
  const size_t a = program.architectures.size();
  std::vector<size_t> source;
  for (size_t column : columns) {
    const auto it = std::find(program.architectures.begin(),
                              program.architectures.end(), column);
    if (it == program.architectures.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--learn-from ", program.entry.name, ": its folder has no times of ",
          plan.architectures[column].name));
    }
    source.push_back(it - program.architectures.begin());
  }
  compute::ProgramEvidence out;
  out.instructions = from.instructions;
  out.gram = from.gram;
  out.interval_sums = from.interval_sums;
  const auto take = [&](const std::vector<double>& table,
                        std::vector<double>& to) {
    for (size_t row = 0; row * a < table.size(); ++row) {
      for (size_t s : source) to.push_back(table[row * a + s]);
    }
  };
  take(from.cross, out.cross);
  take(from.interval_times, out.interval_times);
  return out;
}

// The model's vectors but those that are learned here or were of machines of
// split unseen, whether or not the folders have times of them.
std::vector<std::vector<double>> PriorVectors(const Evaluation& e) {
  std::set<int> left_out;
  for (const PlannedArchitecture& a : e.plan.architectures) {
    if (a.learned || a.split != Split::kSeen) left_out.insert(a.model_index);
  }
  const compute::Manifest& manifest = e.model->manifest();
  std::vector<std::vector<double>> out;
  for (int a = 0; a < static_cast<int>(manifest.architectures.size()); ++a) {
    if (left_out.count(a) > 0) continue;
    const float* from = e.model->ArchitectureVector(a);
    out.emplace_back(from, from + manifest.width);
  }
  return out;
}

// Sums of representations over the pieces of seen programs' headlines.
std::vector<std::vector<double>> SeenIntervals(const Evaluation& e) {
  std::vector<std::vector<double>> out;
  for (size_t p = 0; p < e.plan.programs.size(); ++p) {
    const PlannedProgram& program = e.plan.programs[p];
    const ProgramSums& sums = e.sums[p];
    if (program.entry.split != Split::kSeen || sums.vectors.empty()) continue;
    for (size_t i = 0; i < sums.pieces(); ++i) {
      const Range piece = {sums.cuts[i], sums.cuts[i + 1]};
      if (piece.begin < program.headline.begin ||
          piece.end > program.headline.end) {
        continue;
      }
      out.push_back(sums.Sum(piece, AllKinds()));
    }
  }
  return out;
}

}  // namespace

absl::Status LearnVectors(const std::vector<compute::ProgramEvidence>& evidence,
                          Evaluation& e) {
  std::set<size_t> wanted;
  for (const PlannedSplit& s : e.plan.splits) {
    for (size_t a : s.architectures) {
      if (e.plan.architectures[a].learned) wanted.insert(a);
    }
  }
  if (wanted.empty()) return absl::OkStatus();
  // Known ones that every program learned from has times of.
  std::vector<size_t> columns(wanted.begin(), wanted.end());
  std::vector<std::string> names;
  for (size_t a = 0; a < e.plan.architectures.size(); ++a) {
    const PlannedArchitecture& known = e.plan.architectures[a];
    if (known.learned || known.model_index < 0 || known.split != Split::kSeen) {
      continue;
    }
    if (std::all_of(e.plan.programs.begin(), e.plan.programs.end(),
                    [&](const PlannedProgram& p) {
                      return !p.learn_from ||
                             std::count(p.architectures.begin(),
                                        p.architectures.end(), a) > 0;
                    })) {
      columns.push_back(a);
    }
  }
  std::vector<compute::ProgramEvidence> used;
  for (size_t p = 0; p < e.plan.programs.size(); ++p) {
    const PlannedProgram& program = e.plan.programs[p];
    if (!program.learn_from) continue;
    if (program.headline.size() == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--learn-from ", program.entry.name, ": has only ",
          program.entry.instructions, " instructions, all of its start-up"));
    }
    auto reordered = Reorder(evidence[p], program, columns, e.plan);
    if (!reordered.ok()) return reordered.status();
    used.push_back(*std::move(reordered));
    names.push_back(program.entry.name);
  }
  std::vector<const compute::ProgramEvidence*> pointers;
  for (const compute::ProgramEvidence& one : used) pointers.push_back(&one);

  const size_t width = static_cast<size_t>(e.model->manifest().width);
  std::vector<compute::KnownArchitecture> known;  // with times in the folders
  for (size_t c = wanted.size(); c < columns.size(); ++c) {
    const double* from = &e.vectors[columns[c] * width];
    known.push_back({c, {from, from + width}});
  }
  const std::vector<std::vector<double>> vectors = PriorVectors(e);
  const compute::LearnWeights weights;
  auto prior = compute::FitArchitecturePrior(
      vectors, compute::MeanRepresentation(pointers), weights.rank);
  if (!prior.ok()) return prior.status();
  const std::vector<std::vector<double>> intervals = SeenIntervals(e);
  double error = std::nan("");
  if (!known.empty() && intervals.size() >= 2) {
    auto covariance = compute::IntervalCovariance(intervals, known);
    if (!covariance.ok()) return covariance.status();
    auto left_out =
        compute::LeftOutError(pointers, known, *covariance, weights);
    if (!left_out.ok()) return left_out.status();
    error = *left_out;
    for (compute::ProgramEvidence& one : used) {
      absl::Status status = compute::CorrectIntervals(known, *covariance, one);
      if (!status.ok()) return status;
    }
  }
  for (size_t c = 0; c < wanted.size(); ++c) {
    auto vector = compute::LearnArchitecture(pointers, c, *prior, weights);
    if (!vector.ok()) {
      return absl::Status(
          vector.status().code(),
          absl::StrCat("architecture ", e.plan.architectures[columns[c]].name,
                       ": ", vector.status().message()));
    }
    std::copy(vector->begin(), vector->end(), &e.vectors[columns[c] * width]);
  }
  e.learning = absl::StrFormat(
      "%d architectures learned from %s; prior of %d known", wanted.size(),
      absl::StrJoin(names, ", "), vectors.size());
  if (!std::isnan(error)) {
    absl::StrAppendFormat(&e.learning,
                          "; known ones learned the same way miss a program "
                          "left out by %.2f %%",
                          100 * error);
  }
  return absl::OkStatus();
}

absl::StatusOr<compute::FoundationModel> WithLearned(const Evaluation& e) {
  const size_t width = static_cast<size_t>(e.model->manifest().width);
  compute::Manifest manifest = e.model->manifest();
  compute::TensorMap tensors = e.model->tensors();
  compute::Tensor& table = tensors["architecture_vectors"];
  for (size_t a = 0; a < e.plan.architectures.size(); ++a) {
    const PlannedArchitecture& planned = e.plan.architectures[a];
    const double* vector = &e.vectors[a * width];
    if (!planned.learned || std::isnan(vector[0])) continue;
    size_t row = planned.model_index;
    if (planned.model_index < 0) {
      row = manifest.architectures.size();
      manifest.architectures.push_back({planned.name, planned.parameters_json});
      table.values.resize((row + 1) * width);
    }
    std::copy(vector, vector + width, &table.values[row * width]);
  }
  table.shape = {static_cast<int64_t>(manifest.architectures.size()),
                 static_cast<int64_t>(width)};
  return compute::FoundationModel::Create(std::move(manifest),
                                          std::move(tensors));
}

}  // namespace perfvec::train
