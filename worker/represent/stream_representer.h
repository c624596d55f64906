// From the features of consecutive instructions to their part of the program
// vector, in memory that does not grow with the trace.
//
// Takes a range [begin, end) of a trace, begin at a segment boundary, and wants
// the features from first_instruction() = max(0, begin - warm_up) on, in order,
// in pieces of any size. It holds the inputs of one batch of segments (of one
// segment's windows in window mode), runs them on the back end when they are
// all there, and keeps the last warm_up instructions for the next.
//
// The result does not depend on the pieces, and the accumulators of ranges that
// make up a trace merge to that of the whole trace. On request it also keeps
// the sums over intervals, which together are the whole to the last bit, and
// those over groups of instructions, which are to the rounding of doubles.
//
// One thread at a time. The back end is borrowed and must outlive it.
//
//   ASSIGN r = StreamRepresenter::Create(back_end.get(), {0, count}, {});
//   while (reader gives a block) RETURN_IF_ERROR(r.Feed(features, n));
//   ASSIGN sum = r.Finish();
#ifndef PERFVEC_WORKER_REPRESENT_STREAM_REPRESENTER_H_
#define PERFVEC_WORKER_REPRESENT_STREAM_REPRESENTER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/represent/program_vector.h"
#include "worker/represent/representer.h"

namespace perfvec::compute {

inline constexpr int64_t kEndOfTrace = std::numeric_limits<int64_t>::max();

struct InstructionRange {
  int64_t begin = 0;          // a multiple of segment_length
  int64_t end = kEndOfTrace;  // exclusive; a multiple too, or the trace's end
};

struct StreamOptions {
  // Called by Feed and Finish after each batch with the instructions of the
  // range represented so far. An error stops the work and is returned.
  std::function<absl::Status(int64_t instructions_done)> progress;
  // Called before it with the batch's outputs, max(0, h) of instructions
  // [first, first + count), [count][width]; valid during the call. An error
  // stops the work and is returned.
  std::function<absl::Status(int64_t first, size_t count, const float* outputs)>
      outputs;
  // Keeps a sum for each interval: from the range's begin to the first of
  // `interval_begins`, which ascend and lie within the range, and so on. An
  // interval that begins inside a segment costs the segment's steps again.
  bool intervals = false;
  std::vector<int64_t> interval_begins;
  // If not 0, Feed takes the group of each instruction, below it.
  uint32_t groups = 0;
};

class StreamRepresenter {
 public:
  // INVALID_ARGUMENT for a range that is empty backwards or not aligned.
  static absl::StatusOr<StreamRepresenter> Create(Representer* back_end,
                                                  InstructionRange range,
                                                  StreamOptions options);

  // The position Feed starts at.
  int64_t first_instruction() const { return first_instruction_; }
  // The position Feed wants next.
  int64_t next_instruction() const { return buffer_begin_ + buffer_rows_; }

  // features: [count][schema().count()] row-major, by the model's
  // feature schema. OUT_OF_RANGE past the range's
  // end, INVALID_ARGUMENT for features whose inputs exceed kMaxInput or are
  // NaN. After an error the object is of no further use.
  // groups: [count], if the options say so.
  absl::Status Feed(const float* features, size_t count,
                    const uint32_t* groups = nullptr);

  // What is left, then the sum. FAILED_PRECONDITION if the range has an end and
  // it has not been reached.
  absl::StatusOr<ProgramVectorAccumulator> Finish();

  // Known after Finish: one for each interval, one for each group.
  const std::vector<ProgramVectorAccumulator>& interval_sums() const {
    return interval_sums_;
  }
  const std::vector<ProgramVectorAccumulator>& group_sums() const {
    return group_sums_;
  }

 private:
  StreamRepresenter(Representer* back_end, InstructionRange range,
                    StreamOptions options);

  absl::Status RunBatch(bool last);
  absl::Status RunSegments(int64_t end);
  absl::Status RunWindows(int64_t end);
  // Where the sum that begins at `at` ends: with its segment or its interval.
  int64_t SumEnd(int64_t at, int64_t end) const;
  // Adds the sum over [at, at + count) to the whole and to its interval.
  absl::Status AddSum(int64_t at, int64_t count, const double* sum);
  // outputs: [count][width], of one segment's instructions from `at` on.
  absl::Status AddGroups(int64_t at, int64_t count, const float* outputs);

  Representer* back_end_;
  InstructionRange range_;
  StreamOptions options_;
  int64_t first_instruction_ = 0;
  int64_t capacity_rows_ = 0;
  // Rows of encoded inputs for [buffer_begin_, buffer_begin_ + buffer_rows_).
  std::vector<float> buffer_;
  int64_t buffer_begin_ = 0;
  int64_t buffer_rows_ = 0;
  std::vector<uint32_t> group_buffer_;  // of the same rows, if wanted
  int64_t done_ = 0;                    // everything before it is in sum_
  std::vector<float> outputs_;
  ProgramVectorAccumulator sum_;
  std::vector<ProgramVectorAccumulator> interval_sums_;
  std::vector<ProgramVectorAccumulator> group_sums_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_STREAM_REPRESENTER_H_
