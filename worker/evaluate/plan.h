// What an evaluation opens and which errors it takes, decided from names alone:
// the folders' lists, the model's manifest and the options. Nothing of split
// "unseen" is in a plan unless the options open it.
//
// Splits, by name:
//   tail                   the end of each training program's trace that the
//                          trainer held out × architectures of the model
//   left-out               other seen programs × architectures of the model
//   unseen-programs        unseen programs × architectures of the model
//   unseen-architectures   seen programs × architectures learned
//   unseen-both            unseen programs × architectures learned
// An architecture is learned, from the programs named, if the model has no
// vector of it or its split is "unseen".
//
//   ASSIGN plan = MakePlan(manifest, folders, options);
//   for (const PlannedProgram& p : plan.programs) Read(p.folder, p.rows);
#ifndef PERFVEC_WORKER_EVALUATE_PLAN_H_
#define PERFVEC_WORKER_EVALUATE_PLAN_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/data_folder.h"
#include "worker/evaluate/program_sums.h"
#include "worker/model/manifest.h"

namespace perfvec::train {

inline constexpr char kTailSplit[] = "tail";
inline constexpr char kLeftOutSplit[] = "left-out";
inline constexpr char kUnseenProgramsSplit[] = "unseen-programs";
inline constexpr char kUnseenArchitecturesSplit[] = "unseen-architectures";
inline constexpr char kUnseenBothSplit[] = "unseen-both";

struct PlanOptions {
  std::vector<std::string> splits;      // empty: all that can be taken
  std::vector<std::string> programs;    // empty: all of the splits
  std::vector<std::string> learn_from;  // seen programs
  bool open_unseen = false;
  bool rivals = true;  // they need the training programs' times
  size_t left_out_instructions = 10000;  // at the start: not in the headline
  size_t interval_instructions = 10000;
};

struct PlannedArchitecture {
  std::string name, kind, parameters_json;
  Split split = Split::kSeen;
  int model_index = -1;  // of the model's vector; -1: none
  bool learned = false;
};

struct PlannedProgram {
  size_t folder = 0;
  ProgramEntry entry;
  bool trained = false;        // the model saw it in training
  bool family_shared = false;  // or another of its family
  bool learn_from = false;
  bool evaluated = false;     // in a split; else read for the rivals alone
  Range training;             // what rivals learn from, if trained
  Range tail;                 // held out by the trainer; empty: none
  Range headline;             // all but the start-up
  size_t represent_from = 0;  // first instruction wanted
  std::vector<size_t> rows;   // of the latency matrix, ascending
  std::vector<size_t> architectures;  // what each row is: Plan's number
  std::vector<size_t> cuts;
};

struct PlannedSplit {
  std::string name, title;
  std::vector<size_t> programs, architectures;
  bool tail = false;
};

struct Plan {
  std::vector<PlannedArchitecture> architectures;
  std::vector<PlannedProgram> programs;
  std::vector<PlannedSplit> splits;
  std::vector<std::string> notes;  // what was not taken, and why
};

// What a manifest's provenance says of the training. Each part may be absent.
struct TrainingRecord {
  std::vector<std::string> programs;
  std::map<std::string, size_t> tail_begins;  // first held-out instruction
};
TrainingRecord ReadTrainingRecord(const compute::Manifest& manifest);

// INVALID_ARGUMENT or NOT_FOUND for names that do not exist, a split that needs
// what was not given, or nothing to evaluate.
absl::StatusOr<Plan> MakePlan(const compute::Manifest& manifest,
                              const std::vector<DataFolder>& folders,
                              const PlanOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_PLAN_H_
