// What `perfvec trace check` and `perfvec trace info` say of a .pvt trace.
//
//   absl::StatusOr<TraceContents> contents = CheckTrace(std::move(source));
//   if (!contents.ok()) Print(contents.status());  // names byte and fault
//
// Any thread; each call has its own state.
#ifndef PERFVEC_STORAGE_TRACE_CHECK_H_
#define PERFVEC_STORAGE_TRACE_CHECK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/format.h"

namespace perfvec::trace {

struct TraceInfo {
  TraceHeader header;
  TraceIndex index;
  uint64_t file_bytes = 0;
};

// Bytes read so far, and of how many (0 where that is not known).
using TraceProgress = std::function<void(uint64_t bytes, uint64_t of_bytes)>;

// Header and index only where the file can be read from its end; a pipe is
// read through. The path "-" means standard input.
absl::StatusOr<TraceInfo> ReadTraceInfo(const std::string& path);

struct TraceContents {
  TraceInfo info;
  // Instructions by kind; they overlap.
  uint64_t loads = 0;
  uint64_t stores = 0;
  uint64_t with_address = 0;
  uint64_t branches = 0;
  uint64_t conditional_branches = 0;
  uint64_t taken_branches = 0;
  uint64_t micro_operations = 0;
  uint64_t faults = 0;
  uint64_t placeholders = 0;
  uint32_t most_statics_in_a_chunk = 0;
};

// Reads everything, streaming, with bounded memory. Errors are TraceReader's.
absl::StatusOr<TraceContents> CheckTrace(std::unique_ptr<ByteSource> source,
                                         const TraceProgress& progress = {});

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_CHECK_H_
