// Rivals of the product's stack distance structure, each as well as we could
// write it: a splay tree (the published tool's method), a Fenwick tree over bit
// words, and offline divide and conquer (Increment-and-Freeze's bounds).
//
// The first two stand in the place of RecencySlots, and so share its hash
// table, prefetching and two-stack loop: only the order structure differs.
// Bench code; single-threaded.
#ifndef PERFVEC_TESTS_BENCH_STACK_RIVALS_H_
#define PERFVEC_TESTS_BENCH_STACK_RIVALS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "worker/features/large_buffer.h"
#include "worker/features/line_table.h"
#include "worker/features/stack_distance.h"

namespace perfvec::bench {

// A splay tree ordered by recency, with subtree sizes. Nodes are named by
// their index, so no search by time is needed: an access splays its node
// bottom-up, reads the size of its right subtree, and re-enters as the newest
// root in O(1). Memory: 16 bytes a line.
class SplaySlots {
 public:
  static constexpr uint32_t kNone = 0;

  SplaySlots() : nodes_(1) {}

  uint32_t live() const { return size(root_); }
  uint32_t newest() const { return newest_; }
  bool full() const { return false; }
  size_t memory_bytes() const { return nodes_.capacity() * sizeof(Node); }

  uint32_t Distance(uint32_t x) const {
    Splay(x, 0);
    root_ = x;
    return size(nodes_[x].right) + 1;
  }
  // Of the root, which Distance() of the same node has just made.
  void Remove(uint32_t x) {
    uint32_t left = nodes_[x].left, right = nodes_[x].right;
    nodes_[left].parent = nodes_[right].parent = 0;
    free_ = x;
    if (right == 0) {
      root_ = left;
      return;
    }
    uint32_t oldest = right;
    while (nodes_[oldest].left != 0) oldest = nodes_[oldest].left;
    Splay(oldest, 0);
    nodes_[oldest].left = left;
    nodes_[left].parent = oldest;
    nodes_[oldest].size += size(left);
    root_ = oldest;
  }
  uint32_t Append() {
    uint32_t x = free_;
    if (x == 0) {
      x = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
    }
    free_ = 0;
    nodes_[x] = {root_, 0, 0, size(root_) + 1};
    nodes_[root_].parent = x;
    root_ = newest_ = x;
    return x;
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Prefetch(uint32_t x) const {
    __builtin_prefetch(&nodes_[x], 1);
  }
  bool GrowIfDense() { return false; }
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t MoveToNewest(uint32_t* slot) {
    const uint32_t distance = Distance(*slot);
    Remove(*slot);
    *slot = Append();
    return distance;
  }
  uint32_t SlotAfterCompaction(uint32_t slot, uint32_t) const { return slot; }
  void Compact(uint32_t) {}

 private:
  struct Node {
    uint32_t left, right, parent, size;
  };

  uint32_t size(uint32_t x) const { return x == 0 ? 0 : nodes_[x].size; }

  void Rotate(uint32_t x) const {
    Node* const n = nodes_.data();
    const uint32_t p = n[x].parent, g = n[p].parent;
    uint32_t middle;
    if (n[p].left == x) {
      middle = n[x].right;
      n[p].left = middle;
      n[x].right = p;
    } else {
      middle = n[x].left;
      n[p].right = middle;
      n[x].left = p;
    }
    n[middle].parent = p;
    n[p].parent = x;
    n[x].parent = g;
    if (g != 0) (n[g].left == p ? n[g].left : n[g].right) = x;
    const uint32_t before = n[p].size;
    n[p].size = before - n[x].size + (middle == 0 ? 0 : n[middle].size);
    n[x].size = before;
  }
  void Splay(uint32_t x, uint32_t top) const {
    Node* const n = nodes_.data();
    while (n[x].parent != top) {
      const uint32_t p = n[x].parent, g = n[p].parent;
      if (g != top) {
        Rotate((n[g].left == p) == (n[p].left == x) ? p : x);
      }
      Rotate(x);
    }
  }

  mutable std::vector<Node> nodes_;  // 0 is no node; its parent is scratch
  mutable uint32_t root_ = 0;
  uint32_t newest_ = ~uint32_t{0};
  uint32_t free_ = 0;
};

// Bennett and Kruskal's marks under a Fenwick tree, with the leaves widened to
// 64-bit words and a popcount, and each node filled in when its last word has
// been passed: appending costs no walk. Slots are compacted when they run out.
class FenwickSlots {
 public:
  static constexpr uint32_t kNone = 0;

  FenwickSlots() { Allocate(kMinWords); }

  uint32_t live() const { return live_; }
  uint32_t newest() const { return tail_; }
  bool full() const { return tail_ + 1 == words_ * 64; }
  size_t memory_bytes() const { return bits_.bytes() + tree_.bytes(); }

  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Distance(uint32_t slot) const {
    const uint32_t* tree = tree_.data<uint32_t>();
    const uint64_t below = (uint64_t{1} << (slot & 63)) - 1;
    uint32_t before = static_cast<uint32_t>(
        __builtin_popcountll(bits_.data<uint64_t>()[slot >> 6] & below));
    for (uint32_t i = slot >> 6; i > 0; i &= i - 1) before += tree[i];
    return live_ - before;
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Remove(uint32_t slot) {
    uint32_t* tree = tree_.data<uint32_t>();
    bits_.data<uint64_t>()[slot >> 6] &= ~(uint64_t{1} << (slot & 63));
    --live_;
    const uint32_t passed = tail_ >> 6;
    for (uint32_t i = (slot >> 6) + 1; i <= passed; i += i & -i) --tree[i];
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t Append() {
    const uint32_t slot = ++tail_;
    if ((slot & 63) == 0) PassWord(slot >> 6);
    bits_.data<uint64_t>()[slot >> 6] |= uint64_t{1} << (slot & 63);
    ++live_;
    return slot;
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Prefetch(uint32_t slot) const {
    __builtin_prefetch(bits_.data<uint64_t>() + (slot >> 6), 1);
  }
  bool GrowIfDense() {
    const uint32_t live = live_, tail = tail_, words = words_;
    if (uint64_t{live} * 2 < uint64_t{words} * 64) return false;
    const compute::LargeBuffer bits = std::move(bits_), tree = std::move(tree_);
    Allocate(4 * live / 64 + 2);
    std::copy_n(bits.data<uint64_t>(), words, bits_.data<uint64_t>());
    std::copy_n(tree.data<uint32_t>(), words, tree_.data<uint32_t>());
    live_ = live;
    tail_ = tail;
    return true;
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE uint32_t MoveToNewest(uint32_t* slot) {
    const uint32_t from = *slot;
    if (from >> 6 == tail_ >> 6 && (tail_ & 63) != 63) {  // as ours does
      uint64_t& word = bits_.data<uint64_t>()[from >> 6];
      const uint64_t bits = word >> (from & 63);
      *slot = ++tail_;
      word = (word ^ uint64_t{1} << (from & 63)) | uint64_t{1} << (tail_ & 63);
      return static_cast<uint32_t>(__builtin_popcountll(bits));
    }
    const uint32_t distance = Distance(*slot);
    Remove(*slot);
    *slot = Append();
    return distance;
  }
  uint32_t SlotAfterCompaction(uint32_t slot, uint32_t dropped) const {
    return live_ - Distance(slot) - dropped + 64;
  }
  void Compact(uint32_t dropped) {
    const uint32_t kept = live_ - dropped;
    Allocate(std::max(kMinWords, 4 * kept / 64 + 2));
    while (live_ < kept) Append();
  }

 private:
  static constexpr uint32_t kMinWords = 448;

  void Allocate(uint32_t words) {
    words_ = words;
    bits_ = compute::LargeBuffer(8 * size_t{words});
    tree_ = compute::LargeBuffer(4 * (size_t{words} + 1));
    live_ = 0;
    tail_ = 63;  // so that no slot is kNone
  }
  // Node i covers the words [i - (i & -i), i): all of them are passed.
  void PassWord(uint32_t i) {
    uint32_t* tree = tree_.data<uint32_t>();
    uint32_t sum = static_cast<uint32_t>(
        __builtin_popcountll(bits_.data<uint64_t>()[i - 1]));
    const uint32_t first = i & (i - 1);
    for (uint32_t k = i - 1; k > first; k &= k - 1) sum += tree[k];
    tree[i] = sum;
  }

  uint32_t words_ = 0;
  uint32_t live_ = 0;
  uint32_t tail_ = 0;
  compute::LargeBuffer bits_, tree_;
};

// All distances of a stream, offline in chunks as long as the footprint.
//
// With p the position of a line's last record, the lines recorded since are
// the records k so far with prev(k) <= p, less p + 1; so a chunk's distances
// are counts of smaller keys before each key: divide and conquer on the key's
// bits, streaming through memory, O(log footprint) an access like
// Increment-and-Freeze (SPAA 2023), whose recursion it flattens.
class OfflineDistances {
 public:
  // Access i is looked up in both stacks and recorded in recorded[i]; with
  // `recorded` null, looked up and recorded in stack 0 only. distances[k] are
  // those of stack k, each `count` long; distances[1] may be null in the
  // latter case.
  void Run(const uint64_t* lines, const uint8_t* recorded, size_t count,
           uint32_t* const distances[2]);

 private:
  struct Element {
    uint32_t key;    // 2 * prev + (is a record)
    uint32_t count;  // first records, and records of a smaller prev, before it
    uint32_t access;
  };
  struct Stack {
    std::vector<compute::LineEntry*> owner;  // of each position, or null
    std::vector<Element> elements, scratch;
    uint32_t first_records = 0;
  };

  void RunChunk(const uint64_t* lines, const uint8_t* recorded, size_t count,
                uint32_t* const distances[2]);
  // Adds to each element's count and writes its distance. Both arrays are
  // used up; `bit` is the highest of the key to look at.
  static void Count(Element* elements, Element* scratch, size_t n, int bit,
                    uint32_t* distances);

  compute::LineTable table_;
  Stack stacks_[2];
};

}  // namespace perfvec::bench

#endif  // PERFVEC_TESTS_BENCH_STACK_RIVALS_H_
