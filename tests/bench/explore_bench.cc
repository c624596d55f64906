// explore-study beside ways that simulate each new program, on the same folder:
// how good their choices are, and the simulations they cost.
//
//   explore_bench DATA_DIR MODEL_DIR CACHE_DIR
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>

#include "tests/bench/explore_rivals.h"
#include "worker/explore/study.h"

namespace {

using perfvec::bench::AdaBoostMlp;
using perfvec::bench::CrossProgramLinear;
using perfvec::bench::PerProgramMlp;
using perfvec::bench::RivalTimes;
using perfvec::explore::Chooser;
using perfvec::explore::ChooserSummary;
using perfvec::explore::JudgeChoice;
using perfvec::explore::Study;

void Print(const Study& study, const Chooser& chooser, size_t simulations,
           size_t per_program) {
  const ChooserSummary s = SummariseChooser(study.folder, chooser, false);
  std::printf("%-46s %12zu %8zu %8.1f %% %7.0f %% %8.1f %%\n",
              chooser.name.c_str(), per_program, simulations,
              100 * s.beaten_mean, 100 * s.top_five, 100 * s.excess_mean);
}

// Chooses by the predicted times; the factor of the objective beside the time
// is the same on predicted and simulated times, so it is taken from the truth.
Chooser Choose(const Study& study, const std::string& name,
               const std::function<RivalTimes(size_t)>& times) {
  Chooser chooser;
  chooser.name = name;
  for (size_t p = 0; p < study.folder.programs.size(); ++p) {
    std::vector<double> objective = study.truth[p];
    if (!study.folder.programs[p].training) {
      const RivalTimes predicted = times(p);
      for (size_t d = 0; d < objective.size(); ++d) {
        objective[d] *=
            std::max(predicted[d], 0.0) / study.folder.programs[p].simulated[d];
      }
    }
    chooser.choices.push_back(JudgeChoice(
        study.truth[p], std::min_element(objective.begin(), objective.end()) -
                            objective.begin()));
  }
  return chooser;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: explore_bench DATA_DIR MODEL_DIR CACHE_DIR\n");
    return 2;
  }
  perfvec::explore::StudyOptions options;
  options.data = argv[1];
  options.model = argv[2];
  options.evidence.cache = argv[3];
  options.evidence.cpu.precision = perfvec::compute::Precision::kAuto;
  options.learn.threads = options.network.threads = 2;
  const auto study = perfvec::explore::RunStudy(options);
  if (!study.ok()) {
    std::fprintf(stderr, "explore_bench: %s\n",
                 std::string(study.status().message()).c_str());
    return 1;
  }
  const size_t sampled = study->folder.Sampled().size();
  const size_t designs = study->folder.designs.size();
  const size_t training = std::count_if(
      study->folder.programs.begin(), study->folder.programs.end(),
      [](const auto& p) { return p.training; });
  const size_t targets = study->folder.programs.size() - training;
  std::printf("%-46s %12s %8s %10s %9s %10s\n", "", "simulations", "in all",
              "beaten by", "top five", "excess");
  Print(*study, study->choosers[0], training * sampled, 0);
  Print(*study, study->choosers[1], 0, 0);
  Print(*study, study->choosers[2], training * sampled, 0);
  for (size_t n : {size_t{6}, sampled}) {
    Print(*study,
          Choose(*study, "MLP per program (Ipek 2006)",
                 [&](size_t p) { return PerProgramMlp(*study, p, n); }),
          targets * n, n);
  }
  for (size_t n : {size_t{3}, size_t{6}}) {
    Print(*study,
          Choose(*study, "linear across programs (Dubach 2007)",
                 [&](size_t p) { return CrossProgramLinear(*study, p, n); }),
          training * sampled + targets * n, n);
  }
  for (size_t n : {size_t{6}, sampled}) {
    Print(*study,
          Choose(*study, "AdaBoost of MLPs (Li 2016)",
                 [&](size_t p) { return AdaBoostMlp(*study, p, n); }),
          targets * n, n);
  }
  Print(*study,
        Choose(*study, "exhaustive simulation",
               [&](size_t p) { return study->folder.programs[p].simulated; }),
        targets * designs, designs);
  return 0;
}
