// How good the weights are while they are trained: the error of total time over
// a fixed sample of segments of each validation program.
//
//   Validation validation(programs, encoding, scaling, options);
//   ValidationResult r = validation.Run(parameters);
//
// One thread. Has a network of its own, so that the trained one's carried state
// is left alone.
#ifndef PERFVEC_WORKER_TRAIN_VALIDATION_H_
#define PERFVEC_WORKER_TRAIN_VALIDATION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/input_encoding.h"
#include "worker/train/network.h"
#include "worker/train/sampler.h"

namespace perfvec::train {

// Every program's first instructions are the same libc start-up; errors leave
// them out (a multiple of the segment above 10,000).
inline constexpr size_t kStartUpInstructions = 10240;
// Representations are computed as the service does: docs/foundation_model.md.
inline constexpr int kSegment = 1024, kSegmentWarmUp = 255;

struct ValidationResult {
  // |Σ predicted − Σ time| / Σ time over a program's segments: mean over
  // architectures, by program; and the mean of that.
  std::vector<double> programs;
  double error = 0;
};

class Validation {
 public:
  // Segments stand at equal distances behind the start-up (from the start in a
  // program that is shorter). The references outlive it.
  static absl::StatusOr<std::unique_ptr<Validation>> Create(
      const std::vector<Slice>& programs,
      const compute::InputEncoding& encoding,
      const std::vector<double>& architecture_scales, const NetworkShape& shape,
      int segments_per_program);

  bool empty() const { return segments_.empty(); }
  ValidationResult Run(const std::vector<float>& parameters);

 private:
  struct Segment {
    size_t program = 0;  // into programs_
    size_t begin = 0;    // the warm-up before it is there too
    size_t length = 0;
  };
  Validation(const std::vector<Slice>& programs,
             const compute::InputEncoding& encoding)
      : programs_(programs), encoding_(encoding) {}
  void AddSums(size_t first, size_t count,
               std::vector<std::vector<double>>* sums);

  const std::vector<Slice>& programs_;
  const compute::InputEncoding& encoding_;
  std::unique_ptr<Network> network_;
  std::vector<Segment> segments_;
  std::vector<std::vector<double>> times_;  // [program][A], scaled
  std::vector<float> inputs_, features_;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_VALIDATION_H_
