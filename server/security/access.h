// Who may call what: one table, which gRPC and the HTTP gateway both enforce
// and whose audited rows the audit log writes down.
//
// A call that has no row is refused to everybody but admin; a test walks all
// services and fails for one that is missing. Roles include those below them:
//
//   reader    reads and predicts
//   uploader  also adds traces and programs and has them represented
//   operator  also changes and deletes programs and architectures, cancels jobs
//   admin     everything
//   worker    the worker protocol and the models it needs, nothing else
//
// Immutable; any thread.
//
//   const Access* access = FindAccess("/perfvec.v1.ProgramService/GetProgram");
//   if (!Allows(access, Role::kReader)) ...
#ifndef PERFVEC_SERVER_SECURITY_ACCESS_H_
#define PERFVEC_SERVER_SECURITY_ACCESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace perfvec::server {

// kAnyone: no token is needed.
enum class Role { kAnyone, kReader, kUploader, kOperator, kAdmin, kWorker };

struct Access {
  const char* path;  // of gRPC, or of what only HTTP has
  Role least;        // kWorker: workers and admin
  bool worker;       // workers too
  bool audited;      // it changes something
  // Where the request's message (the first, of a stream) names what is
  // changed: a string field, of another message with a dot.
  const char* object;
};

absl::Span<const Access> AccessTable();
// Null: none.
const Access* FindAccess(absl::string_view path);
bool Allows(const Access* access, Role role);

absl::string_view RoleName(Role role);
// INVALID_ARGUMENT: names the roles there are.
absl::StatusOr<Role> ParseRole(absl::string_view name);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_ACCESS_H_
