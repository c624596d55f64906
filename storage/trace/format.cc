#include "storage/trace/format.h"

#include <xxhash.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "storage/trace/record_reader.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::trace {
namespace {

void PutString(absl::string_view value, std::string* out) {
  PutU32(value.size(), out);
  out->append(value.data(), value.size());
}

bool ChecksumMatches(absl::string_view record) {
  const absl::string_view body = record.substr(0, record.size() - 8);
  return Checksum(body) == GetU64(record.data() + body.size());
}

}  // namespace

void PutU32(uint32_t value, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(value >> (8 * i));
}

void PutU64(uint64_t value, std::string* out) {
  for (int i = 0; i < 8; ++i) out->push_back(value >> (8 * i));
}

uint32_t GetU32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

uint64_t GetU64(const char* bytes) {
  return GetU32(bytes) | uint64_t{GetU32(bytes + 4)} << 32;
}

uint64_t Checksum(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

absl::Status EncodeHeader(const TraceHeader& header, std::string* out) {
  if (header.latency_columns.size() > kMaxLatencyColumns) {
    return absl::InvalidArgumentError(
        absl::StrCat("a trace holds at most ", kMaxLatencyColumns,
                     " latency columns, not ", header.latency_columns.size()));
  }
  if (header.version < 1 || header.version > kFormatVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write a trace of version ", header.version));
  }
  std::string body;
  for (const std::string* s :
       {&header.isa, &header.tool, &header.command, &header.date}) {
    PutString(*s, &body);
  }
  PutU32(header.latency_columns.size(), &body);
  for (const std::string& name : header.latency_columns) {
    PutString(name, &body);
  }
  if (body.size() > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trace header's texts take ", body.size(),
                     " bytes, but at most ", kMaxHeaderBytes, " are allowed"));
  }
  const size_t begin = out->size();
  out->append(kMagic, 8);
  PutU32(header.version, out);
  PutU32(body.size(), out);
  out->append(body);
  PutU64(Checksum(absl::string_view(*out).substr(begin)), out);
  return absl::OkStatus();
}

absl::Status ParsePreamble(absl::string_view bytes, size_t* rest_bytes) {
  if (bytes.substr(0, 8) != absl::string_view(kMagic, 8)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "not a .pvt trace: byte 0 should begin '\\x89PVT', found '",
        absl::CHexEscape(bytes.substr(0, 8)), "'"));
  }
  const uint32_t version = GetU32(bytes.data() + 8);
  if (version < 1 || version > kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("byte 8: format version ", version,
                     ", but this program reads versions 1 to ", kFormatVersion,
                     "; use a newer program, or the file is damaged"));
  }
  const uint32_t size = GetU32(bytes.data() + 12);
  if (size > kMaxHeaderBytes) {
    return absl::DataLossError(absl::StrCat("byte 12: damaged: a header of ",
                                            size, " bytes, but at most ",
                                            kMaxHeaderBytes, " are allowed"));
  }
  *rest_bytes = size + 8;
  return absl::OkStatus();
}

absl::Status ParseHeader(absl::string_view bytes, TraceHeader* header) {
  if (!ChecksumMatches(bytes)) {
    return absl::DataLossError(
        absl::StrCat("bytes 0 to ", bytes.size(),
                     ": damaged: the header's checksum does not match"));
  }
  header->version = GetU32(bytes.data() + 8);
  RecordReader reader(bytes.substr(
      kPreambleBytes, bytes.size() - kPreambleBytes - sizeof(uint64_t)));
  for (std::string* s :
       {&header->isa, &header->tool, &header->command, &header->date}) {
    *s = reader.String(kMaxHeaderBytes);
  }
  const uint32_t columns = reader.U32();
  header->latency_columns.clear();
  for (uint32_t i = 0; i < columns && !reader.failed(); ++i) {
    header->latency_columns.push_back(reader.String(kMaxStringBytes));
  }
  if (!reader.finished() || columns > kMaxLatencyColumns) {
    return absl::DataLossError(
        "byte 16: the header's fields do not fill its length; the program "
        "that wrote the file is wrong");
  }
  return absl::OkStatus();
}

void EncodeIndex(const TraceIndex& index, uint32_t version,
                 uint64_t index_offset, std::string* out) {
  std::string body;
  PutU64(index.instructions, &body);
  PutU32(index.chunks.size(), &body);
  for (const TraceIndex::Chunk& chunk : index.chunks) {
    PutU64(chunk.offset, &body);
    PutU32(chunk.instructions, &body);
  }
  for (const uint64_t total : index.total_time_tenth_ns) PutU64(total, &body);
  PutU32(index.marks.size(), &body);
  for (const IntervalMark& mark : index.marks) {
    PutU64(mark.instruction, &body);
    PutString(mark.label, &body);
  }
  if (version >= 2) EncodeExtras(index.extras, &body);
  const size_t begin = out->size();
  PutU32(kIndexTag, out);
  PutU32(body.size(), out);
  out->append(body);
  PutU64(Checksum(absl::string_view(*out).substr(begin)), out);
  PutU64(index_offset, out);
  out->append(kEndMagic, 8);
}

absl::Status ParseIndex(absl::string_view record, const TraceHeader& header,
                        TraceIndex* index) {
  if (!ChecksumMatches(record)) {
    return absl::DataLossError("damaged: the index's checksum does not match");
  }
  *index = TraceIndex();
  RecordReader reader(record.substr(8, record.size() - 16));
  index->instructions = reader.U64();
  const uint32_t chunks = reader.U32();
  uint64_t sum = 0;
  bool consistent = chunks <= reader.left() / 12;
  if (consistent) index->chunks.resize(chunks);
  for (TraceIndex::Chunk& chunk : index->chunks) {
    const uint64_t before =
        &chunk == index->chunks.data() ? 0 : (&chunk - 1)->offset;
    chunk.offset = reader.U64();
    chunk.instructions = reader.U32();
    consistent &= chunk.offset > before && chunk.instructions > 0 &&
                  chunk.instructions <= kMaxChunkInstructions;
    sum += chunk.instructions;
  }
  for (size_t i = 0; i < header.latency_columns.size(); ++i) {
    index->total_time_tenth_ns.push_back(reader.U64());
  }
  const uint32_t marks = reader.U32();
  consistent &= marks <= kMaxMarks;
  for (uint32_t i = 0; i < marks && consistent && !reader.failed(); ++i) {
    IntervalMark mark;
    mark.instruction = reader.U64();
    mark.label = reader.String(kMaxMarkLabelBytes);
    consistent &=
        mark.instruction < index->instructions &&
        (i == 0 || mark.instruction > index->marks[i - 1].instruction);
    index->marks.push_back(std::move(mark));
  }
  const absl::string_view extras =
      header.version >= 2 ? reader.Take(reader.left()) : absl::string_view();
  if (!consistent || !reader.finished()) {
    return absl::DataLossError(
        "the index's fields contradict each other; the program that wrote the "
        "file is wrong");
  }
  if (sum != index->instructions) {
    return absl::DataLossError(
        absl::StrCat("wrong count: the index says ", index->instructions,
                     " instructions, but its chunks add up to ", sum));
  }
  if (header.version >= 2) return ParseExtras(extras, marks, &index->extras);
  return absl::OkStatus();
}

absl::Status ParseTrailer(absl::string_view bytes, uint64_t* index_offset) {
  if (bytes.substr(8) != absl::string_view(kEndMagic, 8)) {
    return absl::DataLossError(
        absl::StrCat("damaged, or cut and followed by something else: the last "
                     "8 bytes should be 'PVT-END\\n', found '",
                     absl::CHexEscape(bytes.substr(8)), "'"));
  }
  *index_offset = GetU64(bytes.data());
  return absl::OkStatus();
}

}  // namespace perfvec::trace
