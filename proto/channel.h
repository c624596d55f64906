// The way from a client or worker to a server: plain or with TLS, with or
// without a certificate and a token of its own.
//
// Certificates and the token's file are read again when they change, so that a
// worker that runs for months keeps its access. A token is never sent in the
// clear to another machine.
//
//   ChannelSecurity security;
//   security.tls_ca = "/etc/perfvec/ca.pem";
//   security.token_file = "/etc/perfvec/token";
//   auto channel = MakeChannel("host:7450", security, arguments);
#ifndef PERFVEC_PROTO_CHANNEL_H_
#define PERFVEC_PROTO_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace perfvec {

struct ChannelSecurity {
  // PEM file with who may sign the server's certificate; "system": those that
  // this machine trusts. Empty: no TLS.
  std::string tls_ca;
  // PEM files, both or none: for a server that wants clients' certificates.
  std::string tls_certificate, tls_key;
  // At most one: the token itself, or a file that holds it in one line.
  std::string token, token_file;
};

// Connects at the first call. INVALID_ARGUMENT: contradictory, or a token
// without TLS for a server elsewhere; errors of the files as in pem.h.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(
    const std::string& target, const ChannelSecurity& security,
    const grpc::ChannelArguments& arguments);

}  // namespace perfvec

#endif  // PERFVEC_PROTO_CHANNEL_H_
