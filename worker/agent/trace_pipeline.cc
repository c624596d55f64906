#include "worker/agent/trace_pipeline.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::worker {

absl::StatusOr<std::unique_ptr<TracePipeline>> TracePipeline::Open(
    std::unique_ptr<trace::ByteSource> source, compute::Representer* back_end) {
  trace::ColumnSelection no_latencies;
  no_latencies.all = false;
  auto reader =
      trace::TraceReader::Open(std::move(source), std::move(no_latencies));
  if (!reader.ok()) return reader.status();
  return std::unique_ptr<TracePipeline>(
      new TracePipeline(*std::move(reader), back_end));
}

TracePipeline::TracePipeline(std::unique_ptr<trace::TraceReader> reader,
                             compute::Representer* back_end)
    : reader_(std::move(reader)),
      back_end_(back_end),
      warm_up_(back_end->model()->manifest().warm_up),
      width_(back_end->model()->manifest().schema().count()),
      extractor_(back_end->model()->manifest().schema()) {}

uint64_t TracePipeline::FirstInstruction(uint64_t begin) const {
  return begin - std::min(begin, warm_up_);
}

bool TracePipeline::CanRepresent(uint64_t begin) const {
  return FirstInstruction(begin) >= rows_begin_;
}

absl::Status TracePipeline::NextBlock(uint64_t wanted) {
  absl::StatusOr<bool> more = reader_->Next(&chunk_);
  if (!more.ok()) return more.status();
  const uint64_t position = extractor_.position();
  if (!*more) {
    return absl::OutOfRangeError(
        absl::StrCat("the trace ends after ", position,
                     " instructions, the shard wants those from ", wanted));
  }
  const trace::InstructionBlock& block = chunk_.block;
  if (position + block.size() <= wanted) {
    rows_begin_ = position + block.size();
    rows_ = 0;
    return extractor_.Skip(block);
  }
  const uint64_t kept = std::min(rows_, warm_up_);
  std::copy(features_.begin() + (rows_ - kept) * width_,
            features_.begin() + rows_ * width_, features_.begin());
  features_.resize((kept + block.size()) * width_);
  rows_begin_ = position - kept;
  rows_ = kept + block.size();
  return extractor_.Extract(block, features_.data() + kept * width_);
}

absl::StatusOr<compute::ProgramVectorAccumulator> TracePipeline::Represent(
    uint64_t begin, uint64_t end, const Progress& progress) {
  uint64_t next = FirstInstruction(begin);
  if (next < rows_begin_) {
    return absl::FailedPreconditionError(
        absl::StrCat("instruction ", next, " lies behind: the pipeline is at ",
                     rows_begin_));
  }
  compute::StreamOptions options;
  options.progress = [&progress](int64_t done) {
    return progress(static_cast<uint64_t>(done));
  };
  auto representer = compute::StreamRepresenter::Create(
      back_end_, {static_cast<int64_t>(begin), static_cast<int64_t>(end)},
      std::move(options));
  if (!representer.ok()) return representer.status();
  while (next < end) {
    if (next >= rows_end()) {
      absl::Status status = NextBlock(next);
      // The representer tells of its own batches.
      if (status.ok() && next >= rows_end()) status = progress(0);
      if (!status.ok()) return status;
      continue;
    }
    const uint64_t count = std::min(end, rows_end()) - next;
    absl::Status status = representer->Feed(
        features_.data() + (next - rows_begin_) * width_, count);
    if (!status.ok()) return status;
    next += count;
  }
  return representer->Finish();
}

}  // namespace perfvec::worker
