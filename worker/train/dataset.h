// Programs with their features and their latencies on many architectures, in
// memory: what a training run draws its segments from.
//
// Read from a folder laid out like the shared data: programs.json (name,
// family, split, instructions), architectures.json (name, split, parameters)
// and gem5/PROGRAM/{trace.txt.zst, trace.sq.txt.zst, latency.u16.zst}, the last
// being little-endian u16 [architectures][instructions] in 0.1 ns.
//
//   absl::StatusOr<Dataset> data = LoadDataset("data", {});
//   data->programs[0].latency[i * data->architectures.size() + a];
#ifndef PERFVEC_WORKER_TRAIN_DATASET_H_
#define PERFVEC_WORKER_TRAIN_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/features/feature_schema.h"

namespace perfvec::train {

struct TrainingProgram {
  std::string name;
  std::string family;
  size_t instructions = 0;
  std::vector<float> features;    // [instructions][schema->count()]
  std::vector<uint16_t> latency;  // [instructions][architectures], 0.1 ns
};

struct TrainingArchitecture {
  std::string name;
  std::string parameters_json;  // as architectures.json has them
};

struct Dataset {
  const compute::FeatureSchema* schema = nullptr;  // of every row of features
  std::vector<TrainingArchitecture> architectures;
  std::vector<TrainingProgram> programs;
};

struct DatasetOptions {
  const compute::FeatureSchema* schema = &compute::RichFeatureSchema();
  // Only programs and architectures of this split are opened.
  std::string split = "seen";
  // Empty: all programs of the split.
  std::vector<std::string> only_programs;
  // Called with each program's name once it is loaded.
  std::function<void(const std::string&)> progress;
};

// NOT_FOUND or INVALID_ARGUMENT naming the file, what was expected and what was
// found. Needs 4 * features + 2 * architectures bytes of memory an instruction.
absl::StatusOr<Dataset> LoadDataset(const std::string& directory,
                                    const DatasetOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_DATASET_H_
