// Zeroed memory for the large tables of this folder, on huge pages where the
// system grants them: a random access then costs a cache miss, not a cache
// miss and a page walk. Movable; frees what it owns.
//
//   LargeBuffer buffer(bytes);            // all zero, 64-byte aligned
//   auto* words = buffer.data<uint64_t>();
#ifndef PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_
#define PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_

#include <cstddef>
#include <utility>

namespace perfvec::compute {

class LargeBuffer {
 public:
  LargeBuffer() = default;
  explicit LargeBuffer(size_t bytes);

  LargeBuffer(LargeBuffer&& other) noexcept { *this = std::move(other); }
  LargeBuffer& operator=(LargeBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapping_bytes_, other.mapping_bytes_);
    return *this;
  }
  ~LargeBuffer();

  template <typename T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

  // At least so many, doubling: what it holds stays, what is new is zero.
  // data() may move.
  void Reserve(size_t bytes);

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  void* mapping_ = nullptr;  // null: data_ is from the heap
  size_t mapping_bytes_ = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_
