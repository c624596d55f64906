// Certificates and keys in files, checked before TLS gets them: what OpenSSL
// says of a wrong one names neither the file nor the remedy. Any thread.
//
//   auto pair = ReadKeyPair("server.pem", "server.key", absl::Now());
#ifndef PERFVEC_PROTO_PEM_H_
#define PERFVEC_PROTO_PEM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace perfvec {

struct KeyPair {
  std::string chain, key;  // PEM
  absl::Time expires;      // of the first certificate
};
// NOT_FOUND: a file cannot be read; INVALID_ARGUMENT: it is not PEM, or the key
// is another certificate's; FAILED_PRECONDITION: expired, or not yet valid.
absl::StatusOr<KeyPair> ReadKeyPair(const std::string& certificate_path,
                                    const std::string& key_path,
                                    absl::Time now);

// That the file begins with a certificate. Errors as above.
absl::Status CheckAuthorities(const std::string& path);

}  // namespace perfvec

#endif  // PERFVEC_PROTO_PEM_H_
