// The audit log: one JSON object a line for each call that changes something,
// and for each that was refused for its role.
//
// Bounded: past `max_bytes` the file is renamed to FILE.1, FILE.1 to FILE.2 and
// so on; the oldest of `files` goes. A line is in the operating system's hands
// (not yet on the disk) when Append returns.
//
// When a line cannot be written (disk full, no permission) it is kept in memory
// and Ready() fails from then on, so that calls that change something are
// refused before they begin; Ready() tries again once a second and succeeds
// when every line kept has been written. Any thread.
//
//   auto audit = AuditLog::Open({.path = "/var/log/perfvec/audit.jsonl"});
//   if (absl::Status ready = (*audit)->Ready(); !ready.ok()) return ready;
//   (*audit)->Append({.method = "ProgramService.DeleteProgram", ...});
#ifndef PERFVEC_SERVER_SECURITY_AUDIT_LOG_H_
#define PERFVEC_SERVER_SECURITY_AUDIT_LOG_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::server {

struct AuditRecord {
  absl::Time time;
  std::string request_id;
  std::string token, tenant, role;  // empty: there was no token
  std::string certificate;          // its common name
  std::string peer;
  std::string method;   // "ProgramService.DeleteProgram"
  std::string object;   // "zlib@3"
  std::string outcome;  // "OK", "NOT_FOUND", ...
  std::string message;  // of an error
};

class AuditLog {
 public:
  struct Options {
    std::string path;
    uint64_t max_bytes = 64 << 20;
    int files = 8;  // the one written to included
  };
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Options options);
  ~AuditLog();

  void Append(const AuditRecord& record);
  // UNAVAILABLE: lines wait that cannot be written.
  absl::Status Ready();

 private:
  explicit AuditLog(Options options) : options_(std::move(options)) {}
  absl::Status OpenFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Rotate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(const std::string& line)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;
  uint64_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
  absl::Status trouble_ ABSL_GUARDED_BY(mutex_);
  absl::Time next_try_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_AUDIT_LOG_H_
