#include "storage/import/latency_matrix.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {

LatencyMatrix::LatencyMatrix(std::FILE* file, std::string name,
                             size_t architectures)
    : file_(file), name_(std::move(name)), architectures_(architectures) {}

LatencyMatrix::~LatencyMatrix() { std::fclose(file_); }

absl::StatusOr<std::unique_ptr<LatencyMatrix>> LatencyMatrix::Load(
    std::unique_ptr<ByteSource> source, size_t architectures) {
  if (architectures == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        source->name(), ": a latency matrix needs its architectures' names"));
  }
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) {
    return absl::ErrnoToStatus(errno, "cannot create a temporary file");
  }
  std::unique_ptr<LatencyMatrix> matrix(
      new LatencyMatrix(file, source->name(), architectures));
  source = MaybeDecompress(std::move(source));
  std::vector<char> buffer(1 << 20);
  uint64_t size_bytes = 0;
  for (;;) {
    absl::StatusOr<size_t> n = source->Read(buffer.data(), buffer.size());
    if (!n.ok()) return n.status();
    if (*n == 0) break;
    if (std::fwrite(buffer.data(), 1, *n, file) != *n) {
      return absl::ErrnoToStatus(errno, "cannot write a temporary file");
    }
    size_bytes += *n;
  }
  if (std::fflush(file) != 0) {
    return absl::ErrnoToStatus(errno, "cannot write a temporary file");
  }
  if (size_bytes % (2 * architectures) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(matrix->name_, ": ", size_bytes,
                     " bytes are no matrix of 16-bit "
                     "latencies for ",
                     architectures, " architectures"));
  }
  matrix->instructions_ = size_bytes / (2 * architectures);
  return matrix;
}

absl::Status LatencyMatrix::Read(
    uint64_t first, uint32_t count,
    std::vector<std::vector<uint32_t>>* latency_tenth_ns) const {
  if (first + count > instructions_) {
    return absl::OutOfRangeError(
        absl::StrCat(name_, ": holds ", instructions_,
                     " instructions, but the trace has at least ",
                     first + count, "; they are not of the same run"));
  }
  latency_tenth_ns->resize(architectures_);
  std::vector<unsigned char> row(size_t{2} * count);
  for (size_t a = 0; a < architectures_; ++a) {
    const uint64_t offset = 2 * (a * instructions_ + first);
    for (size_t done = 0; done < row.size();) {
      const ssize_t n = ::pread(::fileno(file_), row.data() + done,
                                row.size() - done, offset + done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        return absl::ErrnoToStatus(errno, "cannot read back " + name_);
      done += n;
    }
    std::vector<uint32_t>& column = (*latency_tenth_ns)[a];
    column.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
      column[i] = row[2 * i] | row[2 * i + 1] << 8;
    }
  }
  return absl::OkStatus();
}

}  // namespace perfvec::trace
