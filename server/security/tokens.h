// Bearer tokens and the file that knows them.
//
// A token is 256 random bits, "pvs_" and 43 characters of base64url. The file
// holds its SHA-256 (enough for a secret that nobody can guess), who it stands
// for, and until when:
//
//   {"tokens": [{"id": "ci", "sha256": "0a9f...", "role": "uploader",
//                "tenant": "compilers", "expires": "2027-01-31T00:00:00Z"}]}
//
// TokenSet is immutable. AddToken and RevokeToken replace the file in one step
// (rename) under a lock file, so that a server never reads half of it; what
// runs `perfvec-server token` and the server may do so at the same time.
//
//   auto tokens = TokenSet::Read("/etc/perfvec/tokens.json");
//   const Token* token = (*tokens)->Find("pvs_...");   // null: unknown
#ifndef PERFVEC_SERVER_SECURITY_TOKENS_H_
#define PERFVEC_SERVER_SECURITY_TOKENS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/security/access.h"

namespace perfvec::server {

struct Token {
  std::string id;      // for people: in lists, logs, the audit log
  std::string sha256;  // 32 bytes
  Role role = Role::kReader;
  std::string tenant;  // on whose account; what it may see and change (scope.h)
  absl::Time expires = absl::InfiniteFuture();
};

class TokenSet {
 public:
  // NOT_FOUND: no such file; INVALID_ARGUMENT: what is wrong with it and
  // where; nothing of a file that is wrong anywhere is used.
  static absl::StatusOr<std::shared_ptr<const TokenSet>> Read(
      const std::string& path);
  static absl::StatusOr<std::shared_ptr<const TokenSet>> Parse(
      absl::string_view json);

  const Token* Find(absl::string_view token) const;
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  std::vector<Token> tokens_;
  absl::flat_hash_map<std::string, size_t> by_digest_;
};

// Returns the token itself, which is kept nowhere. `like.sha256` is ignored;
// the file is made if there is none. ALREADY_EXISTS: the id is taken.
absl::StatusOr<std::string> AddToken(const std::string& path, Token like);
// NOT_FOUND: no token has this id.
absl::Status RevokeToken(const std::string& path, absl::string_view id);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_TOKENS_H_
