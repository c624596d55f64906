// What the processes of one run settle between them, on top of Peers' sums.
// A null `peers` is a run of one process.
//
//   status = CheckSameForAll(peers, options.dump(), "options");
//   status = Average(peers, gradients.data(), gradients.size());
//
// Every process makes the same calls in the same order. One thread at a time.
#ifndef PERFVEC_WORKER_TRAIN_AGREEMENT_H_
#define PERFVEC_WORKER_TRAIN_AGREEMENT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/checkpoint.h"
#include "worker/train/peers.h"

namespace perfvec::train {

inline int PeerCount(const Peers* peers) {
  return peers == nullptr ? 1 : peers->size();
}
inline int PeerRank(const Peers* peers) {
  return peers == nullptr ? 0 : peers->rank();
}

// The mean over the processes, in place.
template <typename T>
absl::Status Average(Peers* peers, T* values, size_t n) {
  if (peers == nullptr) return absl::OkStatus();
  absl::Status status = peers->Sum(values, n);
  const T share = T(1) / peers->size();
  for (size_t i = 0; i < n; ++i) values[i] *= share;
  return status;
}

// FAILED_PRECONDITION unless `text` is the same in every process.
absl::Status CheckSameForAll(Peers* peers, const std::string& text,
                             const std::string& what);

// Each process has a checkpoint of its own: `path`, and for the others
// `path`.rankN. A kill may come after some have written theirs and before the
// others have, so with several processes the one before is kept as
// `path`.previous, and all take the latest that every one of them has.
absl::Status SaveCheckpointOf(const Peers* peers, const std::string& path,
                              const Checkpoint& state);
// NOT_FOUND: no process has one. FAILED_PRECONDITION: some have none of the
// update that the others go on from. Otherwise as LoadCheckpoint.
absl::StatusOr<Checkpoint> LoadCheckpointOf(Peers* peers,
                                            const std::string& path);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_AGREEMENT_H_
