// What LearnFromTimes refuses and what it warns of.
//
// Pure functions on plain data; any thread.
//
//   RETURN_IF_ERROR(CheckEvidence(evidence[0], 256));
//   learned.warnings = EvidenceWarnings(evidence, learned, 0.05);
#ifndef PERFVEC_WORKER_LEARN_EVIDENCE_CHECKS_H_
#define PERFVEC_WORKER_LEARN_EVIDENCE_CHECKS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/learn/learn_from_times.h"

namespace perfvec::compute {

// INVALID_ARGUMENT naming the program: times that are none, sums of another
// width or not finite.
absl::Status CheckEvidence(const Evidence& evidence, size_t width);

double TimeOf(const Evidence& evidence);
std::vector<double> SumOf(const Evidence& evidence);  // [H]

// Of evidence that passed CheckEvidence and what was learned from it.
std::vector<std::string> EvidenceWarnings(const std::vector<Evidence>& evidence,
                                          const LearnedVector& learned,
                                          double expected_noise);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_EVIDENCE_CHECKS_H_
