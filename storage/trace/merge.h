// Puts the latency columns of several .pvt traces of one execution, each run on
// architectures of its own, into one trace: what `perfvec trace merge` does.
//
//   MergeOptions options;
//   options.inputs = {"o3.pvt", "minor.pvt"};
//   options.output = "program.pvt";
//   absl::StatusOr<MergeReport> report = MergeTraces(options);
//
// The instructions are the first input's. In every other they must be the same,
// in order: program counter, operation, flags, registers, address and branch
// outcome. Three differences are of the simulator, not of the execution: an
// in-order core may lack a store-exclusive, so that a placeholder stands in its
// place; it numbers its store queue otherwise (kHasStoreQueueIndex); and an
// out-of-order core prints no address for some accesses (those that fault, some
// loads), so that addresses are compared where both have them.
//
// Blocks until done; any thread. Memory is one chunk for each input.
#ifndef PERFVEC_STORAGE_TRACE_MERGE_H_
#define PERFVEC_STORAGE_TRACE_MERGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/trace/check.h"
#include "storage/trace/format.h"
#include "storage/trace/writer.h"

namespace perfvec::trace {

// A run's trace ends before the first instruction whose store had not left the
// queue, so lengths differ by a few instructions and the merged trace is as
// long as the shortest. More than this share lost is an error.
inline constexpr double kMaxMergeLoss = 0.01;

struct MergeOptions {
  std::vector<std::string> inputs;  // regular files
  std::string output;               // "-": standard output
  std::string tool;                 // of the merged trace's header
  int compression_level = kDefaultCompressionLevel;
  bool allow_loss = false;  // cut to the shortest whatever is lost
  // Instructions merged so far, and of how many.
  TraceProgress progress;
};

struct MergeReport {
  TraceHeader header;
  TraceIndex index;
  uint64_t output_bytes = 0;
  uint64_t left_out = 0;      // of the longest input, at its end
  uint64_t placeholders = 0;  // of others, where the first has the instruction
};

// InvalidArgument: inputs that are not of one execution (named with the first
// instruction that differs), that name a column twice or have none, or that
// would lose too much. Otherwise as IndexedTrace and TraceWriter. No output is
// left after an error.
absl::StatusOr<MergeReport> MergeTraces(const MergeOptions& options);

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_MERGE_H_
