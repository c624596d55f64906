#include "worker/features/large_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace perfvec::compute {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
// From here on fresh pages, which the kernel hands out zeroed, are cheaper
// than the heap's, which would be zeroed here.
constexpr size_t kMapped = size_t{256} << 10;

}  // namespace

LargeBuffer::LargeBuffer(size_t bytes) {
  const bool huge = bytes >= kHugePage;
  const size_t unit = huge ? kHugePage : 64;
  bytes_ = (bytes + unit - 1) / unit * unit;
  if (bytes_ < kMapped) {
    data_ = std::aligned_alloc(64, bytes_);
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_, 0, bytes_);
    return;
  }
  mapping_bytes_ = huge ? bytes_ + kHugePage : bytes_;
  mapping_ =
      mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | (huge ? 0 : MAP_POPULATE), -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  data_ = mapping_;
  if (huge) {
    const auto address = reinterpret_cast<uintptr_t>(mapping_);
    data_ = static_cast<char*>(mapping_) + (-address & (kHugePage - 1));
    // Advice only: small pages serve as well.
    madvise(data_, bytes_, MADV_HUGEPAGE);
  }
}

void LargeBuffer::Reserve(size_t bytes) {
  if (bytes <= bytes_) return;
  LargeBuffer larger(std::max(bytes, 2 * bytes_));
  if (bytes_ != 0) std::memcpy(larger.data_, data_, bytes_);
  *this = std::move(larger);
}

LargeBuffer::~LargeBuffer() {
  if (mapping_ != nullptr) {
    munmap(mapping_, mapping_bytes_);
  } else {
    std::free(data_);
  }
}

}  // namespace perfvec::compute
