// What sums over a trace's instructions do not owe to any architecture, kept
// beside its representations: G = Σ R Rᵀ and Σ R of the intervals. Latencies
// on one more architecture then cost b = Σ t R alone.
//
// A file names what it is of (instructions, model, precision, interval) and is
// under a checksum; one that is damaged or of something else counts as none. It
// appears whole or not at all. Read by the machine that wrote it.
//
// Free functions; any thread, any process: a file is replaced, never changed.
//
//   if (!ReadKeptSums(path, key, &evidence)) {
//     ...
//     RETURN_IF_ERROR(WriteKeptSums(path, key, evidence));
//   }
//   PruneCache(directory, limit_bytes, {path});
#ifndef PERFVEC_WORKER_EVIDENCE_KEPT_SUMS_H_
#define PERFVEC_WORKER_EVIDENCE_KEPT_SUMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/evidence/representation_file.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::evidence {

struct SumsKey {
  RepresentationKey rows;
  uint64_t skip = 0, interval = 0;  // as TraceEvidenceOptions
  // "DIRECTORY/…"
  std::string PathIn(const std::string& directory) const;
};

// Fills `instructions`, `gram` and `interval_sums`.
bool ReadKeptSums(const std::string& path, const SumsKey& key,
                  compute::ProgramEvidence* evidence);
absl::Status WriteKeptSums(const std::string& path, const SumsKey& key,
                           const compute::ProgramEvidence& evidence);

// Makes the cache's files newer in PruneCache's eyes.
void TouchKept(const std::string& path);

// Removes the longest unused of the cache's files until all together have at
// most `limit_bytes`; other files and those of `spare` stay. Whether they do.
bool PruneCache(const std::string& directory, uint64_t limit_bytes,
                const std::vector<std::string>& spare);

}  // namespace perfvec::evidence

#endif  // PERFVEC_WORKER_EVIDENCE_KEPT_SUMS_H_
