// The best architectures for a program, or the best programs for an
// architecture: by time, cost or energy, among those that meet constraints.
//
// docs/prediction.md describes objectives, constraints and counts. One pass
// over the vectors of the model in memory; only the `limit` best are kept and
// sorted. Equal values are ordered by name, then version, so that the same
// vectors always give the same list.
//
// Pure function of a snapshot; any thread. Takes about 50 ns a candidate.
//
//   v1::RankResponse response;
//   absl::Status status = Rank(predictor.snapshot(), request,
//                              [&] { return context->IsCancelled(); },
//                              &response);
#ifndef PERFVEC_SERVER_RANKING_H_
#define PERFVEC_SERVER_RANKING_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "server/predictor.h"

namespace perfvec::server {

inline constexpr int kDefaultRankLimit = 20;
inline constexpr int kMaxRankLimit = 10000;
inline constexpr int kMaxCandidates = 10000;
inline constexpr int kMaxConstraints = 64;

// Errors: INVALID_ARGUMENT (a limit, a constraint, an attribute that nothing
// has, with the nearest known ones), NOT_FOUND, FAILED_PRECONDITION (no vector
// under the model; the architecture lacks the price or power the objective
// needs), CANCELLED once `stop` returns true, asked now and then.
absl::Status Rank(const Snapshot& snapshot, const v1::RankRequest& request,
                  const std::function<bool()>& stop,
                  v1::RankResponse* response);

// How many vectors Rank would look at, at most; 0 if it would fail.
int64_t RankRows(const Snapshot& snapshot, const v1::RankRequest& request);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_RANKING_H_
