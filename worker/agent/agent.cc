#include "worker/agent/agent.h"

#include <spdlog/spdlog.h>

#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/log.h"
#include "proto/request_id.h"
#include "worker/represent/torch_representer.h"

namespace perfvec::worker {
namespace {

// How long a failure is reported for; the lease runs out soon anyway.
constexpr absl::Duration kFailureLimit = absl::Seconds(30);
constexpr absl::Duration kReleaseTimeout = absl::Seconds(2);
constexpr absl::Duration kAwayLogInterval = absl::Seconds(30);

// Bad input is bad for every worker; anything else may be trouble of this one.
bool IsBadInput(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsDataLoss(status) ||
         absl::IsFailedPrecondition(status) || absl::IsOutOfRange(status);
}

// What the server answers to a result under a lease that has passed on.
bool IsNotOurs(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status) ||
         absl::IsAborted(status);
}

// Waiting does not make the server take this worker.
bool IsRefusal(const absl::Status& status) {
  return absl::IsUnimplemented(status) || absl::IsInvalidArgument(status) ||
         absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

std::string Name(const v1::Lease& lease) {
  return absl::StrCat("job ", lease.job_id(), " shard ", lease.shard());
}

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(AgentOptions options) {
  if (options.worker_id.empty()) {
    return absl::InvalidArgumentError("expected a worker id, found none");
  }
  // Found out now, not by failing one job after the other.
  if (absl::StartsWith(options.back_end.device, "cuda") &&
      !compute::TorchFindsCuda()) {
    return absl::UnavailableError(
        absl::StrCat("--device ", options.back_end.device,
                     ": expected a GPU and a LibTorch with CUDA, found none; "
                     "use --device cpu"));
  }
  if (options.back_end.precision == compute::Precision::kBf16) {
    if (options.back_end.device != "cpu" && compute::TorchFindsCuda()) {
      return absl::InvalidArgumentError(
          "--precision bf16: expected --device cpu; the GPU runs in fp32");
    }
    if (!compute::CpuSupportsBf16()) {
      return absl::UnavailableError(
          "--precision bf16: expected a CPU with AVX512_BF16, found none; use "
          "auto or fp32");
    }
  }
  auto models = ModelStore::Open(options.models);
  if (!models.ok()) return models.status();
  auto channel = ServerConnection::Open(options.server);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<Agent>(
      new Agent(std::move(options), *channel, *std::move(models)));
}

Agent::Agent(AgentOptions options,
             const std::shared_ptr<grpc::Channel>& channel,
             std::unique_ptr<ModelStore> models)
    : options_(std::move(options)),
      server_(options_.server, channel),
      models_(std::move(models)),
      runner_(&server_, models_.get(), options_.back_end) {}

void Agent::Stop() { stop_.Raise(absl::CancelledError("the worker stops")); }

void Agent::Abandon() {
  abandon_.Raise(absl::UnavailableError("the worker stops"));
}

absl::Status Agent::Run() {
  Backoff trouble(
      {.initial = absl::Milliseconds(500), .longest = absl::Seconds(60)},
      std::random_device{}());
  spdlog::info("worker {} asks {} for work", options_.worker_id,
               options_.server.address);
  while (!stop_.raised()) {
    auto lease = NextLease();
    if (!lease.ok()) return lease.status();
    if (!lease->has_value()) {
      runner_.CloseTrace();
      continue;
    }
    if (stop_.raised()) {
      Fail(**lease, stop_.reason(), /*permanent=*/false, /*released=*/true);
      break;
    }
    if (RunShard(**lease)) {
      trouble.Reset();
    } else {
      stop_.WaitFor(trouble.Next());
    }
  }
  spdlog::info("worker {} has stopped", options_.worker_id);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<v1::Lease>> Agent::NextLease() {
  v1::LeaseShardRequest request;
  request.set_worker_id(options_.worker_id);
  request.mutable_wait()->set_seconds(
      absl::ToInt64Seconds(options_.lease_wait));
  // Never cancelled: a lease granted in that moment would be held by nobody
  // until it runs out. So the wait is short.
  Interrupt none;
  runner_.SuggestNext(&request);
  absl::Time last_log = absl::InfinitePast();
  v1::LeaseShardResponse response;
  const absl::Status status =
      server_.Retry(&stop_, absl::InfiniteDuration(), [&] {
        auto answer = server_.LeaseShard(request, &none);
        if (answer.ok()) {
          response = *std::move(answer);
          return absl::OkStatus();
        }
        if (IsRefusal(answer.status()) || stop_.raised()) {
          return answer.status();
        }
        if (absl::Now() - last_log > kAwayLogInterval) {
          last_log = absl::Now();
          spdlog::warn("no work from {}, trying again: {}",
                       options_.server.address, Text(answer.status()));
        }
        return absl::UnavailableError(answer.status().message());
      });
  if (stop_.raised() && !status.ok()) return std::nullopt;  // no answer
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("the server at ", options_.server.address,
                                     " refuses this worker: ", Text(status)));
  }
  if (!response.has_lease()) return std::nullopt;
  if (!IsRequestId(response.lease().request_id())) {
    response.mutable_lease()->clear_request_id();
  }
  return *std::move(response.mutable_lease());
}

bool Agent::RunShard(const v1::Lease& lease) {
  LogScope scope(lease.request_id(), lease.job_id());
  Interrupt shard(&abandon_);
  LeaseKeeper keeper(&server_, options_.worker_id, lease, &shard);
  spdlog::info("{}: instructions {} to {} of trace {} under model {}",
               Name(lease), lease.begin_instruction(), lease.end_instruction(),
               lease.trace_id().substr(0, 12), lease.model_id().substr(0, 12));
  auto sums = runner_.Run(lease, &shard, &keeper);
  const absl::Status status =
      sums.ok() ? Complete(lease, *sums, &shard) : sums.status();
  if (status.ok()) return true;
  if (abandon_.raised()) {
    Fail(lease, abandon_.reason(), /*permanent=*/false, /*released=*/true);
    return true;
  }
  if (shard.raised() || (sums.ok() && IsNotOurs(status))) {
    spdlog::info("{} dropped: {}", Name(lease), Text(status));
    return true;
  }
  const bool bad_input = !sums.ok() && IsBadInput(status);
  spdlog::error("{} failed{}: {}", Name(lease),
                bad_input ? " for good" : ", to be tried again", Text(status));
  Fail(lease, status, bad_input, /*released=*/false);
  return bad_input;
}

absl::Status Agent::Complete(const v1::Lease& lease, const RangeSums& sums,
                             Interrupt* shard) {
  v1::CompleteShardRequest request;
  request.set_worker_id(options_.worker_id);
  request.set_job_id(lease.job_id());
  request.set_shard(lease.shard());
  request.set_fencing_token(lease.fencing_token());
  request.set_model_id(lease.model_id());
  request.set_accumulator(sums.whole.Serialize());
  request.set_instructions(sums.whole.instructions());
  for (const auto& interval : sums.intervals) {
    v1::PartSum* part = request.add_intervals();
    part->set_part(static_cast<uint32_t>(request.intervals_size() - 1));
    part->set_accumulator(interval.Serialize());
  }
  for (size_t i = 0; i < sums.code.size(); ++i) {
    if (sums.code[i].instructions() == 0) continue;
    v1::PartSum* part = request.add_code();
    part->set_part(static_cast<uint32_t>(i));
    part->set_accumulator(sums.code[i].Serialize());
  }
  bool job_finished = false;
  const absl::Status status =
      server_.Retry(shard, absl::InfiniteDuration(), [&] {
        auto answer = server_.CompleteShard(request, shard);
        if (answer.ok()) job_finished = answer->job_finished();
        return answer.status();
      });
  if (status.ok()) {
    spdlog::info("{} done{}", Name(lease),
                 job_finished ? ", and with it the job" : "");
  }
  return status;
}

void Agent::Fail(const v1::Lease& lease, const absl::Status& error,
                 bool permanent, bool released) {
  v1::FailShardRequest request;
  request.set_worker_id(options_.worker_id);
  request.set_job_id(lease.job_id());
  request.set_shard(lease.shard());
  request.set_fencing_token(lease.fencing_token());
  request.set_error(Text(error));
  request.set_permanent(permanent);
  request.set_released(released);
  absl::Status status;
  if (released) {
    // One attempt of its own: the lease would run out by itself.
    Interrupt none;
    status = server_.FailShard(request, kReleaseTimeout, &none);
  } else {
    status = server_.Retry(&abandon_, kFailureLimit, [&] {
      return server_.FailShard(request, options_.server.call_timeout,
                               &abandon_);
    });
  }
  if (!status.ok()) {
    spdlog::info("{} is left to its lease's end: {}", Name(lease),
                 Text(status));
  }
}

}  // namespace perfvec::worker
