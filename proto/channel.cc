#include "proto/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/client_interceptor.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/pem.h"

namespace perfvec {
namespace {

constexpr char kSystemAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr unsigned kRefreshSeconds = 10;
constexpr size_t kMaxTokenBytes = 4096;

// Whether only this machine is reached; names that may be others' are not.
bool IsLocal(absl::string_view target) {
  for (absl::string_view start :
       {"127.", "localhost:", "[::1]:", "unix:", "ipv4:127.", "ipv6:[::1]",
        "ipv6:%5B::1%5D", "dns:///localhost:", "dns:localhost:"}) {
    if (absl::StartsWith(target, start)) return true;
  }
  return target == "localhost";
}

absl::StatusOr<std::string> CheckToken(absl::string_view text,
                                       absl::string_view origin) {
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  bool printable = !token.empty() && token.size() <= kMaxTokenBytes;
  for (char c : token) printable = printable && absl::ascii_isgraph(c);
  if (printable) return std::string(token);
  return absl::InvalidArgumentError(absl::StrCat(
      origin, ": expected one token, as perfvec-server token create prints"));
}

// The value of "authorization". Any thread.
class TokenSource {
 public:
  explicit TokenSource(std::string path) : path_(std::move(path)) {}
  static std::string Header(const std::string& token) {
    return absl::StrCat("Bearer ", token);
  }
  absl::Status Read() {
    std::ifstream in(path_, std::ios::binary);
    std::string text(kMaxTokenBytes + 1, '\0');
    in.read(text.data(), text.size());
    if (in.bad() || (in.gcount() == 0 && !in.eof())) {
      return absl::NotFoundError(absl::StrCat(
          "cannot read the token file ", path_, ": ", std::strerror(errno)));
    }
    text.resize(in.gcount());
    absl::StatusOr<std::string> token = CheckToken(text, path_);
    if (!token.ok()) return token.status();
    absl::MutexLock lock(&mutex_);
    header_ = Header(*token);
    return absl::OkStatus();
  }
  void Set(const std::string& token) {
    absl::MutexLock lock(&mutex_);
    header_ = Header(token);
  }
  // A file that became unreadable leaves the token as it was.
  std::string Get() {
    if (!path_.empty() && Changed()) Read().IgnoreError();
    absl::MutexLock lock(&mutex_);
    return header_;
  }

 private:
  bool Changed() {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    if (now < next_look_) return false;
    next_look_ = now + absl::Seconds(1);
    struct stat s;
    if (stat(path_.c_str(), &s) != 0) return false;
    const auto stamp =
        std::make_pair(absl::TimeFromTimespec(s.st_mtim), uint64_t{s.st_ino});
    return std::exchange(stamp_, stamp) != stamp;
  }

  const std::string path_;
  absl::Mutex mutex_;
  std::string header_ ABSL_GUARDED_BY(mutex_);
  absl::Time next_look_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::pair<absl::Time, uint64_t> stamp_ ABSL_GUARDED_BY(mutex_);
};

class TokenInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(TokenSource* source) : source_(source) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* calls) override {
    if (calls->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                PRE_SEND_INITIAL_METADATA)) {
      calls->GetSendInitialMetadata()->emplace("authorization", source_->Get());
    }
    calls->Proceed();
  }

 private:
  TokenSource* const source_;
};

class TokenFactory
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenFactory(std::unique_ptr<TokenSource> source)
      : source_(std::move(source)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(source_.get());
  }

 private:
  const std::unique_ptr<TokenSource> source_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const ChannelSecurity& security) {
  if (security.tls_certificate.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "a client's certificate and its key go together; one is missing");
  }
  if (security.tls_ca.empty()) {
    if (security.tls_certificate.empty()) {
      return grpc::InsecureChannelCredentials();
    }
    return absl::InvalidArgumentError(
        "a client's certificate needs TLS: name who signs the server's with "
        "--tls-ca");
  }
  const std::string ca =
      security.tls_ca == "system" ? kSystemAuthorities : security.tls_ca;
  if (absl::Status bad = CheckAuthorities(ca); !bad.ok()) return bad;
  if (!security.tls_certificate.empty()) {
    auto pair =
        ReadKeyPair(security.tls_certificate, security.tls_key, absl::Now());
    if (!pair.ok()) return pair.status();
  }
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          security.tls_key, security.tls_certificate, ca, kRefreshSeconds));
  options.watch_root_certs();
  if (!security.tls_certificate.empty()) {
    options.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(
    const std::string& target, const ChannelSecurity& security,
    const grpc::ChannelArguments& arguments) {
  auto credentials = Credentials(security);
  if (!credentials.ok()) return credentials.status();
  if (security.token.empty() && security.token_file.empty()) {
    return grpc::CreateCustomChannel(target, *credentials, arguments);
  }
  if (!security.token.empty() && !security.token_file.empty()) {
    return absl::InvalidArgumentError(
        "a token and a token file: expected one of them");
  }
  if (security.tls_ca.empty() && !IsLocal(target)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token would be sent to ", target,
                     " in the clear; turn TLS on with --tls-ca"));
  }
  auto source = std::make_unique<TokenSource>(security.token_file);
  if (!security.token_file.empty()) {
    if (absl::Status bad = source->Read(); !bad.ok()) return bad;
  } else {
    auto token = CheckToken(security.token, "the token");
    if (!token.ok()) return token.status();
    source->Set(*token);
  }
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<TokenFactory>(std::move(source)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, *credentials, arguments, std::move(interceptors));
}

}  // namespace perfvec
