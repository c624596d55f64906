// Writes a .pvt trace (docs/trace_format.md), streaming: memory is one chunk
// and 12 bytes for each chunk written.
//
//   auto sink = CreateFileSink("program.pvt");
//   TraceHeader header;
//   header.tool = "perfvec 0.1.0";
//   auto writer = TraceWriter::Create(*std::move(sink), header);
//   while (...) status = (*writer)->Append(chunk);
//   absl::StatusOr<TraceIndex> index = (*writer)->Finish();
//
// One thread. The same chunks and header give the same bytes, whenever and
// wherever they are written with the same version of zstd.
#ifndef PERFVEC_STORAGE_TRACE_WRITER_H_
#define PERFVEC_STORAGE_TRACE_WRITER_H_

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

// Chosen by measurement: docs/trace_format.md, "Size and speed".
inline constexpr int kDefaultCompressionLevel = 6;

class TraceWriter {
 public:
  // Writes the header.
  static absl::StatusOr<std::unique_ptr<TraceWriter>> Create(
      std::unique_ptr<ByteSink> sink, TraceHeader header,
      int compression_level = kDefaultCompressionLevel);

  // Adds a chunk of 1 to kMaxChunkInstructions instructions with as many
  // latency columns as the header names. Its block's first_instruction must
  // be where the chunk before it ended. After an error the file is void,
  // unless FinishShortened() saves it.
  absl::Status Append(const TraceChunk& chunk);

  // An interval begins at `instruction`, which is behind the last mark's and
  // will have been appended when the file is finished.
  absl::Status Mark(uint64_t instruction, std::string label);

  // To be called behind the last Mark(); of a header of version 2 only.
  absl::Status SetExtras(TraceExtras extras);

  // Writes the index and closes the sink; to be called once, last.
  absl::StatusOr<TraceIndex> Finish();
  // The same where there was no room for a chunk or for the index: takes as
  // many of the last chunks away as are needed for the index to fit, with
  // their marks. To be called in place of Finish() or after it failed. Of a
  // trace without latencies.
  absl::StatusOr<TraceIndex> FinishShortened();

  uint64_t instructions() const { return index_.instructions; }
  uint64_t written_bytes() const { return offset_; }

 private:
  TraceWriter(std::unique_ptr<ByteSink> sink, const TraceHeader& header,
              int compression_level);
  absl::Status Write(const std::string& bytes);

  const std::unique_ptr<ByteSink> sink_;
  const uint32_t version_;
  ChunkEncoder encoder_;
  TraceIndex index_;
  uint64_t offset_ = 0;
  std::string record_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_WRITER_H_
