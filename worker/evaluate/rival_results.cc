#include "worker/evaluate/rival_results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Columns of the rivals' tables: the architectures of all splits.
std::vector<size_t> Columns(const Evaluation& e) {
  std::set<size_t> all;
  for (const PlannedSplit& s : e.plan.splits) {
    all.insert(s.architectures.begin(), s.architectures.end());
  }
  for (size_t a = 0; a < e.plan.architectures.size(); ++a) {
    if (!e.plan.architectures[a].learned &&
        e.plan.architectures[a].split == Split::kSeen) {
      all.insert(a);
    }
  }
  return {all.begin(), all.end()};
}

RivalProgram ProgramRow(const Evaluation& e, size_t p, Range range,
                        const std::vector<size_t>& columns, bool learned) {
  RivalProgram row;
  row.features = e.sums[p].Features(range);
  row.log_times.assign(columns.size(), kNan);
  const std::vector<double> times = e.sums[p].Times(range, AllKinds());
  const PlannedProgram& program = e.plan.programs[p];
  for (size_t c = 0; c < program.architectures.size(); ++c) {
    const size_t a = program.architectures[c];
    if (e.plan.architectures[a].learned && !learned) continue;
    const auto at = std::lower_bound(columns.begin(), columns.end(), a);
    if (at == columns.end() || *at != a || times[c] <= 0) continue;
    row.log_times[at - columns.begin()] = std::log(times[c] / range.size());
  }
  return row;
}

absl::StatusOr<Rivals> FitRivals(const Evaluation& e,
                                 const std::vector<size_t>& columns,
                                 const std::string& reference, size_t* count) {
  size_t at = columns.size();
  for (size_t c = 0; c < columns.size(); ++c) {
    const PlannedArchitecture& a = e.plan.architectures[columns[c]];
    if (a.name == reference && !a.learned) at = c;
  }
  if (at == columns.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the reference machine ", reference,
        " is not among the known architectures: name one with --reference"));
  }
  std::vector<RivalProgram> training;
  for (size_t p = 0; p < e.plan.programs.size(); ++p) {
    const PlannedProgram& program = e.plan.programs[p];
    if (!program.trained || program.entry.split != Split::kSeen ||
        program.training.size() == 0) {
      continue;
    }
    training.push_back(ProgramRow(e, p, program.training, columns,
                                  /*learned=*/program.learn_from));
    if (std::isnan(training.back().log_times[at])) training.pop_back();
  }
  *count = training.size();
  return Rivals::Fit(training, at);
}

}  // namespace

void AddRivals(const EvaluationOptions& options, Evaluation& e) {
  const std::vector<size_t> columns = Columns(e);
  size_t programs = 0;
  auto rivals = FitRivals(e, columns, options.reference, &programs);
  if (!rivals.ok()) {
    e.notes.push_back(
        absl::StrCat("no simple rivals: ", rivals.status().message()));
    return;
  }
  e.rival_programs = programs;
  e.rival_ridge = rivals->ridge();
  e.rival_rank = rivals->rank();
  for (size_t c : rivals->Given(kCompletion)) {
    e.rival_given.push_back(columns[c]);
  }
  for (SplitResult& split : e.splits) {
    for (int r = 0; r < kRivals; ++r) {
      RivalResult result;
      result.rival = r;
      const std::vector<size_t> given = rivals->Given(static_cast<Rival>(r));
      size_t last = SIZE_MAX;
      std::vector<double> predicted;
      for (const Cell& cell : split.cells) {
        const PlannedProgram& program = e.plan.programs[cell.program];
        const Range range = split.split.tail ? program.tail : program.headline;
        if (cell.program != last) {
          const RivalProgram row =
              ProgramRow(e, cell.program, range, columns, false);
          predicted.assign(columns.size(), kNan);
          if (std::none_of(given.begin(), given.end(), [&](size_t g) {
                return std::isnan(row.log_times[g]);
              })) {
            predicted = rivals->Predict(static_cast<Rival>(r), row);
          }
          last = cell.program;
        }
        const size_t c = std::lower_bound(columns.begin(), columns.end(),
                                          cell.architecture) -
                         columns.begin();
        if (std::isnan(predicted[c])) continue;
        Cell mine;
        mine.program = cell.program;
        mine.architecture = cell.architecture;
        mine.headline = {cell.headline.time,
                         std::exp(predicted[c]) * range.size()};
        result.cells.push_back(std::move(mine));
      }
      result.all = Summarise(result.cells, options.summary);
      split.rivals.push_back(std::move(result));
    }
  }
}

}  // namespace perfvec::train
