// Zeroed memory for the large tables of this folder, on huge pages where the
// system grants them: a random access then costs a cache miss, not a cache
// miss and a page walk. Movable; frees what it owns.
//
//   LargeBuffer buffer(bytes);            // all zero, 64-byte aligned
//   auto* words = buffer.data<uint64_t>();
#ifndef PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_
#define PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace perfvec::compute {

class LargeBuffer {
 public:
  LargeBuffer() = default;
  explicit LargeBuffer(size_t bytes);

  template <typename T>
  T* data() const {
    return static_cast<T*>(memory_.get());
  }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t bytes_ = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_LARGE_BUFFER_H_
