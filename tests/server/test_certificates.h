// Certificates made for one test: an authority, and who it signs. P-256, so
// that making one takes no time.
//
//   TestAuthority ca("test CA");
//   KeyAndCertificate server = ca.Sign("localhost");
//   WriteFile(dir + "/server.pem", server.certificate);
#ifndef PERFVEC_TESTS_SERVER_TEST_CERTIFICATES_H_
#define PERFVEC_TESTS_SERVER_TEST_CERTIFICATES_H_

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace perfvec::server {

struct KeyAndCertificate {
  std::string key, certificate;  // PEM
};

// In one step, as the documentation tells operators to.
inline void WriteFile(const std::string& path, const std::string& text) {
  {
    std::ofstream out(path + ".new", std::ios::binary);
    out << text;
    ASSERT_TRUE(out.good()) << path;
  }
  ASSERT_EQ(std::rename((path + ".new").c_str(), path.c_str()), 0) << path;
}

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name)
      : name_(name), key_(EVP_EC_gen("P-256")) {
    certificate_ = Make(name, key_, true, absl::Now() - absl::Hours(24),
                        absl::Now() + absl::Hours(24 * 365));
    pem_ = Pem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate_); });
  }
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestAuthority(const TestAuthority&) = delete;

  const std::string& pem() const { return pem_; }

  // For this machine's loopback, and with `name` as the common name.
  KeyAndCertificate Sign(const std::string& name,
                         absl::Time begins = absl::Now() - absl::Hours(1),
                         absl::Time ends = absl::Now() + absl::Hours(24)) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = Make(name, key, false, begins, ends);
    KeyAndCertificate made;
    made.key = Pem([&](BIO* bio) {
      PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    made.certificate =
        Pem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
  }

 private:
  template <typename Write>
  static std::string Pem(Write write) {
    BIO* bio = BIO_new(BIO_s_mem());
    write(bio);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, size);
    BIO_free(bio);
    return text;
  }
  static void AddName(X509_NAME* to, const std::string& name) {
    X509_NAME_add_entry_by_txt(
        to, "CN", MBSTRING_ASC,
        reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  static void Extend(X509* certificate, int id, const char* value) {
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509* Make(const std::string& name, EVP_PKEY* key, bool authority,
             absl::Time begins, absl::Time ends) {
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(begins));
    ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(ends));
    AddName(X509_get_subject_name(certificate), name);
    AddName(X509_get_issuer_name(certificate), name_);
    X509_set_pubkey(certificate, key);
    Extend(certificate, NID_basic_constraints,
           authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!authority) {
      Extend(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    }
    X509_sign(certificate, key_, EVP_sha256());
    return certificate;
  }

  const std::string name_;
  EVP_PKEY* const key_;
  long serial_ = 0;
  X509* certificate_ = nullptr;
  std::string pem_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_TESTS_SERVER_TEST_CERTIFICATES_H_
