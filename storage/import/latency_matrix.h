// The latencies of one trace on many architectures, as the simulation runs
// give them: little-endian u16 [architecture][instruction], plain or zstd.
//
//   auto matrix = LatencyMatrix::Load(std::move(source), names.size());
//   status = (*matrix)->Read(first_instruction, count, &columns);
//
// One thread. The matrix goes by columns and a trace by rows, so it is
// unpacked into a nameless temporary file and read from there; memory does not
// grow with the trace.
#ifndef PERFVEC_STORAGE_IMPORT_LATENCY_MATRIX_H_
#define PERFVEC_STORAGE_IMPORT_LATENCY_MATRIX_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::trace {

class LatencyMatrix {
 public:
  static absl::StatusOr<std::unique_ptr<LatencyMatrix>> Load(
      std::unique_ptr<ByteSource> source, size_t architectures);
  ~LatencyMatrix();
  LatencyMatrix(const LatencyMatrix&) = delete;
  LatencyMatrix& operator=(const LatencyMatrix&) = delete;

  uint64_t instructions() const { return instructions_; }

  // [architecture][count] of the instructions from `first`. OutOfRange where
  // the matrix is shorter.
  absl::Status Read(uint64_t first, uint32_t count,
                    std::vector<std::vector<uint32_t>>* latency_tenth_ns) const;

 private:
  LatencyMatrix(std::FILE* file, std::string name, size_t architectures);

  std::FILE* const file_;
  const std::string name_;
  const size_t architectures_;
  uint64_t instructions_ = 0;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_IMPORT_LATENCY_MATRIX_H_
