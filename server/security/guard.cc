#include "server/security/guard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/security/file_stamp.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

constexpr absl::string_view kBearer = "Bearer ";
constexpr size_t kMaxHeaderBytes = 4096;

// "/perfvec.v1.ProgramService/GetProgram" -> "ProgramService.GetProgram".
std::string ShortName(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == 0 || slash == path.npos) return std::string(path);
  absl::string_view service = path.substr(0, slash);
  service.remove_prefix(service.find_last_of("./") + 1);
  return absl::StrCat(service, ".", path.substr(slash + 1));
}

AuditRecord Record(absl::Time time, absl::string_view path,
                   const CallOrigin& origin, const Token* token,
                   const absl::Status& outcome) {
  AuditRecord record;
  record.time = time;
  record.request_id = origin.request_id;
  record.peer = origin.peer;
  record.certificate = origin.certificate;
  if (token != nullptr) {
    record.token = token->id;
    record.tenant = token->tenant;
    record.role = std::string(RoleName(token->role));
  }
  record.method = ShortName(path);
  record.outcome = absl::StatusCodeToString(outcome.code());
  record.message = std::string(outcome.message());
  return record;
}

}  // namespace

Guard::Guard(GuardOptions options, Clock clock, Metrics* metrics)
    : options_(std::move(options)), clock_(std::move(clock)) {
  auto& registry = *metrics->registry();
  auto& refused = prometheus::BuildCounter()
                      .Name("perfvec_auth_refused_total")
                      .Help("Calls refused before they began, by reason")
                      .Register(registry);
  unauthenticated_ = &refused.Add({{"reason", "unauthenticated"}});
  denied_ = &refused.Add({{"reason", "role"}});
  limited_ = &refused.Add({{"reason", "rate"}});
  file_ok_ = &prometheus::BuildGauge()
                  .Name("perfvec_tokens_file_ok")
                  .Help("0: the tokens file is wrong; those before are used")
                  .Register(registry)
                  .Add({});
  audit_ok_ = &prometheus::BuildGauge()
                   .Name("perfvec_audit_log_ok")
                   .Help("0: it cannot be written, and changes are refused")
                   .Register(registry)
                   .Add({});
  file_ok_->Set(1);
  audit_ok_->Set(1);
}

absl::StatusOr<std::unique_ptr<Guard>> Guard::Create(GuardOptions options,
                                                     Clock clock,
                                                     Metrics* metrics) {
  if (options.tenant_calls_per_second > 0 && options.tokens_file.empty()) {
    return absl::InvalidArgumentError(
        "--tenant-calls-per-second needs --tokens, which names the tenants");
  }
  std::unique_ptr<Guard> guard(
      new Guard(std::move(options), std::move(clock), metrics));
  if (guard->asks_for_tokens()) {
    const std::string& path = guard->options_.tokens_file;
    absl::MutexLock lock(&guard->mutex_);
    guard->stamp_ = FileStamp(path);
    PERFVEC_ASSIGN_OR_RETURN(guard->tokens_, TokenSet::Read(path));
    guard->refreshed_ = guard->clock_();
  }
  if (!guard->options_.audit.path.empty()) {
    PERFVEC_ASSIGN_OR_RETURN(guard->audit_,
                             AuditLog::Open(guard->options_.audit));
  }
  return guard;
}

std::shared_ptr<const TokenSet> Guard::tokens() const {
  absl::MutexLock lock(&mutex_);
  return tokens_;
}

absl::StatusOr<const Token*> Guard::Check(
    const TokenSet& tokens, absl::string_view authorization) const {
  if (authorization.empty()) {
    return absl::UnauthenticatedError(
        "a token is needed: name its file with --token-file, or send it as "
        "'Authorization: Bearer TOKEN'");
  }
  if (authorization.size() > kMaxHeaderBytes ||
      !absl::StartsWithIgnoreCase(authorization, kBearer)) {
    return absl::UnauthenticatedError(
        "expected 'Authorization: Bearer TOKEN', found something else");
  }
  const Token* token = tokens.Find(authorization.substr(kBearer.size()));
  if (token == nullptr) {
    return absl::UnauthenticatedError(
        "the token is unknown here, or was revoked");
  }
  if (clock_() >= token->expires) {
    return absl::UnauthenticatedError(
        absl::StrCat("the token '", token->id, "' expired on ",
                     absl::FormatTime(absl::RFC3339_sec, token->expires,
                                      absl::UTCTimeZone()),
                     "; ask for a new one"));
  }
  return token;
}

absl::StatusOr<Token> Guard::Caller(absl::string_view authorization) const {
  const std::shared_ptr<const TokenSet> set = tokens();
  PERFVEC_ASSIGN_OR_RETURN(const Token* token, Check(*set, authorization));
  return *token;
}

absl::Status Guard::Authorize(absl::string_view path,
                              absl::string_view authorization,
                              const CallOrigin& origin) {
  const Access* access = FindAccess(path);
  if (access != nullptr && access->least == Role::kAnyone) {
    return absl::OkStatus();
  }
  if (asks_for_tokens()) {
    const std::shared_ptr<const TokenSet> set = tokens();
    const absl::StatusOr<const Token*> token = Check(*set, authorization);
    if (!token.ok()) {
      // Not in the audit log: strangers must not be able to fill it.
      unauthenticated_->Increment();
      return token.status();
    }
    if (!Allows(access, (*token)->role)) {
      denied_->Increment();
      absl::Status denied = absl::PermissionDeniedError(absl::StrCat(
          "the token '", (*token)->id, "' has the role ",
          RoleName((*token)->role), "; ", ShortName(path), " needs ",
          RoleName(access == nullptr ? Role::kAdmin : access->least)));
      if (audit_ != nullptr) {
        audit_->Append(Record(clock_(), path, origin, *token, denied));
      }
      return denied;
    }
    PERFVEC_RETURN_IF_ERROR(Limit((*token)->tenant));
  }
  if (audit_ != nullptr && (access == nullptr || access->audited)) {
    return audit_->Ready();
  }
  return absl::OkStatus();
}

absl::Status Guard::Limit(const std::string& tenant) {
  const double rate = options_.tenant_calls_per_second;
  if (rate <= 0) return absl::OkStatus();
  NextCall* next;
  {
    absl::MutexLock lock(&mutex_);
    next = &next_calls_.try_emplace(tenant, 0).first->second;
  }
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(1e9 / rate));
  const int64_t burst = std::max<int64_t>(1'000'000'000, step);
  const int64_t now = absl::ToUnixNanos(clock_());
  int64_t due = next->load(std::memory_order_relaxed);
  do {
    if (due - now > burst - step) {
      limited_->Increment();
      return absl::ResourceExhaustedError(
          absl::StrCat("the tenant '", tenant, "' makes more than ", rate,
                       " calls a second; slow down"));
    }
  } while (!next->compare_exchange_weak(due, std::max(due, now) + step,
                                        std::memory_order_relaxed));
  return absl::OkStatus();
}

void Guard::Audit(const Access& access, absl::string_view authorization,
                  const CallOrigin& origin, const std::string& object,
                  const absl::Status& outcome) {
  if (audit_ == nullptr) return;
  const Token* token = nullptr;
  std::shared_ptr<const TokenSet> set;
  if (asks_for_tokens()) {
    set = tokens();
    if (absl::StartsWithIgnoreCase(authorization, kBearer)) {
      token = set->Find(authorization.substr(kBearer.size()));
    }
  }
  AuditRecord record = Record(clock_(), access.path, origin, token, outcome);
  // Revoked while its call went on.
  if (token == nullptr && asks_for_tokens()) record.token = "revoked";
  record.object = object;
  audit_->Append(record);
}

absl::StatusOr<bool> Guard::Refresh() {
  if (audit_ != nullptr) audit_ok_->Set(audit_->Ready().ok() ? 1 : 0);
  if (!asks_for_tokens()) return false;
  const absl::Time now = clock_();
  const std::string& path = options_.tokens_file;
  std::string stamp = FileStamp(path);
  std::shared_ptr<const TokenSet> before, after;
  absl::Time last;
  bool changed;
  {
    absl::MutexLock lock(&mutex_);
    changed = stamp != stamp_;
    stamp_ = std::move(stamp);
    before = after = tokens_;
    last = std::exchange(refreshed_, now);
  }
  absl::Status bad;
  if (changed) {
    auto read = TokenSet::Read(path);
    bad = read.status();
    file_ok_->Set(read.ok() ? 1 : 0);
    absl::MutexLock lock(&mutex_);
    if (read.ok()) after = tokens_ = *std::move(read);
  }
  if (!bad.ok()) return bad;
  bool ended = false;
  absl::flat_hash_map<absl::string_view, const Token*> left;
  if (after != before) {
    for (const Token& token : after->tokens()) left[token.sha256] = &token;
  }
  for (const Token& token : before->tokens()) {
    ended = ended || (token.expires > last && token.expires <= now);
    if (after == before) continue;
    const auto found = left.find(token.sha256);
    ended = ended || found == left.end() || found->second->role != token.role ||
            found->second->expires < token.expires;
  }
  return ended;
}

}  // namespace perfvec::server
