#include "storage/trace/writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {

TraceWriter::TraceWriter(std::unique_ptr<ByteSink> sink,
                         const TraceHeader& header, int compression_level)
    : sink_(std::move(sink)),
      version_(header.version),
      encoder_(compression_level) {
  index_.total_time_tenth_ns.resize(header.latency_columns.size());
}

absl::StatusOr<std::unique_ptr<TraceWriter>> TraceWriter::Create(
    std::unique_ptr<ByteSink> sink, TraceHeader header, int compression_level) {
  std::string bytes;
  absl::Status status = EncodeHeader(header, &bytes);
  if (!status.ok()) return status;
  std::unique_ptr<TraceWriter> writer(
      new TraceWriter(std::move(sink), header, compression_level));
  status = writer->Write(bytes);
  if (!status.ok()) return status;
  return writer;
}

absl::Status TraceWriter::Write(const std::string& bytes) {
  absl::Status status = sink_->Write(bytes);
  if (status.ok()) offset_ += bytes.size();
  return status;
}

absl::Status TraceWriter::Append(const TraceChunk& chunk) {
  if (chunk.block.first_instruction != index_.instructions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a trace chunk begins at instruction ", chunk.block.first_instruction,
        ", but the trace written so far ends at ", index_.instructions));
  }
  if (chunk.latency_tenth_ns.size() != index_.total_time_tenth_ns.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a trace chunk has ", chunk.latency_tenth_ns.size(),
                     " latency columns, but the trace's header names ",
                     index_.total_time_tenth_ns.size()));
  }
  absl::Status status = encoder_.Encode(chunk, &record_);
  if (!status.ok()) return status;
  TraceIndex::Chunk entry;
  entry.offset = offset_;
  entry.instructions = chunk.block.size();
  status = Write(record_);
  if (!status.ok()) return status;
  index_.chunks.push_back(entry);
  index_.instructions += chunk.block.size();
  for (size_t i = 0; i < chunk.latency_tenth_ns.size(); ++i) {
    for (const uint32_t latency : chunk.latency_tenth_ns[i]) {
      index_.total_time_tenth_ns[i] += latency;
    }
  }
  return absl::OkStatus();
}

absl::Status TraceWriter::Mark(uint64_t instruction, std::string label) {
  if (!index_.marks.empty() && index_.marks.back().instruction >= instruction) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an interval mark at instruction ", instruction,
        " does not follow the last one, at ", index_.marks.back().instruction));
  }
  if (label.size() > kMaxMarkLabelBytes || index_.marks.size() == kMaxMarks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a trace holds at most ", kMaxMarks, " interval marks with labels of ",
        kMaxMarkLabelBytes, " bytes"));
  }
  index_.marks.push_back({instruction, std::move(label)});
  return absl::OkStatus();
}

absl::Status TraceWriter::SetExtras(TraceExtras extras) {
  if (version_ < 2 && !extras.empty()) {
    return absl::InvalidArgumentError(
        "a trace of version 1 holds neither functions nor weights");
  }
  absl::Status status = CheckExtras(extras, index_.marks.size());
  if (status.ok()) index_.extras = std::move(extras);
  return status;
}

absl::StatusOr<TraceIndex> TraceWriter::Finish() {
  if (!index_.marks.empty() &&
      index_.marks.back().instruction >= index_.instructions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an interval mark at instruction ", index_.marks.back().instruction,
        " is behind the trace's end at ", index_.instructions));
  }
  std::string bytes;
  EncodeIndex(index_, version_, offset_, &bytes);
  if (bytes.size() > kMaxIndexBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trace's index takes ", bytes.size(),
                     " bytes, but at most ", kMaxIndexBytes, " are allowed"));
  }
  absl::Status status = Write(bytes);
  if (status.ok()) status = sink_->Close();
  if (!status.ok()) return status;
  return index_;
}

absl::StatusOr<TraceIndex> TraceWriter::FinishShortened() {
  if (!index_.total_time_tenth_ns.empty()) {
    return absl::FailedPreconditionError(
        "a trace with latencies cannot be shortened");
  }
  // More at each attempt: how much room there is nobody can tell.
  for (size_t drop = 0;; drop = 2 * drop + 1) {
    drop = std::min(drop, index_.chunks.size());
    for (size_t i = 0; i < drop; ++i) {
      offset_ = index_.chunks.back().offset;
      index_.instructions -= index_.chunks.back().instructions;
      index_.chunks.pop_back();
    }
    while (!index_.marks.empty() &&
           index_.marks.back().instruction >= index_.instructions) {
      index_.marks.pop_back();
      if (!index_.extras.weights.empty()) index_.extras.weights.pop_back();
    }
    absl::Status status = sink_->Truncate(offset_);
    if (!status.ok()) return status;
    absl::StatusOr<TraceIndex> index = Finish();
    if (index.ok() || index_.chunks.empty()) return index;
  }
}

}  // namespace perfvec::trace
