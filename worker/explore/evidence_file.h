// What a program says about architectures, kept in a file: representing a
// trace takes minutes, reading this no time.
//
// One file a program and model. It names the model and a key of the trace it
// was made of; a file of another is not an error but not the one wanted.
//
//   ASSIGN kept = LoadEvidence(path, model->id(), key);
//   if (!kept.has_value()) ...   // represent, then
//   RETURN_IF_ERROR(SaveEvidence(path, model->id(), key, evidence));
//
// Free functions; any thread.
#ifndef PERFVEC_WORKER_EXPLORE_EVIDENCE_FILE_H_
#define PERFVEC_WORKER_EXPLORE_EVIDENCE_FILE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/learn/program_evidence.h"

namespace perfvec::explore {

absl::Status SaveEvidence(const std::string& path, const std::string& model_id,
                          uint64_t key,
                          const compute::ProgramEvidence& evidence);

// Nothing where there is no such file, or one of another model, key or
// machine's byte order. DATA_LOSS if it is damaged.
absl::StatusOr<std::optional<compute::ProgramEvidence>> LoadEvidence(
    const std::string& path, const std::string& model_id, uint64_t key);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_EVIDENCE_FILE_H_
