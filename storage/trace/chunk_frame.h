// A chunk as it stands in a .pvt file: a header with the size and checksum of
// each section, then the sections, each a zstd frame. Sections 0 to
// kInstructionSections-1 are the instructions, the others the latency columns,
// so that a reader takes the columns it wants.
//
//   ChunkHeader header;
//   status = ParseChunkHeader(bytes, columns, &header);
//   status = decoder.Decode(header, stored, {}, &chunk);
//
// Not thread-safe: encoder and decoder keep their zstd contexts and buffers.
#ifndef PERFVEC_STORAGE_TRACE_CHUNK_FRAME_H_
#define PERFVEC_STORAGE_TRACE_CHUNK_FRAME_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/trace/chunk_codec.h"
#include "storage/trace/trace_chunk.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace perfvec::trace {

struct ChunkHeader {
  struct Section {
    uint32_t bytes = 0;  // decompressed
    uint32_t stored_bytes = 0;
    uint64_t checksum = 0;  // of the stored bytes
  };
  uint32_t instructions = 0;
  uint64_t first_instruction = 0;
  std::vector<Section> sections;

  uint64_t stored_bytes() const;  // of all sections
};

// The header's size in the file, with its tag and checksum.
size_t ChunkHeaderBytes(size_t latency_columns);

// `bytes` begins at the tag. Checks the checksum and bounds every size, so
// that what is allocated for the sections is bounded.
absl::Status ParseChunkHeader(absl::string_view bytes, size_t latency_columns,
                              ChunkHeader* header);

// Which latency columns to decode.
struct ColumnSelection {
  bool all = true;
  std::vector<uint32_t> columns;  // if not all; chunks hold them in this order
};
// InvalidArgument if one is not there or is named twice.
absl::Status CheckSelection(const ColumnSelection& selection,
                            size_t latency_columns);

class ChunkEncoder {
 public:
  explicit ChunkEncoder(int compression_level);
  ~ChunkEncoder();
  ChunkEncoder(const ChunkEncoder&) = delete;
  ChunkEncoder& operator=(const ChunkEncoder&) = delete;

  // The chunk as it goes into the file.
  absl::Status Encode(const TraceChunk& chunk, std::string* record);

 private:
  absl::Status AddSection(absl::string_view bytes, std::string* header,
                          std::string* stored);

  ZSTD_CCtx_s* const context_;
  SectionBytes sections_;
};

class ChunkDecoder {
 public:
  ChunkDecoder();
  ~ChunkDecoder();
  ChunkDecoder(const ChunkDecoder&) = delete;
  ChunkDecoder& operator=(const ChunkDecoder&) = delete;

  // `stored` holds header.stored_bytes(). Every section's checksum is checked,
  // also of columns that are not decoded.
  absl::Status Decode(const ChunkHeader& header, absl::string_view stored,
                      const ColumnSelection& selection, TraceChunk* chunk);

 private:
  absl::Status Decompress(const ChunkHeader::Section& section,
                          absl::string_view stored, std::string* out);

  ZSTD_DCtx_s* const context_;
  SectionBytes sections_;
  std::string latency_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_CHUNK_FRAME_H_
