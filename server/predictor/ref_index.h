// References ("lbm", "lbm@3", "lbm@best") to what they point at: a hash table
// that one writer extends while any number of readers look things up.
//
// A reference is a node that stays for the table's lifetime; what it points at
// is an atomic pointer, null while nothing does. So a lookup is one hash and
// one comparison, moves atomically from the old target to the new one, and
// never waits. Growth publishes a larger array of slots; the smaller ones stay
// (together no larger than the last), since readers may still be in them.
//
// Find: any thread. Set: one thread at a time. Targets are not owned.
//
//   RefIndex<Item> index;
//   index.Set("lbm@3", &item);
//   const Item* found = index.Find("lbm@3");   // null: unknown
#ifndef PERFVEC_SERVER_PREDICTOR_REF_INDEX_H_
#define PERFVEC_SERVER_PREDICTOR_REF_INDEX_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace perfvec::server {

template <typename T>
class RefIndex {
 public:
  RefIndex() { Grow(64); }

  T* Find(absl::string_view ref) const {
    const Node* node =
        FindNode(*slots_.load(std::memory_order_acquire), ref, Hash(ref));
    return node == nullptr ? nullptr
                           : node->target.load(std::memory_order_acquire);
  }

  // Points `ref` at `target`; null takes it away.
  void Set(absl::string_view ref, T* target) {
    const size_t hash = Hash(ref);
    Node* node = FindNode(*slots_.load(std::memory_order_relaxed), ref, hash);
    if (node == nullptr) {
      if (target == nullptr) return;
      Slots* slots = slots_.load(std::memory_order_relaxed);
      if (2 * (nodes_.size() + 1) > slots->size()) {
        slots = Grow(2 * slots->size());
      }
      node = &nodes_.emplace_back(ref, hash);
      // Before the node is published: a reader that finds it finds the target.
      node->target.store(target, std::memory_order_relaxed);
      Place(*slots, node);
      return;
    }
    node->target.store(target, std::memory_order_release);
  }

 private:
  struct Node {
    Node(absl::string_view r, size_t h) : ref(r), hash(h) {}
    const std::string ref;
    const size_t hash;
    std::atomic<T*> target{nullptr};
  };
  using Slots = std::vector<std::atomic<Node*>>;  // size: a power of two

  static size_t Hash(absl::string_view ref) {
    return absl::Hash<absl::string_view>()(ref);
  }

  static Node* FindNode(const Slots& slots, absl::string_view ref,
                        size_t hash) {
    const size_t mask = slots.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
      Node* node = slots[i].load(std::memory_order_acquire);
      if (node == nullptr) return nullptr;
      if (node->hash == hash && node->ref == ref) return node;
    }
  }

  static void Place(Slots& slots, Node* node) {
    const size_t mask = slots.size() - 1;
    size_t i = node->hash & mask;
    while (slots[i].load(std::memory_order_relaxed) != nullptr) {
      i = (i + 1) & mask;
    }
    slots[i].store(node, std::memory_order_release);
  }

  Slots* Grow(size_t size) {
    Slots* fresh = all_slots_.emplace_back(new Slots(size)).get();
    for (Node& node : nodes_) Place(*fresh, &node);
    slots_.store(fresh, std::memory_order_release);
    return fresh;
  }

  std::atomic<Slots*> slots_{nullptr};
  std::vector<std::unique_ptr<Slots>> all_slots_;
  std::deque<Node> nodes_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_REF_INDEX_H_
