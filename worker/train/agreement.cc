#include "worker/train/agreement.h"

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/trace/format.h"

namespace perfvec::train {
namespace {

std::string PathOf(const Peers* peers, const std::string& path) {
  const int rank = PeerRank(peers);
  return rank == 0 ? path : absl::StrCat(path, ".rank", rank);
}

std::string Previous(const std::string& path) { return path + ".previous"; }

// Every process's value, in each.
absl::StatusOr<std::vector<double>> Gather(Peers* peers, double value) {
  std::vector<double> all(PeerCount(peers));
  all[PeerRank(peers)] = value;
  if (peers == nullptr) return all;
  absl::Status status = peers->Sum(all.data(), all.size());
  if (!status.ok()) return status;
  return all;
}

}  // namespace

absl::Status CheckSameForAll(Peers* peers, const std::string& text,
                             const std::string& what) {
  // What a double holds exactly.
  const double hash =
      static_cast<double>(trace::Checksum(text) & ((uint64_t{1} << 52) - 1));
  auto all = Gather(peers, hash);
  if (!all.ok()) return all.status();
  for (size_t rank = 0; rank < all->size(); ++rank) {
    if ((*all)[rank] == (*all)[0]) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("processes 0 and ", rank, ": expected the same ", what,
                     ", found different ones"));
  }
  return absl::OkStatus();
}

absl::Status SaveCheckpointOf(const Peers* peers, const std::string& path,
                              const Checkpoint& state) {
  const std::string own = PathOf(peers, path);
  if (PeerCount(peers) > 1 &&
      std::rename(own.c_str(), Previous(own).c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("checkpoint ", own));
  }
  return SaveCheckpoint(own, state);
}

absl::StatusOr<Checkpoint> LoadCheckpointOf(Peers* peers,
                                            const std::string& path) {
  const std::string own = PathOf(peers, path);
  if (peers == nullptr) return LoadCheckpoint(own);
  std::vector<Checkpoint> found;
  absl::Status error;
  for (const std::string& name : {own, Previous(own)}) {
    auto one = LoadCheckpoint(name);
    if (one.ok()) {
      found.push_back(*std::move(one));
    } else if (!absl::IsNotFound(one.status())) {
      error.Update(one.status());
    }
  }
  // All come here, whatever they found, so that none waits in vain.
  auto latest = Gather(peers, found.empty() ? 0 : found[0].steps);
  if (!latest.ok()) return latest.status();
  if (!error.ok() && found.empty()) return error;
  double least = (*latest)[0], most = (*latest)[0];
  for (double steps : *latest) {
    least = std::min(least, steps);
    most = std::max(most, steps);
  }
  if (most == 0) return absl::NotFoundError(absl::StrCat("checkpoint ", own));
  bool here = false;
  size_t which = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].steps == least && !here) {
      here = true;
      which = i;
    }
  }
  auto everywhere = Gather(peers, here ? 1 : 0);
  if (!everywhere.ok()) return everywhere.status();
  for (size_t rank = 0; rank < everywhere->size(); ++rank) {
    if ((*everywhere)[rank] == 1) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint ", path, ": process ", rank, " has none of update ", least,
        ", where the others would go on; remove all of them to begin anew"));
  }
  return std::move(found[which]);
}

}  // namespace perfvec::train
