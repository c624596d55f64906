// The gate between tenants: which fields of which requests name something that
// has an owner, in one table, which every call of the services passes.
//
// A request without a row is refused to all but those who see everything; a
// test walks the fields of all requests and fails for one it has no row for.
//
// Any thread. Guard and registry must outlive it.
//
//   Tenants tenants(&guard, &registry, [&](const std::string& upload_id) {
//     return uploads.TenantOf(upload_id);
//   });
//   context.gate = &tenants;
#ifndef PERFVEC_SERVER_SECURITY_TENANTS_H_
#define PERFVEC_SERVER_SECURITY_TENANTS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/security/guard.h"
#include "server/security/scope.h"
#include "storage/registry.h"

namespace perfvec::server {

struct NamedThing {
  enum What { kNothing, kProgram, kArchitecture, kJob, kTrace, kUpload };
  const char* request;  // "perfvec.v1.GetProgramRequest"
  const char* field;    // "requests.program"; of kNothing empty
  What what;
  bool changed = false;
};
absl::Span<const NamedThing> NamedThings();

class Tenants final : public ScopeGate {
 public:
  // Whose an upload under way is; NOT_FOUND for others.
  using OwnerOfUpload =
      std::function<absl::StatusOr<std::string>(const std::string& upload_id)>;

  Tenants(const Guard* guard, storage::Registry* registry,
          OwnerOfUpload owner_of_upload)
      : guard_(guard),
        registry_(registry),
        owner_of_upload_(std::move(owner_of_upload)) {}

  absl::StatusOr<Scope> Enter(
      const grpc::CallbackServerContext& call,
      const google::protobuf::Message& request) const override;
  // What Enter does for a caller that is known.
  absl::Status Check(const Scope& scope,
                     const google::protobuf::Message& request) const;

 private:
  absl::Status CheckOne(const Scope& scope, const NamedThing& thing,
                        const std::string& name) const;

  const Guard* const guard_;
  storage::Registry* const registry_;
  const OwnerOfUpload owner_of_upload_;
};

// Of a token's tenant and role.
Scope ScopeOf(const Token& token);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_TENANTS_H_
