#include "storage/file_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

namespace fs = std::filesystem;

absl::Status FromError(const std::error_code& error, absl::string_view action,
                       const std::string& path) {
  return error ? ErrnoStatus(error.value(), action, path) : absl::OkStatus();
}

absl::Status SyncFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "sync", path);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFiles(
    const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(directory, error), end;
  for (; !error && entry != end; entry.increment(error))
    if (entry->is_regular_file())
      names.push_back(entry->path().filename().string());
  PERFVEC_RETURN_IF_ERROR(FromError(error, "list", directory));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<uint64_t> FileSize(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  PERFVEC_RETURN_IF_ERROR(FromError(error, "stat", path));
  return size;
}

std::string ParentDirectory(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status MakeNewDirectory(const std::string& path) {
  std::error_code error;
  const bool made = fs::create_directory(path, error);
  PERFVEC_RETURN_IF_ERROR(FromError(error, "create directory", path));
  if (!made) {
    return absl::AlreadyExistsError(
        absl::StrCat("directory '", path, "' is there; name a new one"));
  }
  return absl::OkStatus();
}

absl::Status RequireAbsentOrEmpty(const std::string& directory) {
  std::error_code error;
  if (!fs::exists(directory, error)) return absl::OkStatus();
  if (fs::is_empty(directory, error)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("directory '", directory,
                   "' is not empty; move it away or restore into another one"));
}

absl::Status LinkOrCopyFile(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(ParentDirectory(to), error);
  if (!error) fs::create_hard_link(from, to, error);
  if (error == std::errc::cross_device_link ||
      error == std::errc::operation_not_permitted ||
      error == std::errc::too_many_links) {
    error.clear();
    fs::copy_file(from, to, error);
  }
  return FromError(error, absl::StrCat("copy '", from, "' to"), to);
}

absl::Status CopyTree(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy(from, to, fs::copy_options::recursive, error);
  return FromError(error, absl::StrCat("copy '", from, "' to"), to);
}

absl::Status SyncTree(const std::string& directory) {
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path().string();
    PERFVEC_RETURN_IF_ERROR(entry->is_directory()
                                ? FileSystem::Real()->SyncDirectory(path)
                                : SyncFile(path));
  }
  PERFVEC_RETURN_IF_ERROR(FromError(error, "list", directory));
  return FileSystem::Real()->SyncDirectory(directory);
}

}  // namespace perfvec::storage
