// Reads a .pvt trace from front to back without seeking: from a file, standard
// input or a network stream. Memory is one chunk and the index.
//
//   auto source = OpenFileSource("program.pvt");
//   auto reader = TraceReader::Open(*std::move(source));
//   TraceChunk chunk;
//   for (;;) {
//     absl::StatusOr<bool> more = (*reader)->Next(&chunk);
//     if (!more.ok()) return more.status();  // names the file and the byte
//     if (!*more) break;                     // the whole file was good
//     Use(chunk.block);
//   }
//
// One thread. Errors: InvalidArgument, no .pvt trace; FailedPrecondition, of
// another version; DataLoss, cut or damaged; others come from the source.
#ifndef PERFVEC_STORAGE_TRACE_READER_H_
#define PERFVEC_STORAGE_TRACE_READER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/chunk_frame.h"
#include "storage/trace/format.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::trace {

class TraceReader {
 public:
  // Reads the header. Columns in `selection` that the trace does not have are
  // an InvalidArgument error.
  static absl::StatusOr<std::unique_ptr<TraceReader>> Open(
      std::unique_ptr<ByteSource> source, ColumnSelection selection = {});

  const TraceHeader& header() const { return header_; }

  // The next chunk, in place of what `chunk` held (its memory is used again);
  // false at the end, once index and end of the file have been found right.
  // An error is final: every later call repeats it.
  absl::StatusOr<bool> Next(TraceChunk* chunk);

  // Known once Next() has returned false.
  const TraceIndex& index() const { return index_; }

  // Instructions and bytes read so far.
  uint64_t instructions() const { return read_.instructions; }
  uint64_t position_bytes() const { return position_; }
  const ByteSource& source() const { return *source_; }

 private:
  TraceReader(std::unique_ptr<ByteSource> source, ColumnSelection selection);

  absl::Status ReadHeader();
  absl::StatusOr<bool> ReadRecord(TraceChunk* chunk);
  absl::Status ReadChunk(uint64_t record_offset, TraceChunk* chunk);
  absl::Status ReadIndex(uint64_t record_offset);
  // Appends `size` bytes to buffer_; `what` names what they belong to.
  absl::Status Read(size_t size, absl::string_view what);

  const std::unique_ptr<ByteSource> source_;
  const ColumnSelection selection_;
  TraceHeader header_;
  TraceIndex read_;  // what the chunks read so far are
  TraceIndex index_;
  uint64_t position_ = 0;
  std::string buffer_;
  ChunkHeader chunk_header_;
  ChunkDecoder decoder_;
  bool source_ended_ = false;
  bool finished_ = false;
  absl::Status error_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_READER_H_
