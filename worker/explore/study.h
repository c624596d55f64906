// A whole exploration on a folder of simulated designs, judged by the
// simulations it did not use: what `perfvec-worker explore-study` runs.
//
// Learned from: the training programs' latencies on the sampled designs, and
// the foundation model. The targets' simulated times only judge.
//
//   StudyOptions options;
//   options.data = "dse";
//   options.model = "deploy/models/default";
//   ASSIGN study = RunStudy(options);
//   study.targets.beaten_mean;
//
// Blocks until done.
#ifndef PERFVEC_WORKER_EXPLORE_STUDY_H_
#define PERFVEC_WORKER_EXPLORE_STUDY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/explore/design_model.h"
#include "worker/explore/explore.h"
#include "worker/explore/learn_designs.h"
#include "worker/explore/study_evidence.h"
#include "worker/explore/study_folder.h"

namespace perfvec::explore {

struct StudyOptions {
  std::string data, model;
  std::string variants;  // a folder of ReadVariants; empty: none
  EvidenceOptions evidence;
  std::string objective = "(1000 + 10*(4*l1d_kb) + 16*l2_kb) * time";
  std::vector<std::string> linear_scale;  // parameters; others: logarithmic
  LearnDesignsOptions learn;
  DesignModelOptions network;
};

// How good one choice of a design for one program is.
struct Choice {
  size_t design = 0;
  double beaten = 0;  // share of all designs that are better, simulated
  double excess = 0;  // objective / the best one's - 1, simulated
};
// Of the design with the least `objective` of all; `truth` is the simulated.
Choice JudgeChoice(const std::vector<double>& truth, size_t design);

struct Chooser {
  std::string name;
  std::vector<Choice> choices;  // of folder.programs
};

struct ChooserSummary {
  double beaten_mean = 0, excess_mean = 0, excess_max = 0;
  double top_five = 0;  // share of the programs where fewer than 5 are better
  size_t programs = 0;
};
// Over the targets, or over the training programs.
ChooserSummary SummariseChooser(const StudyFolder& folder,
                                const Chooser& chooser, bool training);

struct Study {
  StudyFolder folder;
  std::string model_id, base, objective;
  ParameterSpace space;
  LearnedDesigns learned;
  std::vector<TriedSize> tried;
  TriedSize network;
  Exploration exploration;                 // points: the folder's designs
  std::vector<std::vector<double>> truth;  // [programs][designs] objective
  std::vector<Chooser> choosers;           // ours first
  std::vector<double> time_error;          // of programs, mean |T̂ - T| / T
  double coverage = 0;                     // of the targets' intervals
  StudyFolder variants;                    // no programs: not asked for
  Exploration variant_times;               // points: its designs
  double represented_instructions = 0, represent_seconds = 0;
  double learn_seconds = 0, network_seconds = 0, sweep_seconds = 0;
};

absl::StatusOr<Study> RunStudy(const StudyOptions& options);

// The space of a folder's designs: every value that occurs.
ParameterSpace SpaceOf(const StudyFolder& folder,
                       const std::vector<std::string>& linear_scale);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_STUDY_H_
