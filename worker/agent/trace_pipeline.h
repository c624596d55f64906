// One trace under one model, front to back: bytes to blocks, features and sums
// of representations.
//
// Represent() may be called again and again for ranges that follow each other
// or skip ahead; what lies before a range is only passed through the feature
// extractor. So a worker that goes on with the next shard of a job neither
// opens nor decodes the trace again. Memory: one block's features, one batch
// of segments, and the extractor's state (which grows with the footprint).
//
// One thread at a time. The back end is borrowed and outlives the pipeline.
//
//   auto pipeline = TracePipeline::Open(std::move(stream), back_end.get());
//   auto first = (*pipeline)->Represent(0, 65536, {}, progress);
//   if ((*pipeline)->CanRepresent(65536)) { ... }
#ifndef PERFVEC_WORKER_AGENT_TRACE_PIPELINE_H_
#define PERFVEC_WORKER_AGENT_TRACE_PIPELINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "worker/features/feature_extractor.h"
#include "worker/represent/program_vector.h"
#include "worker/represent/representer.h"

namespace perfvec::worker {

// What is wanted of a range beside its sum.
struct RangeParts {
  // Where other intervals begin, ascending, after begin and before end.
  bool intervals = false;
  std::vector<uint64_t> interval_begins;
  // The parts of code: these addresses, these functions, and the rest.
  bool code = false;
  std::vector<uint64_t> addresses;
  struct Function {
    uint64_t begin = 0, end = 0;
  };
  std::vector<Function> functions;  // none overlaps another

  size_t code_parts() const { return addresses.size() + functions.size() + 1; }
};

struct RangeSums {
  compute::ProgramVectorAccumulator whole;
  std::vector<compute::ProgramVectorAccumulator> intervals, code;
};

class TracePipeline {
 public:
  // Called after each block of the prefix (with 0) and each batch of segments,
  // with the instructions of the range that are done. An error stops the work
  // and is returned.
  using Progress = std::function<absl::Status(uint64_t instructions_done)>;

  static absl::StatusOr<std::unique_ptr<TracePipeline>> Open(
      std::unique_ptr<trace::ByteSource> source,
      compute::Representer* back_end);

  // Whether a range from `begin` still lies ahead.
  bool CanRepresent(uint64_t begin) const;

  // The sum over instructions [begin, end): begin a multiple of the segment
  // length, end too or the trace's end. A damaged trace is the reader's error,
  // OUT_OF_RANGE one that ends before `end`; the source's own errors come
  // through with their code. After an error the pipeline is of no further use.
  absl::StatusOr<RangeSums> Represent(uint64_t begin, uint64_t end,
                                      const RangeParts& parts,
                                      const Progress& progress);

 private:
  TracePipeline(std::unique_ptr<trace::TraceReader> reader,
                compute::Representer* back_end);

  uint64_t rows_end() const { return rows_begin_ + rows_; }
  uint64_t FirstInstruction(uint64_t begin) const;
  // Replaces the rows by those of the next block, after the last `warm_up_` of
  // the rows before; none if the block ends before `wanted`.
  absl::Status NextBlock(uint64_t wanted);
  // The part of code of each of the rows, from row `from` on.
  void FindCodeParts(const RangeParts& parts, uint64_t from,
                     std::vector<uint32_t>* code) const;

  const std::unique_ptr<trace::TraceReader> reader_;
  compute::Representer* const back_end_;
  const uint64_t warm_up_;
  const uint64_t width_;  // features in a row
  compute::FeatureExtractor extractor_;
  trace::TraceChunk chunk_;
  // Features of instructions [rows_begin_, rows_begin_ + rows_),
  // [rows][width_].
  std::vector<float> features_;
  std::vector<uint64_t> program_counters_;  // of the same rows
  uint64_t rows_begin_ = 0;
  uint64_t rows_ = 0;
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_TRACE_PIPELINE_H_
