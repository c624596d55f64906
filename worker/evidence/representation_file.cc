#include "worker/evidence/representation_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/format.h"
#include "storage/trace/reader.h"

namespace perfvec::evidence {
namespace {

constexpr size_t kBlockRows = 1024;

struct Header {
  uint64_t magic = 0x3031535052435650;
  char model_id[64] = {};
  uint64_t digest = 0, precision = 0, width = 0, instructions = 0;
};

Header HeaderOf(const RepresentationKey& key) {
  Header header;
  std::memcpy(header.model_id, key.model_id.data(),
              std::min(key.model_id.size(), sizeof header.model_id));
  header.digest = key.digest;
  header.precision = key.bf16;
  header.width = key.width;
  header.instructions = key.instructions;
  return header;
}

template <typename T>
absl::string_view Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(T)};
}

template <typename T>
void AppendBytes(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string Partial(const std::string& path) { return path + ".partial"; }

}  // namespace

std::string RepresentationKey::PathIn(const std::string& directory) const {
  return absl::StrCat(directory, "/", absl::Hex(digest, absl::kZeroPad16), "-",
                      model_id.substr(0, 16), bf16 ? "-bf16" : "", ".rows");
}

uint64_t RepresentationKey::FileBytes() const {
  const uint64_t blocks = (instructions + kBlockRows - 1) / kBlockRows;
  return sizeof(Header) + instructions * width * sizeof(float) +
         blocks * sizeof(uint64_t);
}

absl::StatusOr<uint64_t> DigestOfTrace(const std::string& path,
                                       uint64_t* instructions) {
  auto source = trace::OpenFileSource(path);
  if (!source.ok()) return source.status();
  auto reader = trace::TraceReader::Open(*std::move(source), {false, {}});
  if (!reader.ok()) return reader.status();
  uint64_t digest = 0;
  trace::TraceChunk chunk;
  for (;;) {
    auto more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    const trace::InstructionBlock& block = chunk.block;
    std::string bytes;
    AppendBytes(digest, &bytes);
    for (const trace::StaticInstruction& s : block.statics) {
      AppendBytes(s.pc, &bytes);
      AppendBytes(s.flags, &bytes);
      AppendBytes(s.access_size, &bytes);
      AppendBytes(s.op_class, &bytes);
      AppendBytes(s.source_count, &bytes);
      AppendBytes(s.destination_count, &bytes);
      for (const auto* registers : {s.sources.data(), s.destinations.data()}) {
        const int count = registers == s.sources.data() ? s.source_count
                                                        : s.destination_count;
        for (int i = 0; i < count; ++i) {
          AppendBytes(registers[i].register_class, &bytes);
          AppendBytes(registers[i].index, &bytes);
        }
      }
    }
    absl::StrAppend(&bytes, Bytes(block.static_index), Bytes(block.address),
                    Bytes(block.taken));
    digest = trace::Checksum(bytes);
  }
  *instructions = (*reader)->instructions();
  return digest;
}

RepresentationWriter::RepresentationWriter(std::string path,
                                           const RepresentationKey& key)
    : path_(std::move(path)),
      key_(key),
      out_(Partial(path_), std::ios::binary | std::ios::trunc) {}

RepresentationWriter::~RepresentationWriter() {
  std::error_code ignored;
  std::filesystem::remove(Partial(path_), ignored);
}

absl::StatusOr<std::unique_ptr<RepresentationWriter>>
RepresentationWriter::Create(const std::string& path,
                             const RepresentationKey& key) {
  std::unique_ptr<RepresentationWriter> writer(
      new RepresentationWriter(path, key));
  const Header header = HeaderOf(key);
  writer->out_.write(reinterpret_cast<const char*>(&header), sizeof header);
  if (!writer->out_) {
    return absl::InvalidArgumentError(absl::StrCat(
        Partial(path), ": cannot be written: ", std::strerror(errno)));
  }
  return writer;
}

absl::Status RepresentationWriter::WriteBlock() {
  const uint64_t checksum = trace::Checksum(Bytes(block_));
  out_.write(Bytes(block_).data(),
             static_cast<std::streamsize>(Bytes(block_).size()));
  out_.write(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  block_.clear();
  return out_ ? absl::OkStatus()
              : absl::ResourceExhaustedError(
                    absl::StrCat(Partial(path_), ": cannot be written"));
}

absl::Status RepresentationWriter::Append(const float* rows, size_t count) {
  for (size_t i = 0; i < count; ++i, ++rows_) {
    block_.insert(block_.end(), rows + i * key_.width,
                  rows + (i + 1) * key_.width);
    if (block_.size() < kBlockRows * key_.width) continue;
    if (absl::Status s = WriteBlock(); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status RepresentationWriter::Finish() {
  if (rows_ != key_.instructions) {
    return absl::InternalError(absl::StrCat(
        path_, ": expected ", key_.instructions, " rows, found ", rows_));
  }
  if (!block_.empty()) {
    if (absl::Status s = WriteBlock(); !s.ok()) return s;
  }
  out_.close();
  std::error_code error;
  if (out_) std::filesystem::rename(Partial(path_), path_, error);
  if (!out_ || error) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": cannot be written"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RepresentationReader>>
RepresentationReader::Open(const std::string& path,
                           const RepresentationKey& key) {
  std::unique_ptr<RepresentationReader> reader(
      new RepresentationReader(path, key));
  reader->in_.open(path, std::ios::binary);
  if (!reader->in_) return nullptr;
  const Header expected = HeaderOf(key);
  Header found;
  reader->in_.read(reinterpret_cast<char*>(&found), sizeof found);
  if (!reader->in_ || std::memcmp(&found, &expected, sizeof found) != 0) {
    return nullptr;
  }
  return reader;
}

absl::Status RepresentationReader::Read(size_t count,
                                        std::vector<float>* rows) {
  rows->clear();
  const size_t wanted = count * key_.width;
  while (rows->size() < wanted) {
    if (at_ == block_.size()) {
      const uint64_t left = key_.instructions - rows_;
      const size_t next = std::min<uint64_t>(kBlockRows, left);
      block_.resize(next * key_.width);
      uint64_t checksum = 0;
      in_.read(reinterpret_cast<char*>(block_.data()),
               static_cast<std::streamsize>(block_.size() * sizeof(float)));
      in_.read(reinterpret_cast<char*>(&checksum), sizeof checksum);
      if (!in_ || next == 0 || trace::Checksum(Bytes(block_)) != checksum) {
        return absl::DataLossError(
            absl::StrCat(path_,
                         ": its content is not what was written; "
                         "delete it to have it made again"));
      }
      rows_ += next;
      at_ = 0;
    }
    const size_t take = std::min(wanted - rows->size(), block_.size() - at_);
    rows->insert(rows->end(), block_.begin() + static_cast<int64_t>(at_),
                 block_.begin() + static_cast<int64_t>(at_ + take));
    at_ += take;
  }
  return absl::OkStatus();
}

}  // namespace perfvec::evidence
