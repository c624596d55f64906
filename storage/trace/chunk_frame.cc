#include "storage/trace/chunk_frame.h"

#include <zstd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/trace/format.h"

namespace perfvec::trace {
namespace {

constexpr size_t kFixedHeaderBytes = 16;  // tag to first_instruction
constexpr size_t kSectionEntryBytes = 16;

uint64_t MaxSectionBytes(size_t section, uint32_t instructions) {
  const uint32_t each = section < kInstructionSections
                            ? kMaxSectionBytesPerInstruction[section]
                            : kMaxLatencyBytesPerInstruction;
  return uint64_t{each} * instructions;
}

}  // namespace

uint64_t ChunkHeader::stored_bytes() const {
  uint64_t sum = 0;
  for (const Section& section : sections) sum += section.stored_bytes;
  return sum;
}

size_t ChunkHeaderBytes(size_t latency_columns) {
  return kFixedHeaderBytes +
         kSectionEntryBytes * (kInstructionSections + latency_columns) +
         sizeof(uint64_t);
}

absl::Status ParseChunkHeader(absl::string_view bytes, size_t latency_columns,
                              ChunkHeader* header) {
  const absl::string_view body = bytes.substr(0, bytes.size() - 8);
  if (Checksum(body) != GetU64(bytes.data() + body.size())) {
    return absl::DataLossError(
        "damaged: the checksum of its header does not match");
  }
  header->instructions = GetU32(bytes.data() + 4);
  header->first_instruction = GetU64(bytes.data() + 8);
  if (header->instructions == 0 ||
      header->instructions > kMaxChunkInstructions) {
    return absl::DataLossError(
        absl::StrCat("holds ", header->instructions, " instructions, but 1 to ",
                     kMaxChunkInstructions, " are allowed"));
  }
  header->sections.resize(kInstructionSections + latency_columns);
  const char* entry = bytes.data() + kFixedHeaderBytes;
  for (size_t i = 0; i < header->sections.size();
       ++i, entry += kSectionEntryBytes) {
    ChunkHeader::Section& section = header->sections[i];
    section.bytes = GetU32(entry);
    section.stored_bytes = GetU32(entry + 4);
    section.checksum = GetU64(entry + 8);
    const uint64_t max = MaxSectionBytes(i, header->instructions);
    if (section.bytes > max || section.stored_bytes > ZSTD_compressBound(max) ||
        (section.bytes == 0) != (section.stored_bytes == 0)) {
      return absl::DataLossError(absl::StrCat(
          "its section ", i, " has ", section.stored_bytes, " bytes for ",
          section.bytes, " decompressed, but at most ", max, " are allowed"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSelection(const ColumnSelection& selection,
                            size_t latency_columns) {
  if (selection.all) return absl::OkStatus();
  std::vector<bool> named(latency_columns);
  for (const uint32_t column : selection.columns) {
    if (column >= latency_columns || named[column]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "latency column ", column, " is wanted",
          column < latency_columns ? " twice" : "", ", but the trace has ",
          latency_columns, " columns, from 0"));
    }
    named[column] = true;
  }
  return absl::OkStatus();
}

ChunkEncoder::ChunkEncoder(int compression_level)
    : context_(ZSTD_createCCtx()) {
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, compression_level);
}

ChunkEncoder::~ChunkEncoder() { ZSTD_freeCCtx(context_); }

absl::Status ChunkEncoder::AddSection(absl::string_view bytes,
                                      std::string* header,
                                      std::string* stored) {
  size_t size = 0;
  const size_t begin = stored->size();
  if (!bytes.empty()) {
    stored->resize(begin + ZSTD_compressBound(bytes.size()));
    size = ZSTD_compress2(context_, &(*stored)[begin], stored->size() - begin,
                          bytes.data(), bytes.size());
    if (ZSTD_isError(size)) {
      return absl::InternalError(
          absl::StrCat("cannot compress a chunk: ", ZSTD_getErrorName(size)));
    }
    stored->resize(begin + size);
  }
  PutU32(bytes.size(), header);
  PutU32(size, header);
  PutU64(Checksum(absl::string_view(*stored).substr(begin)), header);
  return absl::OkStatus();
}

absl::Status ChunkEncoder::Encode(const TraceChunk& chunk,
                                  std::string* record) {
  absl::Status status = EncodeInstructions(chunk.block, &sections_);
  if (!status.ok()) return status;
  record->clear();
  PutU32(kChunkTag, record);
  PutU32(chunk.block.size(), record);
  PutU64(chunk.block.first_instruction, record);
  std::string stored;
  for (const std::string& section : sections_) {
    if (status.ok()) status = AddSection(section, record, &stored);
  }
  for (const std::vector<uint32_t>& column : chunk.latency_tenth_ns) {
    if (column.size() != chunk.block.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cannot write a trace chunk: a latency column holds ", column.size(),
          " values for ", chunk.block.size(), " instructions"));
    }
    if (status.ok())
      status = AddSection(EncodeLatency(column), record, &stored);
  }
  PutU64(Checksum(*record), record);
  record->append(stored);
  return status;
}

ChunkDecoder::ChunkDecoder() : context_(ZSTD_createDCtx()) {}

ChunkDecoder::~ChunkDecoder() { ZSTD_freeDCtx(context_); }

absl::Status ChunkDecoder::Decompress(const ChunkHeader::Section& section,
                                      absl::string_view stored,
                                      std::string* out) {
  out->resize(section.bytes);
  if (section.bytes == 0) return absl::OkStatus();
  const size_t size = ZSTD_decompressDCtx(context_, &(*out)[0], out->size(),
                                          stored.data(), stored.size());
  if (ZSTD_isError(size)) {
    return absl::DataLossError(
        absl::StrCat("bad zstd data: ", ZSTD_getErrorName(size)));
  }
  if (size != section.bytes) {
    return absl::DataLossError(absl::StrCat(
        "decompresses to ", size, " bytes instead of ", section.bytes));
  }
  return absl::OkStatus();
}

absl::Status ChunkDecoder::Decode(const ChunkHeader& header,
                                  absl::string_view stored,
                                  const ColumnSelection& selection,
                                  TraceChunk* chunk) {
  std::vector<absl::string_view> parts;
  for (const ChunkHeader::Section& section : header.sections) {
    parts.push_back(stored.substr(0, section.stored_bytes));
    stored.remove_prefix(section.stored_bytes);
    if (Checksum(parts.back()) != section.checksum) {
      return absl::DataLossError(
          absl::StrCat("damaged: the checksum of its section ",
                       parts.size() - 1, " does not match"));
    }
  }
  const auto in_section = [](const absl::Status& status, size_t section) {
    return absl::Status(status.code(), absl::StrCat("its section ", section,
                                                    ": ", status.message()));
  };
  SectionViews views;
  for (int i = 0; i < kInstructionSections; ++i) {
    absl::Status status =
        Decompress(header.sections[i], parts[i], &sections_[i]);
    if (!status.ok()) return in_section(status, i);
    views[i] = sections_[i];
  }
  absl::Status status =
      DecodeInstructions(views, header.instructions, &chunk->block);
  if (!status.ok()) return status;
  chunk->block.first_instruction = header.first_instruction;

  const size_t stored_columns = header.sections.size() - kInstructionSections;
  const size_t columns =
      selection.all ? stored_columns : selection.columns.size();
  chunk->latency_tenth_ns.resize(columns);
  for (size_t i = 0; i < columns; ++i) {
    const size_t section =
        kInstructionSections + (selection.all ? i : selection.columns[i]);
    status = Decompress(header.sections[section], parts[section], &latency_);
    if (status.ok()) {
      status = DecodeLatency(latency_, header.instructions,
                             &chunk->latency_tenth_ns[i]);
    }
    if (!status.ok()) return in_section(status, section);
  }
  return absl::OkStatus();
}

}  // namespace perfvec::trace
