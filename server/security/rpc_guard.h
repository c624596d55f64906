// The Guard where gRPC's calls come in: a processor of their metadata that
// refuses them before they begin, and an interceptor that writes the audit log.
//
// Calls of the in-process channel have no metadata processor: the HTTP gateway
// asks the Guard itself and hands on who called in the metadata below, which is
// believed of that channel only.
//
//   credentials->SetAuthMetadataProcessor(std::make_shared<RpcGuard>(&guard));
//   creators.push_back(std::make_unique<AuditFactory>(&guard));
#ifndef PERFVEC_SERVER_SECURITY_RPC_GUARD_H_
#define PERFVEC_SERVER_SECURITY_RPC_GUARD_H_

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/support/server_interceptor.h>

#include <string>

#include "proto/request_id.h"
#include "server/security/guard.h"

namespace perfvec::server {

inline constexpr char kAuthorizationMetadata[] = "authorization";
inline constexpr char kPeerMetadata[] = "x-perfvec-peer";

class RpcGuard final : public grpc::AuthMetadataProcessor {
 public:
  explicit RpcGuard(Guard* guard) : guard_(guard) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  Guard* const guard_;
};

class AuditFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit AuditFactory(Guard* guard) : guard_(guard) {}
  // Null for calls that are not audited.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  Guard* const guard_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_RPC_GUARD_H_
