#include "storage/trace/reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace perfvec::trace {
namespace {

// Memory grows with bytes that have arrived, not with what a size field says.
constexpr size_t kReadStepBytes = 1 << 20;

absl::Status Prefixed(const std::string& prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(prefix, status.message()));
}

}  // namespace

TraceReader::TraceReader(std::unique_ptr<ByteSource> source,
                         ColumnSelection selection)
    : source_(std::move(source)), selection_(std::move(selection)) {}

absl::StatusOr<std::unique_ptr<TraceReader>> TraceReader::Open(
    std::unique_ptr<ByteSource> source, ColumnSelection selection) {
  std::unique_ptr<TraceReader> reader(
      new TraceReader(std::move(source), std::move(selection)));
  absl::Status status = reader->ReadHeader();
  if (!status.ok()) {
    return Prefixed(reader->source_->name() + ": ", status);
  }
  return reader;
}

absl::Status TraceReader::Read(size_t size, absl::string_view what) {
  while (size > 0) {
    const size_t begin = buffer_.size();
    const size_t step = std::min(size, kReadStepBytes);
    buffer_.resize(begin + step);
    absl::StatusOr<size_t> n = source_->Read(&buffer_[begin], step);
    buffer_.resize(begin + (n.ok() ? *n : 0));
    if (!n.ok()) return n.status();
    position_ += *n;
    size -= *n;
    if (*n == 0) {
      source_ended_ = true;
      return absl::DataLossError(absl::StrCat("cut at byte ", position_,
                                              ", inside ", what, ", with ",
                                              size, " more bytes to come"));
    }
  }
  return absl::OkStatus();
}

absl::Status TraceReader::ReadHeader() {
  absl::Status status = Read(kPreambleBytes, "the header");
  if (!status.ok()) {
    // Something short is no trace rather than a cut one; a source that failed
    // says so itself.
    return !source_ended_ ||
                   buffer_.compare(0, 8, kMagic,
                                   std::min<size_t>(8, buffer_.size())) == 0
               ? status
               : ParsePreamble(buffer_ + std::string(kPreambleBytes, '\0'),
                               nullptr);
  }
  size_t rest = 0;
  status = ParsePreamble(buffer_, &rest);
  if (status.ok()) status = Read(rest, "the header");
  if (status.ok()) status = ParseHeader(buffer_, &header_);
  if (!status.ok()) return status;
  read_.total_time_tenth_ns.resize(header_.latency_columns.size());
  return CheckSelection(selection_, header_.latency_columns.size());
}

absl::StatusOr<bool> TraceReader::Next(TraceChunk* chunk) {
  if (!error_.ok()) return error_;
  if (finished_) return false;
  absl::StatusOr<bool> more = ReadRecord(chunk);
  if (!more.ok()) {
    error_ = Prefixed(source_->name() + ": ", more.status());
    return error_;
  }
  finished_ = !*more;
  return more;
}

absl::StatusOr<bool> TraceReader::ReadRecord(TraceChunk* chunk) {
  const uint64_t offset = position_;
  buffer_.clear();
  absl::Status status = Read(4, "a chunk's or the index's tag");
  if (!status.ok()) return status;
  switch (GetU32(buffer_.data())) {
    case kChunkTag:
      status = ReadChunk(offset, chunk);
      if (!status.ok()) return status;
      return true;
    case kIndexTag:
      status = ReadIndex(offset);
      if (!status.ok()) return status;
      return false;
    default:
      return absl::DataLossError(absl::StrCat(
          "byte ", offset, ": damaged: expected a chunk or the index, found '",
          absl::CHexEscape(buffer_), "'"));
  }
}

absl::Status TraceReader::ReadChunk(uint64_t record_offset, TraceChunk* chunk) {
  const std::string name =
      absl::StrCat("chunk ", read_.chunks.size(), " (byte ", record_offset,
                   ", instruction ", read_.instructions, ")");
  const size_t columns = header_.latency_columns.size();
  absl::Status status = Read(ChunkHeaderBytes(columns) - 4, name);
  if (!status.ok()) return status;
  status = ParseChunkHeader(buffer_, columns, &chunk_header_);
  if (!status.ok()) return Prefixed(name + ": ", status);
  if (chunk_header_.first_instruction != read_.instructions) {
    return absl::DataLossError(absl::StrCat(
        name, ": wrong count: it should begin at instruction ",
        read_.instructions, ", but says ", chunk_header_.first_instruction));
  }
  buffer_.clear();
  status = Read(chunk_header_.stored_bytes(), name);
  if (!status.ok()) return status;
  status = decoder_.Decode(chunk_header_, buffer_, selection_, chunk);
  if (!status.ok()) return Prefixed(name + ": ", status);

  TraceIndex::Chunk entry;
  entry.offset = record_offset;
  entry.instructions = chunk_header_.instructions;
  read_.chunks.push_back(entry);
  read_.instructions += entry.instructions;
  for (size_t i = 0; i < chunk->latency_tenth_ns.size(); ++i) {
    const size_t column = selection_.all ? i : selection_.columns[i];
    for (const uint32_t latency : chunk->latency_tenth_ns[i]) {
      read_.total_time_tenth_ns[column] += latency;
    }
  }
  return absl::OkStatus();
}

absl::Status TraceReader::ReadIndex(uint64_t record_offset) {
  const std::string at = absl::StrCat("index (byte ", record_offset, "): ");
  absl::Status status = Read(4, "the index");
  if (!status.ok()) return status;
  const uint32_t size = GetU32(buffer_.data() + 4);
  if (size > kMaxIndexBytes) {
    return absl::DataLossError(
        absl::StrCat(at, "damaged: it says to have ", size, " bytes"));
  }
  status = Read(size + 8, "the index");
  if (!status.ok()) return status;
  status = ParseIndex(buffer_, header_, &index_);
  if (!status.ok()) return Prefixed(at, status);

  if (index_.chunks.size() != read_.chunks.size() ||
      index_.instructions != read_.instructions) {
    return absl::DataLossError(absl::StrCat(
        at, "wrong count: it says ", index_.instructions, " instructions in ",
        index_.chunks.size(), " chunks, but the file holds ",
        read_.instructions, " in ", read_.chunks.size()));
  }
  for (size_t i = 0; i < index_.chunks.size(); ++i) {
    if (index_.chunks[i].offset != read_.chunks[i].offset ||
        index_.chunks[i].instructions != read_.chunks[i].instructions) {
      return absl::DataLossError(absl::StrCat(
          at, "wrong count: it says that chunk ", i, " has ",
          index_.chunks[i].instructions, " instructions at byte ",
          index_.chunks[i].offset, ", but it has ",
          read_.chunks[i].instructions, " at ", read_.chunks[i].offset));
    }
  }
  for (size_t i = 0; i < index_.total_time_tenth_ns.size(); ++i) {
    const bool decoded =
        selection_.all ||
        std::find(selection_.columns.begin(), selection_.columns.end(), i) !=
            selection_.columns.end();
    if (decoded &&
        index_.total_time_tenth_ns[i] != read_.total_time_tenth_ns[i]) {
      return absl::DataLossError(
          absl::StrCat(at, "wrong count: it says that latency column ", i,
                       " adds up to ", index_.total_time_tenth_ns[i],
                       ", but it does to ", read_.total_time_tenth_ns[i]));
    }
  }

  const uint64_t trailer_offset = position_;
  buffer_.clear();
  status = Read(kTrailerBytes, "the trailer");
  if (!status.ok()) return status;
  uint64_t index_offset = 0;
  status = ParseTrailer(buffer_, &index_offset);
  if (status.ok() && index_offset != record_offset) {
    status = absl::DataLossError(
        absl::StrCat("damaged: it says that the index is at byte ",
                     index_offset, ", but it is at ", record_offset));
  }
  if (!status.ok()) {
    return Prefixed(absl::StrCat("trailer (byte ", trailer_offset, "): "),
                    status);
  }
  char extra;
  absl::StatusOr<size_t> n = source_->Read(&extra, 1);
  if (!n.ok()) return n.status();
  if (*n != 0) {
    return absl::DataLossError(
        absl::StrCat("the trace ends at byte ", position_,
                     ", but the file goes on: something was appended to it"));
  }
  return absl::OkStatus();
}

}  // namespace perfvec::trace
