// The page faults of a program under gem5's system-call emulation: memory
// that is neither of the program's file nor of its first stack pages is
// allocated when it is first touched, and the operation that touches it is
// recorded twice, first as one that faulted.
//
//   FirstTouch pages;
//   pages.AddMapped(begin, end);       // of the program's file, of the stack
//   for (int i = pages.Faults(address, bytes); i > 0; --i) RecordFault();
//
// One thread. Memory: one entry for each page touched.
#ifndef PERFVEC_CLIENT_TRACER_FIRST_TOUCH_H_
#define PERFVEC_CLIENT_TRACER_FIRST_TOUCH_H_

#include <array>
#include <cstdint>

#include "absl/container/flat_hash_set.h"

namespace perfvec::tracer {

class FirstTouch {
 public:
  static constexpr int kPageBits = 12;

  // Memory that is there from the beginning.
  void AddMapped(uint64_t begin, uint64_t end) {
    for (uint64_t page = begin >> kPageBits;
         begin < end && page <= (end - 1) >> kPageBits; ++page) {
      pages_.insert(page);
    }
  }

  // Whether the access raises no fault.
  bool Touched(uint64_t address, uint32_t bytes) {
    const uint64_t page = address >> kPageBits;
    if (((address + bytes - 1) >> kPageBits) != page) {
      return pages_.contains(page) && pages_.contains(page + 1);
    }
    uint64_t& cached = recent_[page % recent_.size()];
    if (cached == page) return true;
    if (!pages_.contains(page)) return false;
    cached = page;
    return true;
  }

  // How many faults the access raises: one for each page of it that was not
  // touched before.
  int Faults(uint64_t address, uint32_t bytes) {
    const uint64_t page = address >> kPageBits;
    uint64_t& cached = recent_[page % recent_.size()];
    const bool one_page = ((address + bytes - 1) >> kPageBits) == page;
    if (one_page && cached == page) return 0;
    int faults = pages_.insert(page).second;
    cached = page;
    if (!one_page) faults += pages_.insert(page + 1).second;
    return faults;
  }

 private:
  absl::flat_hash_set<uint64_t> pages_;
  std::array<uint64_t, 256> recent_{};  // of pages_; page 0 is none
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_FIRST_TOUCH_H_
