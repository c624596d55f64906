// The processes that train one model together: each has a share of the lanes,
// and what they compute is summed over all of them.
//
//   auto peers = JoinPeers({2, rank, "tcp://host:29500"});
//   status = (*peers)->Sum(gradients.data(), gradients.size());
//   for (float& g : gradients) g /= (*peers)->size();
//
// Every process makes the same calls in the same order. One thread at a time.
#ifndef PERFVEC_WORKER_TRAIN_PEERS_H_
#define PERFVEC_WORKER_TRAIN_PEERS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::train {

class Peers {
 public:
  virtual ~Peers() = default;
  virtual int rank() const = 0;  // 0..size()-1
  virtual int size() const = 0;
  // Element by element, in place; the same bits for every process. UNAVAILABLE
  // once another process has gone or does not answer in time.
  virtual absl::Status Sum(float* values, size_t n) = 0;
  virtual absl::Status Sum(double* values, size_t n) = 0;
};

struct PeersOptions {
  int world_size = 1;
  int rank = 0;
  // How they find each other: "tcp://HOST:PORT", where rank 0 listens, or the
  // path of a file on a file system that all see, which does not exist yet.
  std::string rendezvous;
  int timeout_seconds = 600;  // for the start and for each sum
};

// Waits for all. INVALID_ARGUMENT: contradictory options. UNAVAILABLE: not all
// came in time. Ignores SIGPIPE in this process from then on.
absl::StatusOr<std::unique_ptr<Peers>> JoinPeers(const PeersOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_PEERS_H_
