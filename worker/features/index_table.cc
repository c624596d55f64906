#include "worker/features/index_table.h"

#include <utility>

namespace perfvec::compute {

IndexTable::IndexTable() { Allocate(1024); }

void IndexTable::Allocate(size_t size) {
  memory_ = LargeBuffer(size * sizeof(Entry));
  entries_ = memory_.data<Entry>();
  mask_ = size - 1;
  shift_ = 64 - __builtin_ctzll(size);
}

uint32_t IndexTable::Insert(uint64_t key, size_t index) {
  const size_t size = mask_ + 1;
  if ((count_ + 1) * 8 > size * 5) {
    const LargeBuffer old_memory = std::move(memory_);
    const Entry* old = entries_;
    Allocate(size * 2);
    for (size_t i = 0; i < size; ++i) {
      if (old[i].number == 0) continue;
      size_t home = Home(old[i].key);
      while (entries_[home].number != 0) home = (home + 1) & mask_;
      entries_[home] = old[i];
    }
    index = Home(key);
    while (entries_[index].number != 0) index = (index + 1) & mask_;
  }
  entries_[index].key = key;
  entries_[index].number = static_cast<uint32_t>(++count_);
  return static_cast<uint32_t>(count_ - 1);
}

}  // namespace perfvec::compute
