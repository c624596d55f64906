#include "storage/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace perfvec::storage {
namespace {

class PosixFile : public WritableFile {
 public:
  PosixFile(int descriptor, std::string path)
      : descriptor_(descriptor), path_(std::move(path)) {}
  // What matters was synced before; a close error tells nothing more.
  ~PosixFile() override { close(descriptor_); }

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "write", path_);
      }
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  void StartWriteback() override {
    // A hint: where it is not supported Sync() does all the work.
    (void)sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

  absl::Status Sync() override {
    if (fsync(descriptor_) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "sync", path_);
  }

 private:
  const int descriptor_;
  const std::string path_;
};

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> NewFile(
      const std::string& path) override {
    const int descriptor =
        open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (descriptor < 0) return ErrnoStatus(errno, "create", path);
    return std::make_unique<PosixFile>(descriptor, path);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "rename to", to);
  }
  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "remove", path);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    if (mkdir(path.c_str(), 0750) == 0 || errno == EEXIST)
      return absl::OkStatus();
    return ErrnoStatus(errno, "create directory", path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    const int descriptor =
        open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return ErrnoStatus(errno, "open directory", path);
    const int error = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    if (error == 0) return absl::OkStatus();
    return ErrnoStatus(error, "sync directory", path);
  }
};

}  // namespace

FileSystem* FileSystem::Real() {
  static PosixFileSystem* const real = new PosixFileSystem;
  return real;
}

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t limit_bytes) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  std::string bytes;
  absl::Status failure;
  struct stat file;
  if (fstat(descriptor, &file) != 0) {
    failure = ErrnoStatus(errno, "stat", path);
  } else if (static_cast<uint64_t>(file.st_size) > limit_bytes) {
    failure = absl::ResourceExhaustedError(
        absl::StrCat("read '", path, "': expected at most ", limit_bytes,
                     " bytes, found ", file.st_size));
  } else {
    bytes.resize(static_cast<size_t>(file.st_size));
  }
  size_t done = 0;
  while (failure.ok() && done < bytes.size()) {
    const ssize_t count = read(descriptor, &bytes[done], bytes.size() - done);
    if (count < 0 && errno != EINTR) failure = ErrnoStatus(errno, "read", path);
    if (count == 0) break;
    if (count > 0) done += static_cast<size_t>(count);
  }
  close(descriptor);
  if (!failure.ok()) return failure;
  bytes.resize(done);
  return bytes;
}

absl::Status ErrnoStatus(int error, absl::string_view action,
                         const std::string& path) {
  const std::string message =
      absl::StrCat(action, " '", path, "': ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(
          absl::StrCat(message, "; free space on the disk of that directory"));
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          absl::StrCat(message, "; raise the limit of open files"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::UnavailableError(absl::StrCat(message, "; check the disk"));
  }
}

}  // namespace perfvec::storage
