// Decides on every call before it begins: whose token, which role, how many
// calls a second, and whether changes can be written to the audit log.
//
// One object for gRPC and for HTTP, by one table (access.h). Tokens and their
// ends are looked at for each call, so that what is revoked is refused at once.
// Without a tokens file everybody may do everything and only the audit log is
// kept. Any thread; Refresh from one at a time.
//
//   auto guard = Guard::Create(options, clock, &metrics);
//   absl::Status status = (*guard)->Authorize(
//       "/perfvec.v1.PredictionService/Predict", "Bearer pvs_...", {});
#ifndef PERFVEC_SERVER_SECURITY_GUARD_H_
#define PERFVEC_SERVER_SECURITY_GUARD_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/metrics.h"
#include "server/security/audit_log.h"
#include "server/security/tokens.h"

namespace perfvec::server {

struct GuardOptions {
  std::string tokens_file;             // empty: no tokens are asked for
  AuditLog::Options audit;             // no path: none is kept
  double tenant_calls_per_second = 0;  // 0: no limit; needs a tokens file

  bool enabled() const { return !tokens_file.empty() || !audit.path.empty(); }
};

// What of a call goes into the audit log beside its method.
struct CallOrigin {
  std::string peer, request_id, certificate;
};

class Guard {
 public:
  using Clock = std::function<absl::Time()>;

  static absl::StatusOr<std::unique_ptr<Guard>> Create(GuardOptions options,
                                                       Clock clock,
                                                       Metrics* metrics);

  // `authorization` is "Bearer TOKEN". UNAUTHENTICATED: no token, or none that
  // counts; PERMISSION_DENIED: the role may not; RESOURCE_EXHAUSTED: the
  // tenant calls too often; UNAVAILABLE: the audit log cannot be written.
  absl::Status Authorize(absl::string_view path,
                         absl::string_view authorization,
                         const CallOrigin& origin);
  // Writes down how a call ended that Authorize let begin.
  void Audit(const Access& access, absl::string_view authorization,
             const CallOrigin& origin, const std::string& object,
             const absl::Status& outcome);

  // Whose token that is; errors as of Authorize. Not counted. Needs a tokens
  // file.
  absl::StatusOr<Token> Caller(absl::string_view authorization) const;

  // Reads the tokens file if it has changed. True: a token has been revoked or
  // has expired since the last time, so that what it opened should be ended.
  // An error, once for each change: the file is wrong, and the tokens before
  // stay in force.
  absl::StatusOr<bool> Refresh();

  bool asks_for_tokens() const { return !options_.tokens_file.empty(); }
  bool audits() const { return audit_ != nullptr; }

 private:
  // When the tenant's next call is due, in nanoseconds; up to a second's worth
  // of calls may come early (the generic cell rate algorithm, ITU-T I.371).
  using NextCall = std::atomic<int64_t>;

  Guard(GuardOptions options, Clock clock, Metrics* metrics);
  std::shared_ptr<const TokenSet> tokens() const;
  absl::StatusOr<const Token*> Check(const TokenSet& tokens,
                                     absl::string_view authorization) const;
  absl::Status Limit(const std::string& tenant);

  const GuardOptions options_;
  const Clock clock_;
  std::unique_ptr<AuditLog> audit_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const TokenSet> tokens_ ABSL_GUARDED_BY(mutex_);
  std::string stamp_ ABSL_GUARDED_BY(mutex_);
  absl::Time refreshed_ ABSL_GUARDED_BY(mutex_);
  absl::node_hash_map<std::string, NextCall> next_calls_
      ABSL_GUARDED_BY(mutex_);
  prometheus::Counter *unauthenticated_, *denied_, *limited_;
  prometheus::Gauge *file_ok_, *audit_ok_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_GUARD_H_
