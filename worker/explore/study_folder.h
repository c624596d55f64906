// A folder of simulated designs, as docs/exploration.md lays it out: what it
// lists, and one program's data.
//
// designs.json names the designs, gives each its parameters (every key but
// `name` and `sampled`; numbers) and says which are `sampled`: their
// simulations may be learned from. programs.json gives each program a `role`:
// `train` has latencies on the sampled designs, of `target` only the trace is
// read. totals.json holds simulated times of all, which judge and never teach.
//
// All of it comes from outside and is checked: errors name the file, what was
// expected and what was found. Plain data; any thread.
//
//   ASSIGN folder = ReadStudyFolder("dse");
//   ASSIGN data = ReadStudyProgram(folder, folder.programs[0], schema);
#ifndef PERFVEC_WORKER_EXPLORE_STUDY_FOLDER_H_
#define PERFVEC_WORKER_EXPLORE_STUDY_FOLDER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/evaluate/data_folder.h"
#include "worker/features/feature_schema.h"

namespace perfvec::explore {

struct StudyDesign {
  std::string name;
  std::vector<double> parameters;  // as StudyFolder::parameters
  bool sampled = false;
};

struct StudyProgram {
  std::string name;
  bool training = false;
  uint64_t instructions = 0;
  std::vector<double> simulated;  // [designs], 0.1 ns
};

struct StudyFolder {
  std::string directory;
  std::vector<std::string> parameters;
  std::vector<StudyDesign> designs;
  std::vector<StudyProgram> programs;

  std::vector<size_t> Sampled() const;  // numbers of designs, ascending
};

absl::StatusOr<StudyFolder> ReadStudyFolder(const std::string& directory);

// Variants of one program, such as tile sizes, to be predicted on some of the
// designs of `study`: a folder with a program's files each and programs.json,
// {"designs": [NAME...], "programs": [{"name", "instructions", "total":
// {DESIGN: 0.1 ns}}]}. The answer has those designs, and no training program.
absl::StatusOr<StudyFolder> ReadVariants(const std::string& directory,
                                         const StudyFolder& study);

// Features of the whole trace; latencies on the sampled designs, in their
// order, of a training program.
absl::StatusOr<train::ProgramData> ReadStudyProgram(
    const StudyFolder& folder, const StudyProgram& program,
    const compute::FeatureSchema& schema);

// Changes when a file that ReadStudyProgram reads does.
absl::StatusOr<uint64_t> StudyProgramKey(const StudyFolder& folder,
                                         const StudyProgram& program);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_STUDY_FOLDER_H_
