// The JSON form of a design space that `perfvec explore` reads; the page is
// docs/exploration.md.
//
//   {"parameters": [{"name": "l1_kb", "values": [4, 8, 16], "scale": "log"},
//                   {"name": "policy", "labels": ["lru", "random"]}],
//    "samples": [{"architecture": "small",
//                 "parameters": {"l1_kb": 4, "policy": "lru"}}, ...],
//    "programs": [{"program": "lbm", "weight": 2}],
//    "constants": {"watt": 0.3}, "constraints": ["l1_kb >= 4"],
//    "objective": "(1000 + 10*l1_kb) * time", "limits": ["time < 1e7"],
//    "front": ["time", "l1_kb"], "confidence": 0.9}
//
// Free function; any thread.
//
//   ASSIGN file = ParseSpaceFile(text, "caches.json");
#ifndef PERFVEC_CLIENT_CLI_SPACE_FILE_H_
#define PERFVEC_CLIENT_CLI_SPACE_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/explore/explore.h"
#include "worker/explore/parameter_space.h"

namespace perfvec::client::cli {

struct SpaceFile {
  explore::ParameterSpace space;
  struct Sample {
    std::string architecture;
    explore::Point point;
  };
  std::vector<Sample> samples;
  struct Program {
    std::string program;
    double weight = 1;
  };
  std::vector<Program> programs;
  // Objective, constraints over the time, front and confidence; no points or
  // programs.
  explore::ExploreRequest request;
};

// INVALID_ARGUMENT naming the file, the field, what was expected and found;
// the space has passed CheckSpace.
absl::StatusOr<SpaceFile> ParseSpaceFile(absl::string_view json,
                                         const std::string& file);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_SPACE_FILE_H_
