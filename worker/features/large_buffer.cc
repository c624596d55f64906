#include "worker/features/large_buffer.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace perfvec::compute {

LargeBuffer::LargeBuffer(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  bytes_ = (bytes + alignment - 1) / alignment * alignment;
  memory_.reset(std::aligned_alloc(alignment, bytes_));
  if (memory_ == nullptr) throw std::bad_alloc();
  // Advice only: small pages serve as well.
  if (alignment == kHugePage) madvise(memory_.get(), bytes_, MADV_HUGEPAGE);
  std::memset(memory_.get(), 0, bytes_);
}

}  // namespace perfvec::compute
