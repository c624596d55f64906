// The JSON form of an architecture that `perfvec arch create` reads.
//
//   {"name": "a15", "attributes": {"kind": "out_of_order", "rob": 40},
//    "price_per_hour": 0.5, "power_watts": 3.2, "tags": {"site": "lab"},
//    "aliases": ["gold"], "vectors": [{"model": "base", "values": [0.1, ...]}]}
//
// Also an array of those, {"architectures": [...]} as `arch list --json`
// prints, or what `arch get --json` does: attributes may be {"number": 40} and
// {"text": "..."}, vectors may name a "model_id" and carry the "learned" and
// "uncertainty" that their intervals and flags come from. Fields that the
// server gives (version, times, revision) are passed over, others that are not
// known are refused.
//
// Free function; any thread.
//
//   auto drafts = ParseArchitectures(text, "a15.json");
#ifndef PERFVEC_CLIENT_CLI_ARCHITECTURE_FILE_H_
#define PERFVEC_CLIENT_CLI_ARCHITECTURE_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "perfvec/v1/resources.pb.h"

namespace perfvec::client::cli {

struct ArchitectureDraft {
  perfvec::v1::Architecture architecture;
  // For each vector the model reference to be resolved to a model id; empty
  // where the file gives the id.
  std::vector<std::string> vector_models;
};

// INVALID_ARGUMENT naming the file, the architecture, the field, what was
// expected and what was found.
absl::StatusOr<std::vector<ArchitectureDraft>> ParseArchitectures(
    absl::string_view json, const std::string& file);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_ARCHITECTURE_FILE_H_
