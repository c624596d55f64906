// The evidence of a study's programs under a model: represented, or taken from
// a folder of kept files.
//
//   EvidenceOptions options;
//   options.cache = "build/explore";
//   ASSIGN all = StudyEvidence(folder, model, options);
//   all[p].interval_sums;
//
// Blocks until done, minutes where nothing is kept; `threads` threads.
#ifndef PERFVEC_WORKER_EXPLORE_STUDY_EVIDENCE_H_
#define PERFVEC_WORKER_EXPLORE_STUDY_EVIDENCE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/explore/study_folder.h"
#include "worker/learn/program_evidence.h"
#include "worker/model/foundation_model.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::explore {

struct EvidenceOptions {
  std::string cache;  // folder, made if it is not there; empty: keep nothing
  size_t interval_instructions = 10000;
  compute::CpuOptions cpu;
  std::function<void(const std::string& message)> progress;
};

struct EvidenceSet {
  std::vector<compute::ProgramEvidence> programs;  // of folder.programs
  double represented_instructions = 0;             // not taken from the cache
  double represent_seconds = 0;
};

// Columns of a training program: the sampled designs, in order; a target has
// none. Errors name the program.
absl::StatusOr<EvidenceSet> StudyEvidence(
    const StudyFolder& folder,
    const std::shared_ptr<const compute::FoundationModel>& model,
    const EvidenceOptions& options);

// Σ R over the whole program, [H].
std::vector<double> ProgramVector(const compute::ProgramEvidence& evidence,
                                  size_t width);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_STUDY_EVIDENCE_H_
