#include "worker/agent/lease_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "proto/log.h"

namespace perfvec::worker {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(20);
constexpr absl::Duration kLongestInterval = absl::Seconds(20);

absl::Duration RenewalInterval(const v1::Lease& lease) {
  const absl::Duration duration = absl::Seconds(lease.duration().seconds()) +
                                  absl::Nanoseconds(lease.duration().nanos());
  return std::clamp(duration / 3, kShortestInterval, kLongestInterval);
}

}  // namespace

LeaseKeeper::LeaseKeeper(ServerConnection* server, const std::string& worker_id,
                         const v1::Lease& lease, Interrupt* shard)
    : server_(server), shard_(shard) {
  v1::RenewLeaseRequest request;
  request.set_worker_id(worker_id);
  request.set_job_id(lease.job_id());
  request.set_shard(lease.shard());
  request.set_fencing_token(lease.fencing_token());
  thread_ = std::thread([this, request, interval = RenewalInterval(lease),
                         request_id = lease.request_id()] {
    LogScope scope(request_id, request.job_id());
    Renew(request, interval);
  });
}

LeaseKeeper::~LeaseKeeper() {
  stop_.Raise(absl::CancelledError("the shard has ended"));
  thread_.join();
}

void LeaseKeeper::Renew(v1::RenewLeaseRequest request,
                        absl::Duration interval) {
  Backoff backoff({.initial = interval / 4, .longest = interval},
                  std::random_device{}());
  absl::Duration wait = interval;
  while (!stop_.WaitFor(wait)) {
    request.set_instructions_done(done_);
    // Half a second at least: a busy machine is not a lost server.
    const auto renewed = server_->RenewLease(
        request, std::max(interval, absl::Milliseconds(500)), &stop_);
    if (stop_.raised()) return;
    if (renewed.ok() && renewed->cancelled()) {
      shard_->Raise(absl::CancelledError("the job was cancelled"));
      return;
    }
    if (absl::IsFailedPrecondition(renewed.status()) ||
        absl::IsNotFound(renewed.status()) ||
        absl::IsAborted(renewed.status())) {
      shard_->Raise(absl::AbortedError(
          absl::StrCat("the lease is lost: ", renewed.status().message())));
      return;
    }
    if (renewed.ok()) {
      backoff.Reset();
      wait = interval;
      continue;
    }
    spdlog::warn("lease of job {} shard {} not renewed, trying again: {}",
                 request.job_id(), request.shard(),
                 std::string(renewed.status().message()));
    wait = backoff.Next();
  }
}

}  // namespace perfvec::worker
