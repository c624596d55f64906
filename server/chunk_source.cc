#include "server/chunk_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "storage/file_system.h"
#include "storage/status_macros.h"

namespace perfvec::server {

ChunkSource::ChunkSource(const storage::ChunkStore* chunks,
                         std::vector<std::string> digests, uint64_t size_bytes,
                         std::string name)
    : chunks_(chunks),
      digests_(std::move(digests)),
      size_bytes_(size_bytes),
      name_(std::move(name)),
      hash_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(hash_.get(), EVP_sha256(), nullptr);
}

// The chunk's own digest is not compared: the whole file's is.
absl::Status ChunkSource::LoadNext() {
  PERFVEC_ASSIGN_OR_RETURN(chunk_,
                           storage::ReadFile(chunks_->Path(digests_[next_]),
                                             storage::kMaxChunkBytes));
  ++next_;
  position_ = 0;
  EVP_DigestUpdate(hash_.get(), chunk_.data(), chunk_.size());
  return absl::OkStatus();
}

absl::StatusOr<size_t> ChunkSource::Read(char* out, size_t size) {
  while (position_ == chunk_.size()) {
    if (next_ == digests_.size()) return 0;
    PERFVEC_RETURN_IF_ERROR(LoadNext());
  }
  const size_t n = std::min(size, chunk_.size() - position_);
  std::memcpy(out, chunk_.data() + position_, n);
  position_ += n;
  consumed_ += n;
  return n;
}

absl::Status ChunkSource::Drain() {
  consumed_ += chunk_.size() - position_;
  position_ = chunk_.size();
  while (next_ < digests_.size()) {
    PERFVEC_RETURN_IF_ERROR(LoadNext());
    consumed_ += chunk_.size();
    position_ = chunk_.size();
  }
  return absl::OkStatus();
}

std::string ChunkSource::sha256() {
  std::string digest(32, '\0');
  EVP_DigestFinal_ex(hash_.get(),
                     reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return absl::BytesToHexString(digest);
}

}  // namespace perfvec::server
