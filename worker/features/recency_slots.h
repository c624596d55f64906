// Order statistics over recency: how many lines were used after this one.
//
// Every recorded access takes the next slot; a line owns the slot of its latest
// access, so the live slots in order are the LRU stack. The stack distance of a
// line is the number of live slots from its own to the newest.
//
// Slots are bits. 448 of them share a 64-byte line with the counts of the
// words before each word (after Vigna's rank9), and three levels of prefix
// counts stand above: 32 lines, 32 groups, and one absolute count for every
// 1024 lines. Prefix counts make appending free (nothing stands after the
// newest slot); removal subtracts 1 from the counts that follow.
//
// Slots run out; the owner then calls GrowIfDense() or Compact(), and after the
// latter renumbers what it holds. Memory is about 1.3 bits a slot, and capacity
// at most four times what lives (or a small minimum): bounded by the footprint.
//
// Single-threaded; the owner keeps the line -> slot map.
//
//   RecencySlots slots;
//   uint32_t slot = slots.Append();        // line a
//   slots.Append();                        // line b
//   slots.Distance(slot);                  // 2
//   slots.Remove(slot); slot = slots.Append();   // a again
#ifndef PERFVEC_WORKER_FEATURES_RECENCY_SLOTS_H_
#define PERFVEC_WORKER_FEATURES_RECENCY_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/base/attributes.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

class RecencySlots {
 public:
  static constexpr uint32_t kNone = 0;  // never a slot

  RecencySlots();

  uint32_t live() const { return live_; }
  uint32_t newest() const { return tail_; }
  bool full() const { return tail_ == last_; }
  size_t memory_bytes() const { return memory_.bytes(); }

  // Live slots from `slot` (live) to the newest, itself included.
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Distance(uint32_t slot) const {
    const uint64_t* line = words_ + ((slot >> 9) << 3);
    const uint64_t below = (uint64_t{1} << (slot & 63)) - 1;
    const int word = (slot >> 6) & 7;
    return live_ - absolute_[slot >> 19] - group_[slot >> 14] -
           line_[slot >> 9] -
           static_cast<uint32_t>((line[0] >> (9 * (word - 1))) & 511) -
           static_cast<uint32_t>(__builtin_popcountll(line[word] & below));
  }

  // Takes the next slot. Requires !full().
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Append() {
    const uint32_t slot = ++tail_;
    if ((slot & 63) == 0) return AppendToNextWord();
    words_[slot >> 6] |= uint64_t{1} << (slot & 63);
    ++live_;
    return slot;
  }

  // Frees a live slot other than the newest.
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Remove(uint32_t slot) {
    uint64_t* line = words_ + ((slot >> 9) << 3);
    const int word = (slot >> 6) & 7;
    line[word] &= ~(uint64_t{1} << (slot & 63));
    line[0] -= kLaterWords[word];
    --live_;
    // Counts after the newest slot are garbage until the slots they belong to
    // are first used: none to keep if that is in the same line, as it mostly
    // is in real traces; else they are subtracted from as well.
    if (slot >> 9 == tail_ >> 9) return;
    uint16_t* lines = line_ + ((slot >> 14) << 5);
    const uint16_t* later_lines = kLater16 + 31 - ((slot >> 9) & 31);
    Subtract<uint16_t>(lines, later_lines);
    Subtract<uint16_t>(lines + 16, later_lines + 16);
    // Small stacks have few groups: only whole vectors in use.
    uint32_t* groups = group_ + ((slot >> 19) << 5);
    const uint32_t* later_groups = kLater32 + 31 - ((slot >> 14) & 31);
    for (int i = 0, n = groups_in_use_; i < n; i += 8) {
      Subtract<uint32_t>(groups + i, later_groups + i);
    }
    for (uint32_t i = (slot >> 19) + 1; i <= tail_ >> 19; ++i) --absolute_[i];
  }

  // Distance(), Remove() and Append() in one. Requires !full().
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t MoveToNewest(uint32_t* slot) {
    const uint32_t from = *slot;
    if (from >> 6 == tail_ >> 6 && (tail_ & 63) != 63) {
      // Within a word no count changes.
      uint64_t& word = words_[from >> 6];
      const uint64_t bits = word >> (from & 63);
      *slot = ++tail_;
      word = (word ^ uint64_t{1} << (from & 63)) | uint64_t{1} << (tail_ & 63);
      return static_cast<uint32_t>(__builtin_popcountll(bits));
    }
    const uint32_t distance = Distance(from);
    Remove(from);
    *slot = Append();
    return distance;
  }

  ABSL_ATTRIBUTE_ALWAYS_INLINE void Prefetch(uint32_t slot) const {
    __builtin_prefetch(words_ + ((slot >> 9) << 3), 1);
  }

  // Where slots have run out but most are live: makes room for more and leaves
  // all where they are. False if compaction serves better.
  bool GrowIfDense();

  // Where a live slot goes when the oldest `dropped` live slots are given up
  // and the others move together. The slot must not be among the dropped.
  uint32_t SlotAfterCompaction(uint32_t slot, uint32_t dropped) const {
    const uint32_t rank = live_ - Distance(slot) - dropped;
    return rank / 448 * 512 + 64 + rank % 448;
  }
  // Moves the live slots together, without the oldest `dropped`, and makes
  // room for more. Invalidates slots: replace each by SlotAfterCompaction()
  // first.
  void Compact(uint32_t dropped);

 private:
  // a -= b for 32 bytes of counts at any address. Written as one vector:
  // compilers leave a loop of a constant eight scalar.
  template <typename T>
  ABSL_ATTRIBUTE_ALWAYS_INLINE static void Subtract(T* a, const T* b) {
    using Vector [[gnu::vector_size(32)]] = T;
    Vector x, y;
    std::memcpy(&x, a, sizeof(x));
    std::memcpy(&y, b, sizeof(y));
    x -= y;
    std::memcpy(a, &x, sizeof(x));
  }

  // [w]: 1 in each 9-bit field that counts a word after w (w in 1..7).
  static const uint64_t kLaterWords[8];
  // 32 zeros, then 32 ones: read from 31 - i, ones at positions after i.
  static const uint16_t kLater16[64];
  static const uint32_t kLater32[64];

  void Allocate(uint32_t lines);
  uint32_t AppendToNextWord();
  void OpenWord(uint32_t slot);

  // A slot is 9 bits of position in its line (of which 64..511 are used) and
  // the line's number above them; so slot >> 6 indexes words_.
  uint32_t tail_ = 63;
  uint32_t last_ = 0;
  uint32_t live_ = 0;
  uint64_t* words_ = nullptr;     // [lines][8]; word 0 holds seven 9-bit counts
  uint16_t* line_ = nullptr;      // [lines]: live before it in its group
  uint32_t* group_ = nullptr;     // [lines / 32]: in its 32 groups
  uint32_t* absolute_ = nullptr;  // [lines / 1024]: in all
  int groups_in_use_ = 0;         // of 32 counts, in whole vectors of 8
  LargeBuffer memory_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_RECENCY_SLOTS_H_
