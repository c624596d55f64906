// The bytes that a list of chunks holds, as a trace::ByteSource, with their
// SHA-256.
//
// One thread at a time. Nothing is owned; memory: one chunk.
//
//   ChunkSource source(&chunks, digests, size_bytes, "upload u1");
//   auto trace = check(source);
//   RETURN_IF_ERROR(source.Drain());
//   if (source.sha256() != expected) ...
#ifndef PERFVEC_SERVER_CHUNK_SOURCE_H_
#define PERFVEC_SERVER_CHUNK_SOURCE_H_

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/chunk_store.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::server {

class ChunkSource final : public trace::ByteSource {
 public:
  ChunkSource(const storage::ChunkStore* chunks,
              std::vector<std::string> digests, uint64_t size_bytes,
              std::string name);

  absl::StatusOr<size_t> Read(char* out, size_t size) override;
  std::string name() const override { return name_; }
  uint64_t consumed_bytes() const override { return consumed_; }
  uint64_t total_bytes() const override { return size_bytes_; }

  // Reads on to the end.
  absl::Status Drain();
  // Lowercase hex, of all that was loaded; the whole after Drain.
  std::string sha256();

 private:
  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  absl::Status LoadNext();

  const storage::ChunkStore* const chunks_;
  const std::vector<std::string> digests_;
  const uint64_t size_bytes_;
  const std::string name_;
  std::unique_ptr<EVP_MD_CTX, FreeDigest> hash_;
  size_t next_ = 0;
  std::string chunk_;
  size_t position_ = 0;
  uint64_t consumed_ = 0;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_CHUNK_SOURCE_H_
