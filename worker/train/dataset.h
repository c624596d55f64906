// Programs with their features and their latencies on many architectures: what
// a training run draws its segments from.
//
// Read from folders that hold programs.json (name, family, split,
// instructions), architectures.json (name, split, parameters) and for each
// program either pvt/NAME.pvt, whose latency columns bear the architectures'
// names, or gem5/NAME/{trace.txt.zst, trace.sq.txt.zst, latency.u16.zst}, the
// last being little-endian u16 [architectures][instructions] in 0.1 ns. A
// program with "partial": true in programs.json may lack architectures in its
// .pvt: with a given time to simulate, more programs on fewer architectures
// each teach more.
//
//   absl::StatusOr<Dataset> data = LoadDataset({"data", "more"}, options);
//   data->programs[0].rows->Features(begin, n, features);
//
// With a cache folder the programs' rows are converted once and mapped from
// there; without, they are kept in memory.
#ifndef PERFVEC_WORKER_TRAIN_DATASET_H_
#define PERFVEC_WORKER_TRAIN_DATASET_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/features/feature_schema.h"
#include "worker/train/program_rows.h"

namespace perfvec::train {

struct TrainingProgram {
  std::string name;
  std::string family;
  size_t instructions = 0;
  std::shared_ptr<const ProgramRows> rows;
  // Some of the architectures served were not simulated: their latencies are
  // all 0, as are those of an auxiliary one that was not.
  bool partial = false;
};

// Instructions begin..end of a program.
struct Slice {
  const TrainingProgram* program = nullptr;
  size_t begin = 0, end = 0;
};

struct TrainingArchitecture {
  std::string name;
  std::string parameters_json;  // as architectures.json has them
  // Widens what the network learns; not fitted, not validated, not saved.
  bool auxiliary = false;
};

struct Dataset {
  const compute::FeatureSchema* schema = nullptr;   // of every program's rows
  std::vector<TrainingArchitecture> architectures;  // auxiliary ones last
  std::vector<TrainingProgram> programs;

  size_t served() const;  // architectures that are not auxiliary
};

struct DatasetOptions {
  // Only programs and architectures of this split are opened.
  std::string split = "seen";
  // Empty: all of the split. A name that is nowhere is NOT_FOUND.
  std::vector<std::string> only_programs;
  std::vector<std::string> only_architectures;
  const compute::FeatureSchema* schema = &compute::RichFeatureSchema();
  // Where converted programs are kept, made if need be; empty: nowhere. A file
  // there that is damaged is made again. Files of older data stay; the folder
  // may be deleted at any time between runs.
  std::string cache_directory;
  // Called with a line for each program, once it is loaded.
  std::function<void(const std::string&)> progress;
};

// The architectures are those of the first folder, in its order; the other
// folders must list the same. Auxiliary ones ("auxiliary": true) may be listed
// by any folder, and any program may lack their latencies. NOT_FOUND or
// INVALID_ARGUMENT naming the file, what was expected and what was found.
absl::StatusOr<Dataset> LoadDataset(const std::vector<std::string>& directories,
                                    const DatasetOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_DATASET_H_
