// The sum of representations that is a program vector, exact under any split.
//
// Floating-point sums depend on their order. So every segment (segment_length
// outputs, added in order in double) is rounded once to a multiple of 2^-52 and
// from there on added as 128-bit integers, which commute: workers, batches and
// resume points may cut a trace as they like, at segment boundaries, and merge
// in any order, and the bits are the same.
//
// A network's output lies in [0, 1], a passed input in [0, kMaxOutput], so
// |sum|
// <= instructions * 2^64 units; with the bound of 2^62 instructions it stays
// below 2^127 and cannot overflow.
//
// Plain value; not synchronised.
//
//   ProgramVectorAccumulator sum(model->id(), 256);
//   RETURN_IF_ERROR(sum.AddSegment(segment_sum.data(), 1024));
//   RETURN_IF_ERROR(sum.Merge(*ProgramVectorAccumulator::Parse(bytes)));
//   std::vector<double> program_vector = sum.Vector();
#ifndef PERFVEC_WORKER_REPRESENT_PROGRAM_VECTOR_H_
#define PERFVEC_WORKER_REPRESENT_PROGRAM_VECTOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/model/input_encoding.h"

namespace perfvec::compute {

class ProgramVectorAccumulator {
 public:
  static constexpr uint64_t kMaxInstructions = uint64_t{1} << 62;
  static constexpr int kMaxOutput = kMaxPassedInput;

  // `model_id` is 64 hex digits, as FoundationModel::id() gives it.
  ProgramVectorAccumulator(std::string model_id, int width);

  // `sums`: width() doubles, the sum of `instructions` outputs. OUT_OF_RANGE if
  // one is outside [0, kMaxOutput * instructions], NaN included, or past
  // kMaxInstructions.
  absl::Status AddSegment(const double* sums, uint64_t instructions);

  // FAILED_PRECONDITION if the other is of another model or width.
  absl::Status Merge(const ProgramVectorAccumulator& other);

  const std::string& model_id() const { return model_id_; }
  int width() const { return static_cast<int>(units_.size()); }
  uint64_t instructions() const { return instructions_; }

  // The sum, each element rounded once to double.
  std::vector<double> Vector() const;

  // 48 bytes of header (magic, version, width, instructions, model id) and 16
  // little-endian bytes an element. DATA_LOSS for other sizes, versions, or
  // elements outside [0, kMaxOutput * instructions].
  std::string Serialize() const;
  static absl::StatusOr<ProgramVectorAccumulator> Parse(
      absl::string_view bytes);

  bool operator==(const ProgramVectorAccumulator& other) const {
    return model_id_ == other.model_id_ && units_ == other.units_ &&
           instructions_ == other.instructions_;
  }

 private:
  __extension__ using Units = __int128;  // multiples of 2^-52

  std::string model_id_;
  uint64_t instructions_ = 0;
  std::vector<Units> units_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_PROGRAM_VECTOR_H_
