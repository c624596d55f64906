// The times that a foundation model predicts from two traces of one program,
// on each architecture that the model knows: what the differences between the
// traces cost a prediction.
//
//   auto pairs = PredictBoth("deploy/models/default", "a.pvt", "b.pvt", limit);
//   for (const PredictedPair& pair : *pairs) Show(pair.difference());
#ifndef PERFVEC_CLIENT_CLI_TRACE_PREDICTION_H_
#define PERFVEC_CLIENT_CLI_TRACE_PREDICTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace perfvec::client::cli {

struct PredictedPair {
  std::string architecture;
  double a_ns = 0, b_ns = 0;
  double difference() const { return a_ns / b_ns - 1; }
};

struct PredictedPairs {
  uint64_t instructions = 0;  // of each trace that were represented
  std::vector<PredictedPair> pairs;
};

// From the first `most_instructions` of both traces, or as many as the
// shorter one has, in whole segments of the model. InvalidArgument: not one
// segment, or a model without architectures.
absl::StatusOr<PredictedPairs> PredictBoth(const std::string& model,
                                           const std::string& a,
                                           const std::string& b,
                                           uint64_t most_instructions);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_TRACE_PREDICTION_H_
