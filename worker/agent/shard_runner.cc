#include "worker/agent/shard_runner.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace perfvec::worker {
namespace {

constexpr absl::Duration kLogInterval = absl::Seconds(10);

// Tells a person how far the shard is, at most once in kLogInterval.
class ProgressLog {
 public:
  explicit ProgressLog(const v1::Lease& lease) : lease_(lease) {}
  void Report(uint64_t done) {
    const absl::Time now = absl::Now();
    if (now - last_ < kLogInterval) return;
    const uint64_t all = lease_.end_instruction() - lease_.begin_instruction();
    spdlog::info("job {} shard {}: {} of {} instructions, {:.0f} a second",
                 lease_.job_id(), lease_.shard(), done, all,
                 static_cast<double>(done - last_done_) /
                     absl::ToDoubleSeconds(now - last_));
    last_ = now;
    last_done_ = done;
  }

 private:
  const v1::Lease& lease_;
  absl::Time last_ = absl::Now();
  uint64_t last_done_ = 0;
};

// A model that this worker cannot have or run may be no trouble for another.
absl::Status NotTheTrace(const absl::Status& status) {
  return absl::Status(
      IsTransient(status) ? status.code() : absl::StatusCode::kInternal,
      status.message());
}

RangeParts PartsOf(const v1::Lease& lease) {
  RangeParts parts;
  parts.intervals = lease.with_intervals();
  parts.interval_begins.assign(lease.interval_begins().begin(),
                               lease.interval_begins().end());
  parts.code = lease.has_code();
  const v1::CodeParts& code = lease.code();
  parts.addresses.assign(code.addresses().begin(), code.addresses().end());
  const int functions =
      std::min(code.function_begins_size(), code.function_ends_size());
  for (int i = 0; i < functions; ++i) {
    parts.functions.push_back({code.function_begins(i), code.function_ends(i)});
  }
  return parts;
}

}  // namespace

ShardRunner::ShardRunner(ServerConnection* server, ModelStore* models,
                         compute::BackEndOptions back_end)
    : server_(server),
      models_(models),
      back_end_options_(std::move(back_end)) {}

void ShardRunner::SuggestNext(v1::LeaseShardRequest* request) const {
  if (pipeline_ == nullptr) return;
  request->set_preferred_job_id(last_.job_id());
  request->set_preferred_shard(last_.shard() + 1);
}

void ShardRunner::CloseTrace() {
  pipeline_ = nullptr;
  stream_ = nullptr;
}

absl::Status ShardRunner::Prepare(const v1::Lease& lease, Interrupt* shard) {
  if (back_end_ == nullptr || back_end_->model()->id() != lease.model_id()) {
    CloseTrace();
    back_end_ = nullptr;
    auto model = models_->Get(lease.model_id(), server_, shard);
    if (!model.ok()) return NotTheTrace(model.status());
    auto back_end = compute::MakeRepresenter(*model, back_end_options_);
    if (!back_end.ok()) return NotTheTrace(back_end.status());
    back_end_ = *std::move(back_end);
    spdlog::info("model {} runs on {}", lease.model_id().substr(0, 12),
                 back_end_->Description());
  }
  if (pipeline_ != nullptr && last_.trace_id() == lease.trace_id() &&
      pipeline_->CanRepresent(lease.begin_instruction())) {
    stream_->set_interrupt(shard);
    return absl::OkStatus();
  }
  CloseTrace();
  auto stream = std::make_unique<TraceStream>(server_, lease.trace_id(),
                                              lease.trace_size_bytes());
  stream->set_interrupt(shard);
  TraceStream* const opened = stream.get();
  auto pipeline = TracePipeline::Open(std::move(stream), back_end_.get());
  if (!pipeline.ok()) return pipeline.status();
  pipeline_ = *std::move(pipeline);
  stream_ = opened;
  return absl::OkStatus();
}

absl::StatusOr<RangeSums> ShardRunner::Run(const v1::Lease& lease,
                                           Interrupt* shard,
                                           LeaseKeeper* keeper) {
  // After an error the pipeline stands somewhere inside the trace.
  absl::Cleanup close = [this] { CloseTrace(); };
  ProgressLog log(lease);
  const auto progress = [&](uint64_t done) {
    keeper->SetDone(done);
    log.Report(done);
    return shard->raised() ? shard->reason() : absl::OkStatus();
  };
  try {
    absl::Status status = Prepare(lease, shard);
    if (!status.ok()) return status;
    auto sum =
        pipeline_->Represent(lease.begin_instruction(), lease.end_instruction(),
                             PartsOf(lease), progress);
    if (!sum.ok()) return sum.status();
    last_ = lease;
    std::move(close).Cancel();
    return sum;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory on this worker");
  } catch (const std::exception& e) {
    // A back end's library; none of our own code throws.
    return absl::InternalError(absl::StrCat("the back end failed: ", e.what()));
  }
}

}  // namespace perfvec::worker
