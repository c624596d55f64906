// A .pvt file opened for reading any chunk: by the index at its end, so that
// neither opening nor reading goes through the rest of the file.
//
//   auto trace = IndexedTrace::Open("program.pvt");
//   TraceChunk chunk;
//   status = (*trace)->ReadChunk((*trace)->ChunkOf(instruction), &chunk);
//
// One thread. Opening checks header and index, reading a chunk that chunk;
// what is in between is checked by CheckTrace (check.h).
#ifndef PERFVEC_STORAGE_TRACE_INDEXED_TRACE_H_
#define PERFVEC_STORAGE_TRACE_INDEXED_TRACE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/trace/chunk_frame.h"
#include "storage/trace/format.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::trace {

class IndexedTrace {
 public:
  static absl::StatusOr<std::unique_ptr<IndexedTrace>> Open(
      const std::string& path, ColumnSelection selection = {});
  ~IndexedTrace();
  IndexedTrace(const IndexedTrace&) = delete;
  IndexedTrace& operator=(const IndexedTrace&) = delete;

  const TraceHeader& header() const { return header_; }
  const TraceIndex& index() const { return index_; }
  uint64_t file_bytes() const { return file_bytes_; }

  // The chunk that holds `instruction`; the number of chunks for one behind
  // the end.
  size_t ChunkOf(uint64_t instruction) const;

  // `chunk_number` below index().chunks.size().
  absl::Status ReadChunk(size_t chunk_number, TraceChunk* chunk);

 private:
  IndexedTrace(int fd, std::string path, ColumnSelection selection);
  absl::Status ReadHeaderAndIndex();
  // Replaces buffer_ by bytes of the file.
  absl::Status ReadAt(uint64_t offset, uint64_t size);

  const int fd_;
  const std::string path_;
  const ColumnSelection selection_;
  uint64_t file_bytes_ = 0;
  uint64_t index_offset_ = 0;
  TraceHeader header_;
  TraceIndex index_;
  std::vector<uint64_t> first_instruction_;  // of each chunk
  std::string buffer_;
  ChunkDecoder decoder_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_INDEXED_TRACE_H_
