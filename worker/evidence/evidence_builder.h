// Sums over the instructions of a program for learning architectures, from
// representations and latencies as they are made: one pass, any number of
// architectures.
//
// One thread. Single precision within a block of rows, double between blocks.
//
//   EvidenceBuilder builder({.width = 256, .columns = 3, .interval = 10000});
//   builder.Add(representations, latencies, rows);   // again and again
//   ProgramEvidence evidence = builder.Take();
#ifndef PERFVEC_WORKER_EVIDENCE_EVIDENCE_BUILDER_H_
#define PERFVEC_WORKER_EVIDENCE_EVIDENCE_BUILDER_H_

#include <cstddef>
#include <limits>
#include <vector>

#include "worker/learn/program_evidence.h"

namespace perfvec::compute {

struct EvidenceOptions {
  size_t width = 0;
  size_t columns = 0;  // architectures
  // Instructions. The last interval also holds what is left over.
  size_t interval = 10000;
  // Even. If there would be more, two and two become one.
  size_t max_intervals = std::numeric_limits<size_t>::max() - 1;
  // Only what depends on the architectures; gram and interval_sums, which do
  // not, stay empty.
  bool times_only = false;
};

class EvidenceBuilder {
 public:
  explicit EvidenceBuilder(const EvidenceOptions& options);

  // representations: [rows][width]; times: [rows][columns], any unit.
  void Add(const float* representations, const float* times, size_t rows);

  // What was added so far; ends the object's use.
  ProgramEvidence Take();

 private:
  void AddBlock(const float* r, const float* t, size_t rows);
  void AddToIntervals(const float* r, const float* t, size_t rows);

  const EvidenceOptions options_;
  size_t interval_;
  size_t intervals_ = 0;
  size_t in_last_ = 0;  // instructions of the last interval
  std::vector<float> gram_, cross_;
  ProgramEvidence out_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_EVIDENCE_EVIDENCE_BUILDER_H_
