// A chunk of a trace: consecutive instructions with their latencies. What
// importers make, what the writer takes and the reader gives.
//
// Plain data; header only, standard library only.
#ifndef PERFVEC_STORAGE_TRACE_TRACE_CHUNK_H_
#define PERFVEC_STORAGE_TRACE_TRACE_CHUNK_H_

#include <cstdint>
#include <vector>

#include "storage/trace/instruction.h"

namespace perfvec::trace {

// A chunk holds at most so many instructions.
inline constexpr uint32_t kMaxChunkInstructions = 65536;

struct TraceChunk {
  InstructionBlock block;
  // [latency column][instruction]: by how much the instruction lengthens the
  // run after all before it have retired and left the store queue, in 0.1 ns.
  std::vector<std::vector<uint32_t>> latency_tenth_ns;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_TRACE_CHUNK_H_
