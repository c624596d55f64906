#include "worker/train/program_rows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

constexpr size_t kBlockRows = 4096;
constexpr char kMagic[9] = "PVROWS01";
constexpr size_t kAlignment = 8;

enum Kind : uint8_t { kConstant, kByte, kShort, kFloat };
constexpr size_t kKindBytes[] = {0, 1, 2, 4};

struct Trailer {
  char magic[8];
  uint64_t key, instructions, features, architectures, index_offset;
  uint64_t checksum;  // of everything before this field
};

size_t Aligned(size_t n) {
  return (n + kAlignment - 1) / kAlignment * kAlignment;
}

Kind KindOf(const float* column, size_t stride, size_t rows) {
  const float first = column[0];
  bool constant = true, integer = true;
  float most = 0;
  for (size_t i = 0; i < rows; ++i) {
    const float v = column[i * stride];
    // Compared as bits, so that -0 and NaN keep theirs.
    constant = constant && std::memcmp(&v, &first, sizeof v) == 0;
    integer = integer && v >= 0 && v <= 65535 && v == std::floor(v) &&
              !std::signbit(v);
    most = std::max(most, v);
  }
  if (constant) return kConstant;
  if (!integer) return kFloat;
  return most <= 255 ? kByte : kShort;
}

template <typename T>
void Put(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
void PutColumn(const float* column, size_t stride, size_t rows,
               std::string* out) {
  for (size_t i = 0; i < rows; ++i) {
    Put(static_cast<T>(column[i * stride]), out);
  }
}

template <typename T>
void GetColumn(const char* from, size_t n, size_t stride, float* out) {
  const T* values = reinterpret_cast<const T*>(from);
  for (size_t i = 0; i < n; ++i) out[i * stride] = values[i];
}

absl::Status Damaged(const std::string& name, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(name, ": damaged: ", what));
}

}  // namespace

ProgramRowsWriter::ProgramRowsWriter(std::unique_ptr<trace::ByteSink> sink,
                                     int features, int architectures,
                                     uint64_t key)
    : sink_(std::move(sink)),
      features_(features),
      architectures_(architectures),
      key_(key),
      checksum_(XXH3_createState()) {
  XXH3_64bits_reset(checksum_);
}

ProgramRowsWriter::~ProgramRowsWriter() { XXH3_freeState(checksum_); }

absl::Status ProgramRowsWriter::Write(absl::string_view bytes) {
  XXH3_64bits_update(checksum_, bytes.data(), bytes.size());
  position_ += bytes.size();
  return sink_->Write(bytes);
}

absl::Status ProgramRowsWriter::Append(const float* features,
                                       const uint16_t* latency, size_t n) {
  while (n > 0) {
    const size_t have = block_features_.size() / features_;
    const size_t take = std::min(n, kBlockRows - have);
    block_features_.insert(block_features_.end(), features,
                           features + take * features_);
    block_latency_.insert(block_latency_.end(), latency,
                          latency + take * architectures_);
    features += take * features_;
    latency += take * architectures_;
    n -= take;
    if (have + take < kBlockRows) break;
    absl::Status status = WriteBlock();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A block: [features] kinds; [features] floats, the value of a constant
// column; the columns; the latencies. Each part is aligned.
absl::Status ProgramRowsWriter::WriteBlock() {
  const size_t rows = block_features_.size() / features_;
  if (rows == 0) return absl::OkStatus();
  Put<uint64_t>(position_, &index_);
  std::string kinds, values, columns;
  for (size_t f = 0; f < features_; ++f) {
    const float* column = &block_features_[f];
    const Kind kind = KindOf(column, features_, rows);
    kinds.push_back(static_cast<char>(kind));
    Put<float>(column[0], &values);
    if (kind == kByte) PutColumn<uint8_t>(column, features_, rows, &columns);
    if (kind == kShort) PutColumn<uint16_t>(column, features_, rows, &columns);
    if (kind == kFloat) PutColumn<float>(column, features_, rows, &columns);
    columns.resize(Aligned(columns.size()));
  }
  std::vector<uint64_t> sums(architectures_);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t a = 0; a < architectures_; ++a) {
      sums[a] += block_latency_[i * architectures_ + a];
    }
  }
  for (uint64_t sum : sums) Put(sum, &index_);
  kinds.resize(Aligned(kinds.size()));
  values.resize(Aligned(values.size()));
  std::string latency(reinterpret_cast<const char*>(block_latency_.data()),
                      block_latency_.size() * sizeof(uint16_t));
  latency.resize(Aligned(latency.size()));
  instructions_ += rows;
  block_features_.clear();
  block_latency_.clear();
  return Write(kinds + values + columns + latency);
}

absl::Status ProgramRowsWriter::Finish() {
  absl::Status status = WriteBlock();
  if (!status.ok()) return status;
  Trailer trailer;
  std::memcpy(trailer.magic, kMagic, sizeof trailer.magic);
  trailer.key = key_;
  trailer.instructions = instructions_;
  trailer.features = features_;
  trailer.architectures = architectures_;
  trailer.index_offset = position_;
  status = Write(index_);
  if (!status.ok()) return status;
  status = Write({reinterpret_cast<const char*>(&trailer),
                  sizeof trailer - sizeof trailer.checksum});
  if (!status.ok()) return status;
  trailer.checksum = XXH3_64bits_digest(checksum_);
  status = sink_->Write({reinterpret_cast<const char*>(&trailer.checksum),
                         sizeof trailer.checksum});
  return status.ok() ? sink_->Close() : status;
}

absl::StatusOr<std::shared_ptr<const ProgramRows>> ProgramRows::Open(
    const std::string& path, uint64_t key) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  std::shared_ptr<ProgramRows> rows(new ProgramRows);
  struct stat st {};
  void* data = MAP_FAILED;
  if (::fstat(fd, &st) == 0 && st.st_size > 0) {
    data = ::mmap(nullptr, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  }
  const int error = errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    return st.st_size > 0
               ? absl::ErrnoToStatus(error, absl::StrCat("mapping ", path))
               : Damaged(path, "it is empty");
  }
  rows->data_ = static_cast<const char*>(data);
  rows->size_ = st.st_size;
  rows->mapped_ = true;
  absl::Status status = rows->Parse(path);
  if (!status.ok()) return status;
  if (rows->key_ != key) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": made from other data"));
  }
  return rows;
}

absl::StatusOr<std::shared_ptr<const ProgramRows>> ProgramRows::FromBytes(
    std::string bytes) {
  std::shared_ptr<ProgramRows> rows(new ProgramRows);
  rows->bytes_ = std::move(bytes);
  rows->data_ = rows->bytes_.data();
  rows->size_ = rows->bytes_.size();
  absl::Status status = rows->Parse("memory");
  if (!status.ok()) return status;
  return rows;
}

absl::StatusOr<std::shared_ptr<const ProgramRows>> ProgramRows::FromArrays(
    const std::vector<float>& features, const std::vector<uint16_t>& latency,
    size_t instructions) {
  std::string bytes;
  ProgramRowsWriter writer(std::make_unique<trace::StringSink>(&bytes),
                           features.size() / instructions,
                           latency.size() / instructions, 0);
  absl::Status status =
      writer.Append(features.data(), latency.data(), instructions);
  if (status.ok()) status = writer.Finish();
  if (!status.ok()) return status;
  return FromBytes(std::move(bytes));
}

ProgramRows::~ProgramRows() {
  if (mapped_) ::munmap(const_cast<char*>(data_), size_);
}

size_t ProgramRows::BlockRows(size_t block) const {
  return std::min(kBlockRows, instructions_ - block * kBlockRows);
}

absl::Status ProgramRows::Parse(const std::string& name) {
  Trailer trailer;
  if (size_ < sizeof trailer) return Damaged(name, "it is cut");
  std::memcpy(&trailer, data_ + size_ - sizeof trailer, sizeof trailer);
  if (std::memcmp(trailer.magic, kMagic, sizeof trailer.magic) != 0) {
    return Damaged(name, "it is cut, or no such file");
  }
  if (XXH3_64bits(data_, size_ - sizeof trailer.checksum) != trailer.checksum) {
    return Damaged(name, "its checksum does not match");
  }
  // From here on it is as it was written, unless by another program: sizes are
  // still checked against the file's.
  key_ = trailer.key;
  instructions_ = trailer.instructions;
  features_ = trailer.features;
  architectures_ = trailer.architectures;
  const size_t blocks = (instructions_ + kBlockRows - 1) / kBlockRows;
  const size_t entry = sizeof(uint64_t) * (1 + architectures_);
  const size_t index_end = size_ - sizeof trailer;
  if (instructions_ > size_ * kBlockRows || features_ == 0 ||
      features_ > 65536 || architectures_ > 65536 ||
      trailer.index_offset > index_end ||
      index_end - trailer.index_offset != blocks * entry) {
    return Damaged(name, "its sizes contradict each other");
  }
  const char* index = data_ + trailer.index_offset;
  for (size_t k = 0; k < blocks; ++k, index += entry) {
    Block block;
    std::memcpy(&block.offset, index, sizeof block.offset);
    block.sums.resize(architectures_);
    std::memcpy(block.sums.data(), index + sizeof block.offset,
                entry - sizeof block.offset);
    const size_t rows = BlockRows(k);
    const uint64_t columns_begin =
        Aligned(features_) + Aligned(features_ * sizeof(float));
    if (block.offset % kAlignment != 0 || block.offset > trailer.index_offset ||
        trailer.index_offset - block.offset < columns_begin) {
      return Damaged(name, "a block is outside");
    }
    uint64_t at = columns_begin;
    for (size_t f = 0; f < features_; ++f) {
      const uint8_t kind = data_[block.offset + f];
      if (kind > kFloat) return Damaged(name, "a column of no known kind");
      block.columns.push_back(at);
      at += Aligned(rows * kKindBytes[kind]);
    }
    block.latency = at;
    at += Aligned(rows * architectures_ * sizeof(uint16_t));
    if (at > trailer.index_offset - block.offset) {
      return Damaged(name, "a block is cut");
    }
    blocks_.push_back(std::move(block));
  }
  return absl::OkStatus();
}

void ProgramRows::Features(size_t begin, size_t n, float* out) const {
  while (n > 0) {
    const size_t k = begin / kBlockRows, first = begin % kBlockRows;
    const size_t take = std::min(n, kBlockRows - first);
    const char* block = data_ + blocks_[k].offset;
    const float* constants =
        reinterpret_cast<const float*>(block + Aligned(features_));
    for (size_t f = 0; f < features_; ++f) {
      const uint8_t kind = block[f];
      const char* column =
          block + blocks_[k].columns[f] + first * kKindBytes[kind];
      switch (kind) {
        case kByte:
          GetColumn<uint8_t>(column, take, features_, out + f);
          break;
        case kShort:
          GetColumn<uint16_t>(column, take, features_, out + f);
          break;
        case kFloat:
          GetColumn<float>(column, take, features_, out + f);
          break;
        default:
          for (size_t i = 0; i < take; ++i)
            out[i * features_ + f] = constants[f];
      }
    }
    out += take * features_;
    begin += take;
    n -= take;
  }
}

const uint16_t* ProgramRows::LatencyRow(size_t instruction) const {
  const Block& block = blocks_[instruction / kBlockRows];
  return reinterpret_cast<const uint16_t*>(data_ + block.offset +
                                           block.latency) +
         instruction % kBlockRows * architectures_;
}

void ProgramRows::Latency(size_t begin, size_t n, uint16_t* out) const {
  for (size_t i = begin; i < begin + n;) {
    const size_t take = std::min(begin + n - i, kBlockRows - i % kBlockRows);
    out = std::copy_n(LatencyRow(i), take * architectures_, out);
    i += take;
  }
}

std::vector<double> ProgramRows::LatencySums(size_t begin, size_t end) const {
  std::vector<double> sums(architectures_);
  for (size_t i = begin; i < end;) {
    const size_t k = i / kBlockRows;
    if (i % kBlockRows == 0 && i + BlockRows(k) <= end) {
      for (size_t a = 0; a < architectures_; ++a) sums[a] += blocks_[k].sums[a];
      i += BlockRows(k);
    } else {
      const uint16_t* row = LatencyRow(i++);
      for (size_t a = 0; a < architectures_; ++a) sums[a] += row[a];
    }
  }
  return sums;
}

}  // namespace perfvec::train
