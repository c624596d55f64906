#include "server/security/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/ssl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/pem.h"
#include "server/security/file_stamp.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

namespace ssl = boost::asio::ssl;

constexpr unsigned kGrpcRefreshSeconds = 1;

absl::Status OpenSslError(absl::string_view what, const std::string& path,
                          const boost::system::error_code& error) {
  return absl::InvalidArgumentError(
      absl::StrCat("cannot use the ", what, " ", path, ": ", error.message()));
}

}  // namespace

absl::StatusOr<Tls::Loaded> Tls::Read(absl::Time now) const {
  PERFVEC_ASSIGN_OR_RETURN(const KeyPair pair,
                           ReadKeyPair(files_.certificate, files_.key, now));
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  // A session resumed would carry its client's certificate past its end.
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_TICKET);
  context->use_certificate_chain(boost::asio::buffer(pair.chain), error);
  if (error) return OpenSslError("certificate", files_.certificate, error);
  context->use_private_key(boost::asio::buffer(pair.key), ssl::context::pem,
                           error);
  if (error) return OpenSslError("key", files_.key, error);
  if (!files_.client_ca.empty()) {
    PERFVEC_RETURN_IF_ERROR(CheckAuthorities(files_.client_ca));
    context->load_verify_file(files_.client_ca, error);
    if (error) return OpenSslError("client CA", files_.client_ca, error);
    context->set_verify_mode(
        ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
    if (error) return OpenSslError("client CA", files_.client_ca, error);
  }
  return Loaded{std::move(context), pair.expires};
}

absl::StatusOr<std::unique_ptr<Tls>> Tls::Load(TlsFiles files, absl::Time now) {
  if (files.certificate.empty() || files.key.empty()) {
    return absl::InvalidArgumentError(
        "TLS needs both --tls-cert and --tls-key");
  }
  std::unique_ptr<Tls> tls(new Tls(std::move(files)));
  absl::MutexLock lock(&tls->mutex_);
  tls->stamp_ = tls->Stamp();
  PERFVEC_ASSIGN_OR_RETURN(tls->loaded_, tls->Read(now));
  return tls;
}

std::shared_ptr<grpc::ServerCredentials> Tls::GrpcCredentials() const {
  using grpc::experimental::FileWatcherCertificateProvider;
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(
          files_.key, files_.certificate, files_.client_ca,
          kGrpcRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  if (!files_.client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

Tls::Context Tls::context() const {
  absl::MutexLock lock(&mutex_);
  return loaded_.context;
}

absl::Time Tls::expires() const {
  absl::MutexLock lock(&mutex_);
  return loaded_.expires;
}

std::string Tls::Stamp() const {
  return absl::StrCat(FileStamp(files_.certificate), " ", FileStamp(files_.key),
                      " ", FileStamp(files_.client_ca));
}

absl::StatusOr<bool> Tls::Refresh(absl::Time now) {
  std::string stamp = Stamp();
  {
    absl::MutexLock lock(&mutex_);
    if (stamp == stamp_) return false;
    stamp_ = std::move(stamp);
  }
  PERFVEC_ASSIGN_OR_RETURN(Loaded loaded, Read(now));
  absl::MutexLock lock(&mutex_);
  loaded_ = std::move(loaded);
  return true;
}

}  // namespace perfvec::server
