#include "worker/explore/study.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/status_macros.h"
#include "worker/explore/expression.h"

namespace perfvec::explore {
namespace {

constexpr double kTenthNs = 0.1;

class Clock {
 public:
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ =
      std::chrono::steady_clock::now();
};

// The objective of every program on every design under the given times.
absl::StatusOr<std::vector<std::vector<double>>> Objectives(
    const Study& study, const std::vector<std::vector<double>>& time_ns) {
  std::vector<std::string> names = study.space.VariableNames();
  names.push_back("time");
  PERFVEC_ASSIGN_OR_RETURN(Expression objective,
                           Expression::Parse(study.objective, names));
  std::vector<std::vector<double>> all;
  for (const std::vector<double>& row : time_ns) {
    all.emplace_back();
    for (size_t d = 0; d < row.size(); ++d) {
      std::vector<double> values =
          study.space.VariableValues(study.folder.designs[d].parameters);
      values.push_back(row[d]);
      all.back().push_back(objective.Evaluate(values));
      if (!std::isfinite(all.back().back())) {
        return absl::InvalidArgumentError(
            absl::StrCat("objective \"", study.objective, "\" has no value on ",
                         study.folder.designs[d].name));
      }
    }
  }
  return all;
}

size_t Least(const std::vector<double>& values) {
  return std::min_element(values.begin(), values.end()) - values.begin();
}

Chooser Always(const Study& study, std::string name, size_t design) {
  Chooser chooser;
  chooser.name = std::move(name);
  for (const std::vector<double>& truth : study.truth) {
    chooser.choices.push_back(JudgeChoice(truth, design));
  }
  return chooser;
}

// Choosers that no model is needed for.
absl::Status AddTrivialChoosers(Study& study) {
  const size_t designs = study.folder.designs.size();
  PERFVEC_ASSIGN_OR_RETURN(
      const auto constant,
      Objectives(study, {std::vector<double>(designs, 1.0)}));
  study.choosers.push_back(
      Always(study, "constant time: the cheapest design", Least(constant[0])));
  // The sampled design that is best for the training programs together.
  std::vector<double> sum(designs, INFINITY);
  for (size_t d : study.folder.Sampled()) {
    sum[d] = 0;
    for (size_t p = 0; p < study.truth.size(); ++p) {
      if (!study.folder.programs[p].training) continue;
      sum[d] += std::log(study.truth[p][d]);
    }
  }
  study.choosers.push_back(
      Always(study, "best sampled design for training programs", Least(sum)));
  return absl::OkStatus();
}

void AddErrors(Study& study) {
  size_t covered = 0, cells = 0;
  for (size_t p = 0; p < study.folder.programs.size(); ++p) {
    const StudyProgram& program = study.folder.programs[p];
    const ExploredTimes& t = study.exploration.programs[p];
    double error = 0;
    for (size_t d = 0; d < program.simulated.size(); ++d) {
      const double time = kTenthNs * program.simulated[d];
      error +=
          std::isnan(t.time_ns[d]) ? 1 : std::fabs(t.time_ns[d] - time) / time;
      if (program.training) continue;
      ++cells;
      covered += time >= t.low_ns[d] && time <= t.high_ns[d];
    }
    study.time_error.push_back(error / program.simulated.size());
  }
  study.coverage =
      cells == 0 ? std::nan("") : static_cast<double>(covered) / cells;
}

}  // namespace

ParameterSpace SpaceOf(const StudyFolder& folder,
                       const std::vector<std::string>& linear_scale) {
  ParameterSpace space;
  for (size_t i = 0; i < folder.parameters.size(); ++i) {
    Parameter p;
    p.name = folder.parameters[i];
    std::set<double> values;
    for (const StudyDesign& d : folder.designs) values.insert(d.parameters[i]);
    p.values.assign(values.begin(), values.end());
    p.log_scale =
        p.values[0] > 0 &&
        std::count(linear_scale.begin(), linear_scale.end(), p.name) == 0;
    space.parameters.push_back(std::move(p));
  }
  return space;
}

Choice JudgeChoice(const std::vector<double>& truth, size_t design) {
  const auto better = std::count_if(
      truth.begin(), truth.end(), [&](double o) { return o < truth[design]; });
  return {design, static_cast<double>(better) / truth.size(),
          truth[design] / *std::min_element(truth.begin(), truth.end()) - 1};
}

ChooserSummary SummariseChooser(const StudyFolder& folder,
                                const Chooser& chooser, bool training) {
  ChooserSummary s;
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    if (folder.programs[p].training != training) continue;
    const Choice& c = chooser.choices[p];
    ++s.programs;
    s.beaten_mean += c.beaten;
    s.excess_mean += c.excess;
    s.excess_max = std::max(s.excess_max, c.excess);
    s.top_five += std::lround(c.beaten * folder.designs.size()) < 5;
  }
  s.beaten_mean /= s.programs;
  s.excess_mean /= s.programs;
  s.top_five /= s.programs;
  return s;
}

absl::StatusOr<Study> RunStudy(const StudyOptions& options) {
  Study study;
  PERFVEC_ASSIGN_OR_RETURN(study.folder, ReadStudyFolder(options.data));
  const StudyFolder& folder = study.folder;
  for (const std::string& name : options.linear_scale) {
    if (std::count(folder.parameters.begin(), folder.parameters.end(), name) ==
        0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--linear ", name, ": expected one of ",
                       absl::StrJoin(folder.parameters, ", ")));
    }
  }
  study.space = SpaceOf(folder, options.linear_scale);
  PERFVEC_RETURN_IF_ERROR(CheckSpace(study.space));
  study.objective = options.objective;
  std::vector<std::vector<double>> simulated_ns;
  for (const StudyProgram& p : folder.programs) {
    simulated_ns.push_back(p.simulated);
    for (double& t : simulated_ns.back()) t *= kTenthNs;
  }
  PERFVEC_ASSIGN_OR_RETURN(study.truth, Objectives(study, simulated_ns));
  PERFVEC_ASSIGN_OR_RETURN(auto loaded,
                           compute::FoundationModel::Load(options.model));
  const auto model =
      std::make_shared<const compute::FoundationModel>(std::move(loaded));
  study.model_id = model->id();
  PERFVEC_ASSIGN_OR_RETURN(EvidenceSet set,
                           StudyEvidence(folder, model, options.evidence));
  study.represented_instructions = set.represented_instructions;
  study.represent_seconds = set.represent_seconds;

  Clock clock;
  const size_t width = static_cast<size_t>(model->manifest().width);
  std::vector<std::vector<double>> known;
  for (size_t i = 0; i < model->manifest().architectures.size(); ++i) {
    const float* v = model->ArchitectureVector(static_cast<int>(i));
    known.emplace_back(v, v + width);
  }
  std::vector<const compute::ProgramEvidence*> evidence;
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    if (folder.programs[p].training) evidence.push_back(&set.programs[p]);
  }
  PERFVEC_ASSIGN_OR_RETURN(study.learned,
                           LearnDesigns(evidence, known, options.learn));
  study.base = model->manifest().architectures[study.learned.base].name;
  study.learn_seconds = clock.Lap();

  std::vector<DesignSample> samples;
  const std::vector<size_t> sampled = folder.Sampled();
  for (size_t a = 0; a < sampled.size(); ++a) {
    samples.push_back({folder.designs[sampled[a]].parameters,
                       study.learned.vectors[a], study.learned.metrics[a]});
  }
  PERFVEC_ASSIGN_OR_RETURN(
      const DesignModel network,
      DesignModel::Fit(study.space, samples, options.network));
  study.tried = network.tried();
  study.network = network.chosen();
  study.network_seconds = clock.Lap();

  ExploreRequest request;
  request.objective = options.objective;
  for (const StudyDesign& d : folder.designs) {
    request.points.push_back(d.parameters);
  }
  const double vector_error = std::isnan(study.learned.left_out_error)
                                  ? 0
                                  : study.learned.left_out_error;
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    ExploredProgram program;
    program.name = folder.programs[p].name;
    program.vector = ProgramVector(set.programs[p], width);
    if (!folder.programs[p].training) program.log_deviation = vector_error;
    request.programs.push_back(std::move(program));
  }
  PERFVEC_ASSIGN_OR_RETURN(study.exploration,
                           Explore(study.space, network, samples, request));
  study.sweep_seconds = clock.Lap();
  if (!options.variants.empty()) {
    PERFVEC_ASSIGN_OR_RETURN(study.variants,
                             ReadVariants(options.variants, folder));
    PERFVEC_ASSIGN_OR_RETURN(
        set, StudyEvidence(study.variants, model, options.evidence));
    ExploreRequest variants;
    for (const StudyDesign& d : study.variants.designs) {
      variants.points.push_back(d.parameters);
    }
    for (size_t p = 0; p < study.variants.programs.size(); ++p) {
      ExploredProgram program;
      program.name = study.variants.programs[p].name;
      program.vector = ProgramVector(set.programs[p], width);
      program.log_deviation = vector_error;
      variants.programs.push_back(std::move(program));
    }
    PERFVEC_ASSIGN_OR_RETURN(study.variant_times,
                             Explore(study.space, network, samples, variants));
  }

  Chooser ours;
  ours.name = "perfvec";
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    const std::vector<size_t>& ranking = study.exploration.programs[p].ranking;
    if (ranking.empty()) {
      return absl::OutOfRangeError(
          absl::StrCat("program ", folder.programs[p].name,
                       ": no design has a positive predicted time"));
    }
    ours.choices.push_back(JudgeChoice(study.truth[p], ranking[0]));
  }
  study.choosers.push_back(std::move(ours));
  PERFVEC_RETURN_IF_ERROR(AddTrivialChoosers(study));
  AddErrors(study);
  return study;
}

}  // namespace perfvec::explore
