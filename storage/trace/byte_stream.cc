#include "storage/trace/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {
namespace {

absl::Status ErrnoStatus(absl::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", path));
}

class FileSource : public ByteSource {
 public:
  FileSource(int fd, bool owned, std::string name, uint64_t total_bytes)
      : fd_(fd),
        owned_(owned),
        name_(std::move(name)),
        total_bytes_(total_bytes) {}
  ~FileSource() override {
    if (owned_) ::close(fd_);
  }
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    for (;;) {
      const ssize_t n = ::read(fd_, out, size);
      if (n >= 0) {
        consumed_bytes_ += n;
        return static_cast<size_t>(n);
      }
      if (errno != EINTR) return ErrnoStatus("cannot read", name_);
    }
  }
  std::string name() const override { return name_; }
  uint64_t consumed_bytes() const override { return consumed_bytes_; }
  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  const int fd_;
  const bool owned_;
  const std::string name_;
  const uint64_t total_bytes_;
  uint64_t consumed_bytes_ = 0;
};

class FileSink : public ByteSink {
 public:
  // An empty `path`: standard output, written in place.
  FileSink(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~FileSink() override {
    if (path_.empty() || fd_ < 0) return;
    ::close(fd_);
    ::unlink(Partial().c_str());
  }
  absl::Status Write(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("cannot write", Partial());
      bytes.remove_prefix(n);
    }
    return absl::OkStatus();
  }
  absl::Status Truncate(uint64_t bytes) override {
    if (path_.empty()) return ByteSink::Truncate(bytes);
    if (::ftruncate(fd_, bytes) != 0 || ::lseek(fd_, bytes, SEEK_SET) < 0) {
      return ErrnoStatus("cannot shorten", Partial());
    }
    return absl::OkStatus();
  }
  absl::Status Close() override {
    if (path_.empty()) return absl::OkStatus();
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0) return ErrnoStatus("cannot close", Partial());
    if (std::rename(Partial().c_str(), path_.c_str()) != 0) {
      return ErrnoStatus("cannot rename to", path_);
    }
    return absl::OkStatus();
  }

 private:
  std::string Partial() const {
    return path_.empty() ? "standard output" : path_ + ".partial";
  }
  int fd_;
  const std::string path_;
};

class DecompressingSource : public ByteSource {
 public:
  explicit DecompressingSource(std::unique_ptr<ByteSource> inner)
      : inner_(std::move(inner)), input_(256 << 10) {}
  ~DecompressingSource() override { ZSTD_freeDCtx(context_); }

  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    if (mode_ == Mode::kUnknown) {
      // The magic number may come in pieces.
      while (end_ < 4) {
        absl::StatusOr<size_t> n =
            inner_->Read(input_.data() + end_, input_.size() - end_);
        if (!n.ok()) return n.status();
        if (*n == 0) break;
        end_ += *n;
      }
      const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
      mode_ = end_ >= 4 && std::memcmp(input_.data(), magic, 4) == 0
                  ? Mode::kZstd
                  : Mode::kPlain;
      if (mode_ == Mode::kZstd) context_ = ZSTD_createDCtx();
    }
    if (mode_ == Mode::kPlain) {
      if (begin_ == end_) return inner_->Read(out, size);
      const size_t n = std::min(size, end_ - begin_);
      std::memcpy(out, input_.data() + begin_, n);
      begin_ += n;
      return n;
    }
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      // zstd may hold output back, so it is asked before more is read.
      ZSTD_inBuffer in{input_.data() + begin_, end_ - begin_, 0};
      const size_t hint = ZSTD_decompressStream(context_, &output, &in);
      begin_ += in.pos;
      if (ZSTD_isError(hint)) {
        return absl::DataLossError(absl::StrCat(
            name(), ": bad zstd data before byte ", inner_->consumed_bytes(),
            ": ", ZSTD_getErrorName(hint)));
      }
      if (in.pos > 0) in_frame_ = hint != 0;
      if (output.pos > 0 || begin_ < end_) continue;
      absl::StatusOr<size_t> n = inner_->Read(input_.data(), input_.size());
      if (!n.ok()) return n.status();
      begin_ = 0;
      end_ = *n;
      if (*n > 0) continue;
      if (in_frame_) {
        return absl::DataLossError(
            absl::StrCat(name(), ": the zstd data ends early, at byte ",
                         inner_->consumed_bytes(), "; the file is cut"));
      }
      return 0;
    }
    return output.pos;
  }
  std::string name() const override { return inner_->name(); }
  uint64_t consumed_bytes() const override { return inner_->consumed_bytes(); }
  uint64_t total_bytes() const override { return inner_->total_bytes(); }

 private:
  enum class Mode { kUnknown, kPlain, kZstd };
  const std::unique_ptr<ByteSource> inner_;
  std::vector<char> input_;
  size_t begin_ = 0, end_ = 0;
  Mode mode_ = Mode::kUnknown;
  ZSTD_DCtx* context_ = nullptr;
  bool in_frame_ = false;
};

}  // namespace

absl::Status ByteSink::Truncate(uint64_t) {
  return absl::FailedPreconditionError("what was written cannot be taken back");
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(
    const std::string& path) {
  if (path == "-") {
    return std::make_unique<FileSource>(STDIN_FILENO, false, "standard input",
                                        0);
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("cannot open", path);
  struct stat st {};
  if (::fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": it is a directory"));
  }
  const uint64_t size = S_ISREG(st.st_mode) ? st.st_size : 0;
  return std::make_unique<FileSource>(fd, true, path, size);
}

absl::StatusOr<std::unique_ptr<ByteSink>> CreateFileSink(
    const std::string& path) {
  if (path == "-") return std::make_unique<FileSink>(STDOUT_FILENO, "");
  const std::string partial = path + ".partial";
  const int fd =
      ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return ErrnoStatus("cannot create", partial);
  return std::make_unique<FileSink>(fd, path);
}

std::unique_ptr<ByteSource> MaybeDecompress(std::unique_ptr<ByteSource> inner) {
  return std::make_unique<DecompressingSource>(std::move(inner));
}

StringSource::StringSource(std::string bytes, std::string name,
                           size_t piece_bytes)
    : bytes_(std::move(bytes)),
      name_(std::move(name)),
      piece_bytes_(piece_bytes) {}

absl::StatusOr<size_t> StringSource::Read(char* out, size_t size) {
  const size_t n = std::min({size, piece_bytes_, bytes_.size() - position_});
  std::memcpy(out, bytes_.data() + position_, n);
  position_ += n;
  return n;
}

}  // namespace perfvec::trace
