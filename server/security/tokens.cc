#include "server/security/tokens.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "storage/file_copy.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace perfvec::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxFileBytes = 16 << 20;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kDigestBytes = 32;
constexpr size_t kSecretBytes = 32;

std::string Digest(absl::string_view text) {
  // Fetched once: the look-up costs more than the hash.
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::string digest(kDigestBytes, '\0');
  EVP_Digest(text.data(), text.size(),
             reinterpret_cast<unsigned char*>(digest.data()), nullptr, kSha256,
             nullptr);
  return digest;
}

absl::Status Failure(const std::string& what, const std::string& path) {
  const std::string text =
      absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno));
  return errno == ENOENT ? absl::NotFoundError(text)
                         : absl::UnavailableError(text);
}

// Ids and tenants stand in logs and labels.
bool IsName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

absl::Status CheckNames(const Token& token) {
  for (const auto& [field, value] : {std::make_pair("id", &token.id),
                                     std::make_pair("tenant", &token.tenant)}) {
    if (!IsName(*value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": expected 1 to ", kMaxNameBytes,
                       " letters, digits, '-', '_' or '.', found '",
                       absl::CHexEscape(value->substr(0, 80)), "'"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected the text \"", key, "\""));
  }
  return found->get<std::string>();
}

absl::StatusOr<Token> ParseToken(const json& object) {
  if (!object.is_object()) {
    return absl::InvalidArgumentError("expected an object");
  }
  for (const auto& [key, value] : object.items()) {
    if (key != "id" && key != "sha256" && key != "role" && key != "tenant" &&
        key != "expires") {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown field \"", absl::CHexEscape(key), "\""));
    }
  }
  Token token;
  PERFVEC_ASSIGN_OR_RETURN(token.id, Text(object, "id"));
  PERFVEC_ASSIGN_OR_RETURN(token.tenant, Text(object, "tenant"));
  PERFVEC_RETURN_IF_ERROR(CheckNames(token));
  PERFVEC_ASSIGN_OR_RETURN(const std::string role, Text(object, "role"));
  PERFVEC_ASSIGN_OR_RETURN(token.role, ParseRole(role));
  PERFVEC_ASSIGN_OR_RETURN(const std::string hex, Text(object, "sha256"));
  if (hex.size() != 2 * kDigestBytes ||
      !std::all_of(hex.begin(), hex.end(), absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError("sha256: expected 64 hex digits");
  }
  token.sha256 = absl::HexStringToBytes(hex);
  if (!object.contains("expires")) return token;
  PERFVEC_ASSIGN_OR_RETURN(const std::string expires, Text(object, "expires"));
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, expires, &token.expires, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expires: expected a time such as 2027-01-31T00:00:00Z, "
                     "found '",
                     absl::CHexEscape(expires.substr(0, 80)), "'"));
  }
  return token;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return Failure("read the tokens file", path);
  const absl::Cleanup close = [file] { std::fclose(file); };
  std::string text;
  char piece[65536];
  while (size_t got = std::fread(piece, 1, sizeof(piece), file)) {
    text.append(piece, got);
    if (text.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tokens file ", path, " is larger than 16 MiB"));
    }
  }
  if (std::ferror(file)) return Failure("read the tokens file", path);
  return text;
}

std::string ToText(const std::vector<Token>& tokens) {
  json list = json::array();
  for (const Token& token : tokens) {
    json one = {{"id", token.id},
                {"sha256", absl::BytesToHexString(token.sha256)},
                {"role", std::string(RoleName(token.role))},
                {"tenant", token.tenant}};
    if (token.expires != absl::InfiniteFuture()) {
      one["expires"] = absl::FormatTime(absl::RFC3339_sec, token.expires,
                                        absl::UTCTimeZone());
    }
    list.push_back(std::move(one));
  }
  return json{{"tokens", std::move(list)}}.dump(1) + "\n";
}

// The new file has the owner and the permissions of the one it replaces.
absl::Status Replace(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  const int fd =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return Failure("write", temporary);
  struct stat old;
  bool ok = true;
  if (::stat(path.c_str(), &old) == 0) {
    ok = ::fchown(fd, old.st_uid, old.st_gid) == 0 &&
         ::fchmod(fd, old.st_mode & 07777) == 0;
  }
  ok = ok && ::write(fd, text.data(), text.size()) ==
                 static_cast<ssize_t>(text.size());
  ok = ok && ::fsync(fd) == 0;
  ok = (::close(fd) == 0) && ok;
  ok = ok && std::rename(temporary.c_str(), path.c_str()) == 0;
  if (!ok) {
    absl::Status failed = Failure("replace", path);
    ::unlink(temporary.c_str());
    return failed;
  }
  // Else a revoked token could be back after a power cut.
  return storage::FileSystem::Real()->SyncDirectory(
      storage::ParentDirectory(path));
}

// One writer at a time; released when the descriptor is closed.
absl::StatusOr<int> Lock(const std::string& path) {
  const std::string name = path + ".lock";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Failure("open", name);
  if (::flock(fd, LOCK_EX) != 0) {
    ::close(fd);
    return Failure("lock", name);
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TokenSet>> TokenSet::Parse(
    absl::string_view text) {
  const json root = json::parse(text.begin(), text.end(), nullptr, false);
  if (!root.is_object() || root.size() != 1 || !root.contains("tokens") ||
      !root["tokens"].is_array()) {
    return absl::InvalidArgumentError(
        "expected a JSON object with the array \"tokens\"");
  }
  auto set = std::make_shared<TokenSet>();
  absl::flat_hash_map<std::string, size_t> ids;
  for (const json& object : root["tokens"]) {
    const size_t at = set->tokens_.size();
    absl::StatusOr<Token> token = ParseToken(object);
    if (!token.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokens[", at, "]: ", token.status().message()));
    }
    if (!ids.emplace(token->id, at).second ||
        !set->by_digest_.emplace(token->sha256, at).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tokens[", at, "]: the id or the token of '", token->id, "' twice"));
    }
    set->tokens_.push_back(*std::move(token));
  }
  return set;
}

absl::StatusOr<std::shared_ptr<const TokenSet>> TokenSet::Read(
    const std::string& path) {
  PERFVEC_ASSIGN_OR_RETURN(const std::string text, ReadWhole(path));
  auto set = Parse(text);
  if (set.ok()) return set;
  return absl::InvalidArgumentError(
      absl::StrCat("the tokens file ", path, ": ", set.status().message()));
}

const Token* TokenSet::Find(absl::string_view token) const {
  const auto found = by_digest_.find(Digest(token));
  return found == by_digest_.end() ? nullptr : &tokens_[found->second];
}

absl::StatusOr<std::string> AddToken(const std::string& path, Token like) {
  PERFVEC_RETURN_IF_ERROR(CheckNames(like));
  PERFVEC_ASSIGN_OR_RETURN(const int lock, Lock(path));
  const absl::Cleanup unlock = [lock] { ::close(lock); };
  std::vector<Token> tokens;
  auto set = TokenSet::Read(path);
  if (set.ok()) {
    tokens = (*set)->tokens();
  } else if (!absl::IsNotFound(set.status())) {
    return set.status();
  }
  for (const Token& token : tokens) {
    if (token.id == like.id) {
      return absl::AlreadyExistsError(
          absl::StrCat("there is a token with the id '", like.id, "' in ", path,
                       "; revoke it or choose another"));
    }
  }
  unsigned char secret[kSecretBytes];
  if (RAND_bytes(secret, sizeof(secret)) != 1) {
    return absl::UnavailableError("this machine gives no random numbers");
  }
  const std::string token = absl::StrCat(
      "pvs_", absl::WebSafeBase64Escape(absl::string_view(
                  reinterpret_cast<char*>(secret), sizeof(secret))));
  like.sha256 = Digest(token);
  tokens.push_back(std::move(like));
  PERFVEC_RETURN_IF_ERROR(Replace(path, ToText(tokens)));
  return token;
}

absl::Status RevokeToken(const std::string& path, absl::string_view id) {
  PERFVEC_ASSIGN_OR_RETURN(const int lock, Lock(path));
  const absl::Cleanup unlock = [lock] { ::close(lock); };
  PERFVEC_ASSIGN_OR_RETURN(const std::shared_ptr<const TokenSet> set,
                           TokenSet::Read(path));
  std::vector<Token> tokens;
  for (const Token& token : set->tokens()) {
    if (token.id != id) tokens.push_back(token);
  }
  if (tokens.size() == set->tokens().size()) {
    return absl::NotFoundError(
        absl::StrCat("no token has the id '", id, "' in ", path,
                     "; perfvec-server token list shows them"));
  }
  return Replace(path, ToText(tokens));
}

}  // namespace perfvec::server
