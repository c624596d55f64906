// A whole .pvt trace, or a range of it, to its program vector in one call: what
// `perfvec represent FILE --model M` does without a server.
//
// A thread of its own reads the trace and extracts features while the back end
// runs the batch before; a few blocks of features wait between them at most.
// Reads from the front without seeking; the features before the range are
// computed and dropped, as stack distances need them.
//
// Blocks until done. One call at a time for a back end.
//
//   ASSIGN source = trace::OpenFileSource("program.pvt");
//   ASSIGN back_end = MakeRepresenter(model, {});
//   ASSIGN sum = RepresentTrace(std::move(source), back_end.get(), {});
//   std::vector<double> program_vector = sum.Vector();
#ifndef PERFVEC_WORKER_REPRESENT_REPRESENT_TRACE_H_
#define PERFVEC_WORKER_REPRESENT_REPRESENT_TRACE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"
#include "worker/represent/program_vector.h"
#include "worker/represent/representer.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::compute {

struct TraceProgress {
  int64_t instructions_done = 0;  // of the range, in the sum
  uint64_t bytes_read = 0;        // of the trace
  uint64_t bytes_total = 0;       // 0: unknown
};

// Instructions [first, first + count) with their representations and how long
// each took.
struct RepresentedRows {
  int64_t first = 0;
  size_t count = 0;
  const float* outputs = nullptr;           // [count][width]
  const float* latency_tenth_ns = nullptr;  // [count][columns]
};

struct RepresentTraceOptions {
  InstructionRange range;
  // Called with each batch, in order; the rows are valid during the call. An
  // error stops the work and is returned.
  std::function<absl::Status(const RepresentedRows&)> rows;
  // The latency columns that `rows` gets, by their place in the trace.
  std::vector<uint32_t> columns;
  // Called after each batch; an error stops the work and is returned.
  std::function<absl::Status(const TraceProgress&)> progress;
};

// The reader's errors come through as they are (DATA_LOSS with the position,
// for a damaged trace). A range that ends neither at a segment boundary nor
// with the trace is INVALID_ARGUMENT, one that ends behind it
// FAILED_PRECONDITION.
absl::StatusOr<ProgramVectorAccumulator> RepresentTrace(
    std::unique_ptr<trace::ByteSource> source, Representer* back_end,
    const RepresentTraceOptions& options);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_REPRESENT_TRACE_H_
