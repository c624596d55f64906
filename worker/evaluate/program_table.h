// Program vectors beside simulated times: one row a program, one column an
// architecture. What calibration and studies of learning work on.
//
// Vectors cost a pass of the network over each trace and are kept in a file
// (`cache`), by model id; a second call opens the data only for what the file
// lacks. Only programs of the split "seen" are rows.
//
//   TableOptions options;
//   options.data = {"data"};
//   options.architectures = {"cortex_a15_like"};
//   ASSIGN rows = MakeProgramTable(model, options);
//   rows[0].times[0];    // on cortex_a15_like, 0.1 ns
//
// Blocks until done; uses `threads` threads.
#ifndef PERFVEC_WORKER_EVALUATE_PROGRAM_TABLE_H_
#define PERFVEC_WORKER_EVALUATE_PROGRAM_TABLE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/foundation_model.h"

namespace perfvec::train {

struct ProgramRow {
  std::string name, family;
  bool trained = false;        // the model's manifest says so
  double instructions = 0;     // without the start-up
  std::vector<double> vector;  // [width], sum of R over them
  std::vector<double> times;   // of TableOptions::architectures, 0.1 ns
};

// Of each training program, by default of the commands: a minute or two of a
// processor in all.
inline constexpr size_t kTableTrainingInstructions = 60000;

struct TableOptions {
  std::vector<std::string> data;
  std::vector<std::string> architectures;
  bool trained = true;   // programs that the model was trained on
  bool left_out = true;  // other seen programs
  // Of a training program at most so many instructions, from its begin.
  size_t training_instructions = SIZE_MAX;
  size_t left_out_instructions = 10000;  // start-up of each program
  std::string cache;                     // a file; empty: none
  int threads = 0;                       // 0: one per processor
  std::function<void(const std::string& message)> progress;
};

// Names of the split "unseen" in the folders' architectures.json.
absl::StatusOr<std::set<std::string>> UnseenArchitectures(
    const std::vector<std::string>& data);

// The model's architectures, by number, but those of the split "unseen", which
// it may have learned after its training: their times are not to be looked at
// uncounted, nor is one to stand in the prior of its own learning.
absl::StatusOr<std::vector<size_t>> KnownArchitectures(
    const compute::Manifest& manifest, const std::vector<std::string>& data);

// In the order of the folders. Programs that a folder has no times of on one of
// the architectures are left out. Errors name file or program.
absl::StatusOr<std::vector<ProgramRow>> MakeProgramTable(
    std::shared_ptr<const compute::FoundationModel> model,
    const TableOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_PROGRAM_TABLE_H_
