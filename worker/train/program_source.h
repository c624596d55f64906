// Where one program's training data come from: a .pvt trace with latency
// columns, or a simulator's text pair with a latency matrix. Either is read
// front to back as chunks that hold the wanted architectures' latencies in the
// wanted order.
//
//   auto source = FindProgramSource(folder, "lbm", architectures, wanted);
//   uint64_t key = source->Key(schema);
//   auto reader = source->Open();
//   TraceChunk chunk;
//   while (*(more = (*reader)->Next(&chunk))) Use(chunk);
//
// Plain data; a reader belongs to one thread.
#ifndef PERFVEC_WORKER_TRAIN_PROGRAM_SOURCE_H_
#define PERFVEC_WORKER_TRAIN_PROGRAM_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::train {

class ProgramReader {
 public:
  virtual ~ProgramReader() = default;
  // chunk->latency_tenth_ns: [wanted architecture][instruction]; an
  // architecture that the source lacks has no instructions.
  virtual absl::StatusOr<bool> Next(trace::TraceChunk* chunk) = 0;
};

struct ProgramSource {
  std::string pvt;  // path; empty: the text pair
  std::string trace, stores, matrix;
  std::vector<std::string> matrix_names;  // of the matrix's rows
  std::vector<std::string> wanted;
  // How many of the wanted architectures, from the first, must be there; of
  // all of them one at least.
  size_t required = 0;

  // Of the schema, the wanted architectures and the files' sizes and times of
  // modification: equal keys mean equal rows. NOT_FOUND names a missing file.
  absl::StatusOr<uint64_t> Key(absl::string_view feature_schema) const;
  // INVALID_ARGUMENT names wanted architectures that the source lacks.
  absl::StatusOr<std::unique_ptr<ProgramReader>> Open() const;
};

// Requires all of `wanted`. DIR/pvt/NAME.pvt if it is there, else what lies in
// DIR/gem5/NAME/. `folder_architectures`: names in the order of
// architectures.json, which is the matrix's.
ProgramSource FindProgramSource(
    const std::string& directory, const std::string& name,
    const std::vector<std::string>& folder_architectures,
    const std::vector<std::string>& wanted);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_PROGRAM_SOURCE_H_
