// Where bytes come from and go to: the trace format and the importers read and
// write through these two interfaces, so that a file, standard input, a network
// stream and a string in a test are all the same to them. Nothing here seeks.
//
//   auto source = OpenFileSource("trace.pvt");        // "-": standard input
//   if (!source.ok()) return source.status();
//   char buffer[4096];
//   absl::StatusOr<size_t> n = (*source)->Read(buffer, sizeof buffer);
//
// One thread at a time uses a source or a sink.
#ifndef PERFVEC_STORAGE_TRACE_BYTE_STREAM_H_
#define PERFVEC_STORAGE_TRACE_BYTE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::trace {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills up to `size` (>0) bytes; returns how many, 0 only at the end. May
  // return fewer than asked for.
  virtual absl::StatusOr<size_t> Read(char* out, size_t size) = 0;
  // For error messages: a path, "standard input", ...
  virtual std::string name() const = 0;
  // Bytes taken so far from the underlying file or stream (before
  // decompression), and its whole size, or 0 where that is not known. For
  // progress displays.
  virtual uint64_t consumed_bytes() const = 0;
  virtual uint64_t total_bytes() const { return 0; }
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Write(absl::string_view bytes) = 0;
  // Takes back what was written behind the first `bytes` bytes, so that
  // writing can go on there, also after Write() failed. FailedPrecondition
  // where that cannot be.
  virtual absl::Status Truncate(uint64_t bytes);
  // Everything written is where it should be. Without it the output is void.
  virtual absl::Status Close() = 0;
};

// The path "-" means standard input.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(
    const std::string& path);

// Writes PATH.partial, and renames it to PATH on Close; removes it when
// destroyed before. The path "-" means standard output.
absl::StatusOr<std::unique_ptr<ByteSink>> CreateFileSink(
    const std::string& path);

// Decompresses `inner` if it starts with a zstd frame, else passes it through.
// A frame that ends early is a DataLoss error.
std::unique_ptr<ByteSource> MaybeDecompress(std::unique_ptr<ByteSource> inner);

class StringSource : public ByteSource {
 public:
  // Hands out at most `piece_bytes` at a time.
  explicit StringSource(std::string bytes, std::string name = "memory",
                        size_t piece_bytes = SIZE_MAX);
  absl::StatusOr<size_t> Read(char* out, size_t size) override;
  std::string name() const override { return name_; }
  uint64_t consumed_bytes() const override { return position_; }
  uint64_t total_bytes() const override { return bytes_.size(); }

 private:
  const std::string bytes_;
  const std::string name_;
  const size_t piece_bytes_;
  size_t position_ = 0;
};

class StringSink : public ByteSink {
 public:
  explicit StringSink(std::string* out) : out_(out) {}
  absl::Status Write(absl::string_view bytes) override {
    out_->append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t bytes) override {
    out_->resize(bytes);
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  std::string* const out_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_BYTE_STREAM_H_
