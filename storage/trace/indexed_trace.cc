#include "storage/trace/indexed_trace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {
namespace {

absl::Status In(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

}  // namespace

IndexedTrace::IndexedTrace(int fd, std::string path, ColumnSelection selection)
    : fd_(fd), path_(std::move(path)), selection_(std::move(selection)) {}

IndexedTrace::~IndexedTrace() { ::close(fd_); }

absl::StatusOr<std::unique_ptr<IndexedTrace>> IndexedTrace::Open(
    const std::string& path, ColumnSelection selection) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  std::unique_ptr<IndexedTrace> trace(
      new IndexedTrace(fd, path, std::move(selection)));
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is no regular file, so it can only be read from its start"));
  }
  trace->file_bytes_ = st.st_size;
  absl::Status status = trace->ReadHeaderAndIndex();
  if (!status.ok()) return In(path, status);
  return trace;
}

absl::Status IndexedTrace::ReadAt(uint64_t offset, uint64_t size) {
  if (offset > file_bytes_ || size > file_bytes_ - offset) {
    return absl::DataLossError(absl::StrCat("cut at byte ", file_bytes_,
                                            ": bytes ", offset, " to ",
                                            offset + size, " should be there"));
  }
  buffer_.resize(size);
  for (uint64_t done = 0; done < size;) {
    const ssize_t n = ::pread(fd_, &buffer_[done], size - done, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::ErrnoToStatus(errno, "cannot read");
    if (n == 0) return absl::DataLossError("was cut while it was read");
    done += n;
  }
  return absl::OkStatus();
}

absl::Status IndexedTrace::ReadHeaderAndIndex() {
  size_t rest = 0;
  absl::Status status =
      ReadAt(0, std::min<uint64_t>(kPreambleBytes, file_bytes_));
  if (!status.ok()) return status;
  buffer_.resize(kPreambleBytes);
  status = ParsePreamble(buffer_, &rest);
  if (status.ok()) status = ReadAt(0, kPreambleBytes + rest);
  if (status.ok()) status = ParseHeader(buffer_, &header_);
  if (status.ok()) {
    status = CheckSelection(selection_, header_.latency_columns.size());
  }
  if (!status.ok()) return status;

  const uint64_t header_end = kPreambleBytes + rest;
  if (file_bytes_ < header_end + kTrailerBytes) {
    return absl::DataLossError(
        absl::StrCat("cut at byte ", file_bytes_, ", behind the header"));
  }
  status = ReadAt(file_bytes_ - kTrailerBytes, kTrailerBytes);
  if (status.ok()) status = ParseTrailer(buffer_, &index_offset_);
  if (!status.ok()) return status;
  const uint64_t index_end = file_bytes_ - kTrailerBytes;
  if (index_offset_ < header_end || index_offset_ + 16 > index_end ||
      index_end - index_offset_ > kMaxIndexBytes) {
    return absl::DataLossError(
        absl::StrCat("trailer (byte ", index_end,
                     "): damaged: no index can be at byte ", index_offset_));
  }
  status = ReadAt(index_offset_, index_end - index_offset_);
  if (!status.ok()) return status;
  if (GetU32(buffer_.data()) != kIndexTag ||
      GetU32(buffer_.data() + 4) != buffer_.size() - 16) {
    return absl::DataLossError(absl::StrCat("trailer (byte ", index_end,
                                            "): damaged: no index is at byte ",
                                            index_offset_));
  }
  status = ParseIndex(buffer_, header_, &index_);
  if (!status.ok()) {
    return In(absl::StrCat("index (byte ", index_offset_, ")"), status);
  }
  uint64_t instructions = 0;
  for (const TraceIndex::Chunk& chunk : index_.chunks) {
    first_instruction_.push_back(instructions);
    instructions += chunk.instructions;
  }
  return absl::OkStatus();
}

size_t IndexedTrace::ChunkOf(uint64_t instruction) const {
  if (instruction >= index_.instructions) return index_.chunks.size();
  return std::upper_bound(first_instruction_.begin(), first_instruction_.end(),
                          instruction) -
         first_instruction_.begin() - 1;
}

absl::Status IndexedTrace::ReadChunk(size_t chunk_number, TraceChunk* chunk) {
  const TraceIndex::Chunk& entry = index_.chunks[chunk_number];
  const size_t columns = header_.latency_columns.size();
  const size_t header_bytes = ChunkHeaderBytes(columns);
  const std::string name = absl::StrCat(path_, ": chunk ", chunk_number,
                                        " (byte ", entry.offset, ")");
  ChunkHeader header;
  absl::Status status = ReadAt(entry.offset, header_bytes);
  if (status.ok()) status = ParseChunkHeader(buffer_, columns, &header);
  if (status.ok() &&
      (GetU32(buffer_.data()) != kChunkTag ||
       header.instructions != entry.instructions ||
       header.first_instruction != first_instruction_[chunk_number])) {
    status = absl::DataLossError(
        "wrong count: it is not the chunk that the index names");
  }
  if (status.ok()) {
    status = ReadAt(entry.offset + header_bytes, header.stored_bytes());
  }
  if (status.ok()) {
    status = decoder_.Decode(header, buffer_, selection_, chunk);
  }
  return status.ok() ? status : In(name, status);
}

}  // namespace perfvec::trace
