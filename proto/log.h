// The log of server and worker on standard error: lines for people, or JSON
// objects for machines, each with the request and the job it is about.
//
//   2026-11-22T05:30:01.120Z info job-7 shard 0 done request_id=9f..
//   job_id=job-7
//   {"time":"2026-11-22T05:30:01.120Z","level":"info","component":"worker",
//    "message":"job-7 shard 0 done","request_id":"9f..","job_id":"job-7"}
//
// Control characters in messages are escaped: what a client sends cannot make
// lines of its own. What a line is about is what the innermost LogScope of its
// thread says. UseLog once, before other threads log; LogScope on any thread.
//
//   UseLog("server", LogFormat::kJson);
//   LogScope scope(request_id, job_id);
//   spdlog::info("shard {} done", shard);
#ifndef PERFVEC_PROTO_LOG_H_
#define PERFVEC_PROTO_LOG_H_

#include <spdlog/formatter.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace perfvec {

enum class LogFormat { kText, kJson };

// For spdlog's sinks.
std::unique_ptr<spdlog::formatter> MakeLogFormatter(std::string component,
                                                    LogFormat format);

// The default logger: coloured lines where standard error is a terminal.
void UseLog(const std::string& component, LogFormat format);

class LogScope {
 public:
  // Empty: lines have no such field. Both must stay until the scope ends.
  explicit LogScope(absl::string_view request_id,
                    absl::string_view job_id = "");
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

  // Of this thread's innermost scope; empty: none.
  static absl::string_view CurrentRequestId();

  absl::string_view request_id() const { return request_id_; }
  absl::string_view job_id() const { return job_id_; }

 private:
  const absl::string_view request_id_, job_id_;
  const LogScope* const outer_;
};

}  // namespace perfvec

#endif  // PERFVEC_PROTO_LOG_H_
