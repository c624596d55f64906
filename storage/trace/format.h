// The .pvt format's constants and its header and index records, as bytes and
// back. docs/trace_format.md is the specification; writer, reader and
// indexed_trace share this file.
//
// Everything parsed here may come from a stranger: sizes are checked against
// the bounds below before anything is allocated.
#ifndef PERFVEC_STORAGE_TRACE_FORMAT_H_
#define PERFVEC_STORAGE_TRACE_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/trace/extras.h"

namespace perfvec::trace {

inline constexpr uint32_t kFormatVersion = 2;          // the newest
inline constexpr char kMagic[] = "\x89PVT\r\n\x1a\n";  // 8 bytes
inline constexpr char kEndMagic[] = "PVT-END\n";       // 8 bytes
inline constexpr uint32_t kChunkTag = 0x4b4e4843;      // "CHNK"
inline constexpr uint32_t kIndexTag = 0x58444e49;      // "INDX"
inline constexpr size_t kPreambleBytes = 16;           // magic to size
inline constexpr size_t kTrailerBytes = 16;
inline constexpr uint32_t kMaxHeaderBytes = 1 << 20;
inline constexpr uint32_t kMaxIndexBytes = 1 << 28;
inline constexpr uint32_t kMaxLatencyColumns = 4096;
inline constexpr uint32_t kMaxStringBytes = 64 << 10;
inline constexpr uint32_t kMaxMarks = 1 << 20;
inline constexpr uint32_t kMaxMarkLabelBytes = 256;

// What a trace says of itself.
struct TraceHeader {
  // 2: the index holds TraceExtras; else 1, which older programs read.
  uint32_t version = 1;
  std::string isa = "aarch64";
  // Provenance: the tool that wrote the file, the command that made the trace,
  // and when (RFC 3339, may be empty).
  std::string tool;
  std::string command;
  std::string date;
  // Names of the architectures that the latency columns belong to.
  std::vector<std::string> latency_columns;
};

// An interval of the trace begins at this instruction.
struct IntervalMark {
  uint64_t instruction = 0;
  std::string label;
};

// Where the chunks are; stands at the end of a file.
struct TraceIndex {
  struct Chunk {
    uint64_t offset = 0;        // of the chunk record, from the file's start
    uint32_t instructions = 0;  // 1..kMaxChunkInstructions
  };
  uint64_t instructions = 0;
  std::vector<Chunk> chunks;
  // Per latency column the sum over all instructions.
  std::vector<uint64_t> total_time_tenth_ns;
  std::vector<IntervalMark> marks;  // by instruction, none twice
  TraceExtras extras;               // empty in version 1
};

// The header record from the magic number to the checksum.
absl::Status EncodeHeader(const TraceHeader& header, std::string* out);
// Checks the first kPreambleBytes (magic and version); gives the bytes of the
// record that follow them.
absl::Status ParsePreamble(absl::string_view bytes, size_t* rest_bytes);
// `bytes` is the whole record.
absl::Status ParseHeader(absl::string_view bytes, TraceHeader* header);

// The index record with its tag, and the trailer that ends the file.
void EncodeIndex(const TraceIndex& index, uint32_t version,
                 uint64_t index_offset, std::string* out);
// `record` from the tag to the checksum. Checks the index in itself: counts
// add up, chunks follow each other, marks are in order.
absl::Status ParseIndex(absl::string_view record, const TraceHeader& header,
                        TraceIndex* index);
absl::Status ParseTrailer(absl::string_view bytes, uint64_t* index_offset);

// Little-endian numbers.
void PutU32(uint32_t value, std::string* out);
void PutU64(uint64_t value, std::string* out);
uint32_t GetU32(const char* bytes);
uint64_t GetU64(const char* bytes);
uint64_t Checksum(absl::string_view bytes);  // XXH3, 64 bits, seed 0

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_FORMAT_H_
