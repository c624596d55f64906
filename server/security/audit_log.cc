#include "server/security/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "spdlog/spdlog.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

constexpr absl::Duration kTryAgain = absl::Seconds(1);
// Calls that were under way when writing began to fail; more than gRPC has.
constexpr size_t kMaxWaiting = 100'000;
constexpr size_t kMaxTextBytes = 512;

std::string ToLine(const AuditRecord& record) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", record.time,
                                  absl::UTCTimeZone());
  for (const auto& [key, value] :
       {std::make_pair("request_id", &record.request_id),
        std::make_pair("token", &record.token),
        std::make_pair("tenant", &record.tenant),
        std::make_pair("role", &record.role),
        std::make_pair("certificate", &record.certificate),
        std::make_pair("peer", &record.peer),
        std::make_pair("method", &record.method),
        std::make_pair("object", &record.object),
        std::make_pair("outcome", &record.outcome),
        std::make_pair("message", &record.message)}) {
    if (!value->empty()) line[key] = value->substr(0, kMaxTextBytes);
  }
  // What a peer sent as a name need not be UTF-8.
  return line.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

absl::Status Failure(absl::string_view what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " the audit log ",
                                             path, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(Options options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  absl::MutexLock lock(&log->mutex_);
  PERFVEC_RETURN_IF_ERROR(log->OpenFile());
  return log;
}

AuditLog::~AuditLog() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status AuditLog::OpenFile() {
  const std::string& path = options_.path;
  fd_ = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) return Failure("open", path);
  struct stat s;
  if (::fstat(fd_, &s) != 0) return Failure("look at", path);
  size_bytes_ = s.st_size;
  char last = '\n';
  if (size_bytes_ > 0 && ::pread(fd_, &last, 1, s.st_size - 1) == 1 &&
      last != '\n') {
    // A machine that went down in the middle of a line.
    if (::write(fd_, "\n", 1) != 1) return Failure("write", path);
    ++size_bytes_;
  }
  return absl::OkStatus();
}

absl::Status AuditLog::Rotate() {
  const std::string& path = options_.path;
  ::close(std::exchange(fd_, -1));
  for (int i = options_.files - 1; i > 0; --i) {
    const std::string from = i == 1 ? path : absl::StrCat(path, ".", i - 1);
    if (std::rename(from.c_str(), absl::StrCat(path, ".", i).c_str()) != 0 &&
        errno != ENOENT) {
      return Failure("rotate", from);
    }
  }
  if (options_.files == 1 && ::unlink(path.c_str()) != 0) {
    return Failure("rotate", path);
  }
  return OpenFile();
}

absl::Status AuditLog::Write(const std::string& line) {
  if (fd_ < 0) PERFVEC_RETURN_IF_ERROR(OpenFile());
  if (size_bytes_ > 0 && size_bytes_ + line.size() > options_.max_bytes) {
    PERFVEC_RETURN_IF_ERROR(Rotate());
  }
  const ssize_t written = ::write(fd_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) {
    size_bytes_ += line.size();
    return absl::OkStatus();
  }
  if (written >= 0) errno = ENOSPC;
  absl::Status failed = Failure("write", options_.path);
  // Not half a line, which the next would run into.
  if (written > 0 && ::ftruncate(fd_, size_bytes_) != 0) {
    ::close(std::exchange(fd_, -1));
  }
  return failed;
}

void AuditLog::WriteWaiting() {
  next_try_ = absl::Now() + kTryAgain;
  while (!waiting_.empty()) {
    absl::Status status = Write(waiting_.front());
    if (!status.ok()) {
      if (trouble_.ok()) {
        spdlog::critical("{}; changes are refused", status.ToString());
      }
      trouble_ = std::move(status);
      return;
    }
    waiting_.pop_front();
  }
  if (!trouble_.ok()) spdlog::info("the audit log is written again");
  trouble_ = absl::OkStatus();
}

void AuditLog::Append(const AuditRecord& record) {
  std::string line = ToLine(record);
  absl::MutexLock lock(&mutex_);
  if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(line));
  if (trouble_.ok()) WriteWaiting();
}

absl::Status AuditLog::Ready() {
  absl::MutexLock lock(&mutex_);
  if (!trouble_.ok() && absl::Now() >= next_try_) WriteWaiting();
  if (trouble_.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "nothing may be changed while the audit log cannot be written: ",
      trouble_.message()));
}

}  // namespace perfvec::server
