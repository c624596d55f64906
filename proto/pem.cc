#include "proto/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"

namespace perfvec {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

absl::StatusOr<std::string> ReadFile(const char* what,
                                     const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');
  in.read(text.data(), text.size());
  // Reading short sets the end's bit; a directory or an error the other.
  if (in.bad() || (in.gcount() == 0 && !in.eof())) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the ", what, " ", path, ": ",
                     errno == 0 ? "not a file" : std::strerror(errno)));
  }
  if (static_cast<size_t>(in.gcount()) > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", what, " ", path, " is larger than 1 MiB"));
  }
  text.resize(in.gcount());
  return text;
}

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* object) const { kFree(object); }
};
using X509Ptr = std::unique_ptr<X509, Freer<X509, X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;

BioPtr Memory(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return absl::InfinitePast();
  return absl::FromTimeT(timegm(&tm));
}

std::string Format(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
}

// An encrypted key would make OpenSSL ask on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

absl::Status NotPem(const char* what, const std::string& path,
                    const char* expected) {
  ERR_clear_error();
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, " ", path, " holds no ", expected));
}

absl::Status CheckValid(const std::string& path, const X509* certificate,
                        absl::Time now) {
  const absl::Time begins = ToTime(X509_get0_notBefore(certificate));
  const absl::Time ends = ToTime(X509_get0_notAfter(certificate));
  if (now >= ends) {
    return absl::FailedPreconditionError(
        absl::StrCat("the certificate ", path, " expired on ", Format(ends),
                     "; get a new one"));
  }
  if (now < begins) {
    return absl::FailedPreconditionError(
        absl::StrCat("the certificate ", path, " is valid from ",
                     Format(begins), " only; is this machine's clock right?"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyPair> ReadKeyPair(const std::string& certificate_path,
                                    const std::string& key_path,
                                    absl::Time now) {
  KeyPair pair;
  absl::StatusOr<std::string> chain = ReadFile("certificate", certificate_path);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key = ReadFile("key", key_path);
  if (!key.ok()) return key.status();
  const X509Ptr certificate(
      PEM_read_bio_X509(Memory(*chain).get(), nullptr, &NoPassword, nullptr));
  if (certificate == nullptr) {
    return NotPem("certificate", certificate_path, "PEM certificate");
  }
  const KeyPtr private_key(PEM_read_bio_PrivateKey(Memory(*key).get(), nullptr,
                                                   &NoPassword, nullptr));
  if (private_key == nullptr) {
    return NotPem("key", key_path, "PEM private key without a password");
  }
  if (X509_check_private_key(certificate.get(), private_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("the key ", key_path, " is not that of the certificate ",
                     certificate_path));
  }
  absl::Status valid = CheckValid(certificate_path, certificate.get(), now);
  if (!valid.ok()) return valid;
  pair.chain = *std::move(chain);
  pair.key = *std::move(key);
  pair.expires = ToTime(X509_get0_notAfter(certificate.get()));
  return pair;
}

absl::Status CheckAuthorities(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile("CA file", path);
  if (!text.ok()) return text.status();
  const X509Ptr first(
      PEM_read_bio_X509(Memory(*text).get(), nullptr, &NoPassword, nullptr));
  if (first == nullptr) return NotPem("CA file", path, "PEM certificate");
  return absl::OkStatus();
}

}  // namespace perfvec
