#include "storage/sha256.h"

#include <openssl/evp.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "storage/file_system.h"

namespace perfvec::storage {

std::string Sha256(absl::string_view bytes) {
  std::string digest(kSha256Bytes, '\0');
  unsigned int size = 0;
  // Fails only when OpenSSL has no SHA-256 at all; the digest is then all
  // zeros, which no chunk can be found under.
  (void)EVP_Digest(bytes.data(), bytes.size(),
                   reinterpret_cast<unsigned char*>(digest.data()), &size,
                   EVP_sha256(), nullptr);
  return digest;
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus(errno, "open", path);
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                             EVP_MD_CTX_free);
  bool hashed = EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::string piece(1 << 20, '\0');
  while (hashed && file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    hashed = EVP_DigestUpdate(context.get(), piece.data(),
                              static_cast<size_t>(file.gcount())) == 1;
  }
  if (file.bad()) return ErrnoStatus(errno, "read", path);
  std::string digest(kSha256Bytes, '\0');
  if (!hashed ||
      EVP_DigestFinal_ex(context.get(),
                         reinterpret_cast<unsigned char*>(digest.data()),
                         nullptr) != 1)
    return absl::InternalError("OpenSSL: SHA-256 failed");
  return digest;
}

}  // namespace perfvec::storage
