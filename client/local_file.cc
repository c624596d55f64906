#include "client/local_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace perfvec::client {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

}  // namespace

absl::StatusOr<LocalFile> LocalFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, path);
  struct stat info;
  if (fstat(descriptor, &info) != 0) {
    const int error = errno;
    close(descriptor);
    return absl::ErrnoToStatus(error, path);
  }
  if (!S_ISREG(info.st_mode)) {
    close(descriptor);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file"));
  }
  return LocalFile(path, descriptor, static_cast<uint64_t>(info.st_size));
}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_bytes_(other.size_bytes_) {}

LocalFile::~LocalFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status LocalFile::Read(uint64_t offset, size_t size,
                             std::string* data) const {
  data->resize(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        pread(descriptor_, data->data() + done, size - done, offset + done);
    if (got < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(errno, path_);
    }
    if (got == 0) {
      return absl::DataLossError(absl::StrCat(
          path_, ": expected ", size_bytes_, " bytes as when it was opened, ",
          "found the end at ", offset + done));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Sha256(
    const LocalFile& file, const std::function<bool(uint64_t)>& progress) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context ||
      EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("OpenSSL offers no SHA-256");
  }
  std::string piece;
  for (uint64_t offset = 0; offset < file.size_bytes();) {
    const size_t size =
        std::min<uint64_t>(kPieceBytes, file.size_bytes() - offset);
    if (absl::Status status = file.Read(offset, size, &piece); !status.ok()) {
      return status;
    }
    if (EVP_DigestUpdate(context.get(), piece.data(), piece.size()) != 1) {
      return absl::InternalError("SHA-256 failed");
    }
    offset += size;
    if (!progress(offset)) {
      return absl::CancelledError(absl::StrCat(file.path(), ": interrupted"));
    }
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_DigestFinal_ex(context.get(), digest, &length) != 1) {
    return absl::InternalError("SHA-256 failed");
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), length));
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t limit_bytes) {
  auto file = LocalFile::Open(path);
  if (!file.ok()) return file.status();
  if (file->size_bytes() > limit_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected at most ", limit_bytes, " bytes, found ",
                     file->size_bytes()));
  }
  std::string content;
  absl::Status status = file->Read(0, file->size_bytes(), &content);
  if (!status.ok()) return status;
  return content;
}

}  // namespace perfvec::client
