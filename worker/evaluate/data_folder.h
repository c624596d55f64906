// A folder of simulated programs: what it lists, and one program's data.
//
// programs.json lists name, family, split and instructions; architectures.json
// name, split, kind and parameters, in the order of the latency matrices;
// pvt/PROGRAM.pvt or gem5/PROGRAM/ holds trace and latencies
// (docs/training.md). Listing opens nothing else: a program that is not asked
// for is never read.
//
// Everything here comes from outside and is checked: INVALID_ARGUMENT or
// NOT_FOUND name the file, what was expected and what was found.
//
//   ASSIGN folder = ReadDataFolder("data");
//   ASSIGN data = ReadProgram(folder, folder.programs[0], schema, {0, 1, 5});
//   data.latency[c * data.instructions + i];   // of architectures 0, 1, 5
#ifndef PERFVEC_WORKER_EVALUATE_DATA_FOLDER_H_
#define PERFVEC_WORKER_EVALUATE_DATA_FOLDER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/features/feature_schema.h"

namespace perfvec::train {

enum class Split { kSeen, kUnseen };

struct ProgramEntry {
  std::string name, family;
  Split split = Split::kSeen;
  size_t instructions = 0;
};

struct ArchitectureEntry {
  std::string name;
  Split split = Split::kSeen;
  std::string kind;  // "in_order", "out_of_order"; empty: not said
  std::string parameters_json = "{}";  // all but name and split
};

struct DataFolder {
  std::string directory;
  std::vector<ProgramEntry> programs;
  std::vector<ArchitectureEntry> architectures;
};

absl::StatusOr<DataFolder> ReadDataFolder(const std::string& directory);

struct ProgramData {
  size_t instructions = 0;
  size_t feature_count = 0;     // of the schema; the first 51 are the published
  std::vector<float> features;  // [instructions][feature_count]
  std::vector<uint32_t> latency;  // [rows asked for][instructions], 0.1 ns
};

// `rows`: numbers of architectures, ascending. Needs 4 * (features + rows)
// bytes an instruction.
absl::StatusOr<ProgramData> ReadProgram(const DataFolder& folder,
                                        const ProgramEntry& program,
                                        const compute::FeatureSchema& schema,
                                        const std::vector<size_t>& rows);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_DATA_FOLDER_H_
