// What a caller may see and change, and the gate that says so.
//
// The rule (docs/security.md, Tenants): a name without '~' is everybody's to
// see and the tenant default's to change; "lab~zlib" is the tenant lab's, to
// see and to change. Admins, and operators of the tenant default, see and
// change everything. It looks at names alone (storage/tenant.h), so that no
// answer depends on what another tenant has.
//
// Scope is a value; a ScopeGate is for any thread and outlives the services.
//
//   PERFVEC_ASSIGN_OR_RETURN(const Scope scope,
//                            Enter(context_.gate, *call, *request));
//   auto page = registry->ListPrograms(request->page(), scope.viewer());
#ifndef PERFVEC_SERVER_SECURITY_SCOPE_H_
#define PERFVEC_SERVER_SECURITY_SCOPE_H_

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/tenant.h"

namespace perfvec::server {

class Scope {
 public:
  Scope() = default;  // sees and changes everything
  // `tenant`: empty for the tenant default.
  Scope(std::string tenant, bool all) : tenant_(std::move(tenant)), all_(all) {}

  bool all() const { return all_; }
  const std::string& tenant() const { return tenant_; }
  // Of a program or an architecture: a name or a reference.
  bool Sees(absl::string_view name) const {
    if (all_) return true;
    const absl::string_view owner = storage::TenantOf(name);
    return owner.empty() || owner == tenant_;
  }
  bool Owns(absl::string_view name) const {
    return all_ || storage::TenantOf(name) == tenant_;
  }
  // Valid while this is.
  storage::Viewer viewer() const {
    if (all_) return std::nullopt;
    return absl::string_view(tenant_);
  }

 private:
  std::string tenant_;
  bool all_ = true;
};

class ScopeGate {
 public:
  virtual ~ScopeGate() = default;
  // Who calls. NOT_FOUND: the request names something the caller does not see,
  // whether or not there is such a thing; PERMISSION_DENIED: it would change
  // what the caller only sees; UNAUTHENTICATED: the token has just ended. May
  // read the registry for jobs, traces and uploads.
  virtual absl::StatusOr<Scope> Enter(
      const grpc::CallbackServerContext& call,
      const google::protobuf::Message& request) const = 0;
};

// `gate` null: everybody may do everything.
inline absl::StatusOr<Scope> Enter(const ScopeGate* gate,
                                   const grpc::CallbackServerContext& call,
                                   const google::protobuf::Message& request) {
  if (gate == nullptr) return Scope();
  return gate->Enter(call, request);
}

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_SCOPE_H_
