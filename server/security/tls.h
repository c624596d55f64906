// The server's certificate, key and client authority: checked at the start,
// handed to gRPC and to the HTTP listener, and read again when they change.
//
// gRPC watches the files itself; HTTP takes context() at each connection, which
// Refresh() replaces once the files have changed and fit together. Files that
// do not fit are reported and the ones before stay in use: replace the
// certificate and its key by renaming new files over them. Any thread.
//
//   TlsFiles files{"server.pem", "server.key", "clients_ca.pem"};
//   auto tls = Tls::Load(files, absl::Now());
//   builder.AddListeningPort(address, (*tls)->GrpcCredentials(), &port);
//   ... every second: LogIfBad((*tls)->Refresh(absl::Now()));
#ifndef PERFVEC_SERVER_SECURITY_TLS_H_
#define PERFVEC_SERVER_SECURITY_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::server {

struct TlsFiles {
  std::string certificate;  // PEM, the server's first, then its issuers'
  std::string key;          // PEM, not encrypted
  // PEM; not empty: clients must have a certificate that one of these signed.
  std::string client_ca;

  bool enabled() const {
    return !certificate.empty() || !key.empty() || !client_ca.empty();
  }
};

class Tls {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  // INVALID_ARGUMENT: a file is missing among the three, is not PEM, or the
  // key is another certificate's; NOT_FOUND: cannot be read;
  // FAILED_PRECONDITION: expired, or not yet valid.
  static absl::StatusOr<std::unique_ptr<Tls>> Load(TlsFiles files,
                                                   absl::Time now);

  std::shared_ptr<grpc::ServerCredentials> GrpcCredentials() const;
  Context context() const;
  absl::Time expires() const;
  // Whether new files were taken; an error once for each change that is bad.
  absl::StatusOr<bool> Refresh(absl::Time now);

 private:
  struct Loaded {
    Context context;
    absl::Time expires;
  };
  explicit Tls(TlsFiles files) : files_(std::move(files)) {}
  absl::StatusOr<Loaded> Read(absl::Time now) const;
  std::string Stamp() const;

  const TlsFiles files_;
  mutable absl::Mutex mutex_;
  Loaded loaded_ ABSL_GUARDED_BY(mutex_);
  std::string stamp_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_TLS_H_
