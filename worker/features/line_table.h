// A hash table of 64-byte lines, each with its slots in two stacks.
//
// Open addressing with linear probing in a power-of-two array at a load of at
// most 5/8: a look-up is one cache miss on a large footprint, and prefetching
// can hide it. 16 bytes an entry. Single-threaded; owns its memory.
//
//   LineTable table;
//   LineEntry* entry = table.Find(address >> kLineBytesLog2);
#ifndef PERFVEC_WORKER_FEATURES_LINE_TABLE_H_
#define PERFVEC_WORKER_FEATURES_LINE_TABLE_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

struct LineEntry {
  uint64_t key;      // line + 1; 0: empty
  uint32_t slot[2];  // 0: not in that stack
};

class LineTable {
 public:
  LineTable();

  // The entry of a line, made if absent; valid until the next Find() of an
  // absent line or Reserve(). The line 2^64 - 1 cannot be held.
  ABSL_ATTRIBUTE_ALWAYS_INLINE LineEntry* Find(uint64_t line) {
    for (size_t i = Home(line);; i = (i + 1) & mask_) {
      LineEntry& entry = entries_[i];
      if (entry.key == line + 1) return &entry;
      if (entry.key == 0) return Insert(line, i);
    }
  }
  // Makes room so that the next `lines` new lines move no entry: until then
  // pointers to entries hold.
  void Reserve(size_t lines);

  // A table larger than the caches misses at each access: ask for an entry
  // some accesses ahead.
  bool large() const { return size_ > kLargeEntries; }
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Prefetch(uint64_t line) const {
    __builtin_prefetch(&entries_[Home(line)], 1);
  }

  template <typename Function>
  void ForEach(Function function) {
    for (size_t i = 0; i < size_; ++i) {
      if (entries_[i].key != 0) function(entries_[i]);
    }
  }

  size_t lines() const { return count_; }
  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  static constexpr size_t kLargeEntries = size_t{1} << 15;  // 512 KiB

  size_t Home(uint64_t line) const {
    return (line * 0x9e3779b97f4a7c15u) >> shift_;
  }
  LineEntry* Insert(uint64_t line, size_t index);
  void Rehash(size_t size);

  LargeBuffer memory_;
  LineEntry* entries_ = nullptr;  // [size_]
  size_t size_ = 0;
  size_t mask_ = 0;
  int shift_ = 0;
  size_t count_ = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_LINE_TABLE_H_
