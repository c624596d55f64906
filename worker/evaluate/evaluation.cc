#include "worker/evaluate/evaluation.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/evaluate/learn_vectors.h"
#include "worker/evaluate/ledger.h"
#include "worker/evaluate/rival_results.h"
#include "worker/learn/learn_architecture.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::train {
namespace {

// The columns of a program that a split asks for.
std::vector<Target> Targets(const Evaluation& e, const PlannedProgram& program,
                            const PlannedSplit& split) {
  const size_t width = static_cast<size_t>(e.model->manifest().width);
  std::vector<Target> out;
  for (size_t c = 0; c < program.architectures.size(); ++c) {
    const size_t a = program.architectures[c];
    if (std::count(split.architectures.begin(), split.architectures.end(), a) >
        0) {
      out.push_back({c, a, &e.vectors[a * width]});
    }
  }
  return out;
}

absl::StatusOr<SplitResult> EvaluateSplit(const Evaluation& e,
                                          const PlannedSplit& split,
                                          const EvaluationOptions& options) {
  SplitResult out;
  out.split = split;
  std::vector<Cell> first, second;
  for (size_t p : split.programs) {
    const PlannedProgram& program = e.plan.programs[p];
    const std::vector<Target> targets = Targets(e, program, split);
    if (targets.empty()) continue;
    auto cells =
        CellsOf(e.sums[p], split.tail ? program.tail : program.headline,
                options.plan.interval_instructions,
                /*whole=*/!split.tail, p, targets);
    if (!cells.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "program ", program.entry.name, ": ", cells.status().message()));
    }
    const bool in_first = split.name == kUnseenArchitecturesSplit
                              ? program.trained
                              : program.family_shared;
    (in_first ? out.first_group : out.second_group).push_back(p);
    std::vector<Cell>& group = in_first ? first : second;
    group.insert(group.end(), cells->begin(), cells->end());
    out.cells.insert(out.cells.end(), cells->begin(), cells->end());
  }
  if (out.cells.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--split ", split.name,
                     ": none of its programs has times of its architectures"));
  }
  out.all = Summarise(out.cells, options.summary);
  out.first = Summarise(first, options.summary);
  out.second = Summarise(second, options.summary);
  return out;
}

// Reads and sums every program of the plan; the next is read meanwhile.
absl::Status SumAll(const EvaluationOptions& options,
                    const std::vector<DataFolder>& folders,
                    compute::Representer* back_end, Evaluation& e,
                    std::vector<compute::ProgramEvidence>& evidence) {
  const std::vector<PlannedProgram>& programs = e.plan.programs;
  const auto read = [&](size_t i) {
    const compute::FeatureSchema& schema = e.model->manifest().schema();
    return std::async(
        std::launch::async, [&folders, &schema, &p = programs[i]] {
          return ReadProgram(folders[p.folder], p.entry, schema, p.rows);
        });
  };
  evidence.resize(programs.size());
  std::future<absl::StatusOr<ProgramData>> next;
  if (!programs.empty()) next = read(0);
  for (size_t i = 0; i < programs.size(); ++i) {
    absl::StatusOr<ProgramData> data = next.get();
    if (i + 1 < programs.size()) next = read(i + 1);
    const PlannedProgram& p = programs[i];
    if (!data.ok()) return data.status();
    PassOptions pass;
    pass.represent_from = p.represent_from;
    pass.sample_every = p.evaluated ? options.sample_every : 0;
    pass.evidence = p.learn_from;
    pass.evidence_range = p.headline;
    pass.evidence_interval = compute::kLearnIntervalInstructions;
    auto sums = SumProgram(*data, p.cuts, pass,
                           p.evaluated || p.learn_from ? back_end : nullptr,
                           &evidence[i]);
    if (!sums.ok()) {
      return absl::Status(sums.status().code(),
                          absl::StrCat("program ", p.entry.name, ": ",
                                       sums.status().message()));
    }
    if (sums->saturated > 0) {
      e.notes.push_back(absl::StrCat(
          p.entry.name, ": ", sums->saturated,
          " latencies are 6553.5 ns or more: its times are too short"));
    }
    e.sums.push_back(*std::move(sums));
    if (options.progress) {
      options.progress(
          absl::StrCat(i + 1, "/", programs.size(), " ", p.entry.name));
    }
  }
  return absl::OkStatus();
}

void TakeModelVectors(Evaluation& e) {
  const size_t width = static_cast<size_t>(e.model->manifest().width);
  e.vectors.assign(e.plan.architectures.size() * width,
                   std::numeric_limits<double>::quiet_NaN());
  for (size_t a = 0; a < e.plan.architectures.size(); ++a) {
    const PlannedArchitecture& planned = e.plan.architectures[a];
    if (planned.learned || planned.model_index < 0) continue;
    const float* from = e.model->ArchitectureVector(planned.model_index);
    std::copy(from, from + width, &e.vectors[a * width]);
  }
}

}  // namespace

absl::StatusOr<Evaluation> Evaluate(const EvaluationOptions& options) {
  auto loaded = compute::FoundationModel::Load(options.model);
  if (!loaded.ok()) return loaded.status();
  Evaluation e;
  e.model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  std::vector<DataFolder> folders;
  for (const std::string& directory : options.data) {
    auto folder = ReadDataFolder(directory);
    if (!folder.ok()) return folder.status();
    folders.push_back(*std::move(folder));
  }
  auto plan = MakePlan(e.model->manifest(), folders, options.plan);
  if (!plan.ok()) return plan.status();
  e.plan = *std::move(plan);
  e.notes = e.plan.notes;
  auto back_end = compute::MakeCpuRepresenter(e.model, {options.threads});
  if (!back_end.ok()) return back_end.status();

  auto opened = CountOpening(options.model, e.model->id(), e.plan);
  if (!opened.ok()) return opened.status();
  e.times_opened = *opened;
  std::vector<compute::ProgramEvidence> evidence;
  absl::Status status = SumAll(options, folders, back_end->get(), e, evidence);
  if (!status.ok()) return status;
  TakeModelVectors(e);
  status = LearnVectors(evidence, e);
  if (!status.ok()) return status;
  for (const PlannedSplit& split : e.plan.splits) {
    auto result = EvaluateSplit(e, split, options);
    if (!result.ok()) return result.status();
    e.splits.push_back(*std::move(result));
  }
  if (options.plan.rivals) AddRivals(options, e);
  return e;
}

}  // namespace perfvec::train
