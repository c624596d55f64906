// A hash table that numbers 64-bit keys in the order of their first use.
//
// Open addressing with linear probing at a load of at most 5/8, 16 bytes an
// entry; any key can be held. Single-threaded; owns its memory.
//
//   IndexTable table;
//   const uint32_t number = table.Find(key);        // made if absent
//   if (number == states.size()) states.emplace_back();
#ifndef PERFVEC_WORKER_FEATURES_INDEX_TABLE_H_
#define PERFVEC_WORKER_FEATURES_INDEX_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

// Spreads a key over all 64 bits (Mulvey's moremur constants).
inline uint64_t MixBits(uint64_t x) {
  x ^= x >> 27;
  x *= 0x3c79ac492ba7b653u;
  x ^= x >> 33;
  x *= 0x1c69b3f74ac4ae35u;
  return x ^ x >> 27;
}

class IndexTable {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  IndexTable();

  // The key's number, the next free one if the key is new.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Find(uint64_t key) {
    for (size_t i = Home(key);; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.number == 0) return Insert(key, i);
      if (entry.key == key) return entry.number - 1;
    }
  }
  // kNone if absent.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Look(uint64_t key) const {
    for (size_t i = Home(key);; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.number == 0) return kNone;
      if (entry.key == key) return entry.number - 1;
    }
  }

  size_t size() const { return count_; }
  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  struct Entry {
    uint64_t key;
    uint32_t number;  // 1 + the number; 0: empty
    uint32_t unused;
  };

  size_t Home(uint64_t key) const {
    return (key * 0x9e3779b97f4a7c15u) >> shift_;
  }
  uint32_t Insert(uint64_t key, size_t index);
  void Allocate(size_t size);

  LargeBuffer memory_;
  Entry* entries_ = nullptr;
  size_t mask_ = 0;
  int shift_ = 0;
  size_t count_ = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_INDEX_TABLE_H_
