#include "worker/features/line_table.h"

#include <utility>

namespace perfvec::compute {
namespace {

constexpr size_t kMinEntries = 1024;

bool TooFull(size_t count, size_t size) { return count * 8 > size * 5; }

}  // namespace

LineTable::LineTable() { Rehash(kMinEntries); }

void LineTable::Rehash(size_t size) {
  const LargeBuffer old_memory = std::move(memory_);
  const LineEntry* old = entries_;
  const size_t old_size = size_;
  memory_ = LargeBuffer(size * sizeof(LineEntry));
  entries_ = memory_.data<LineEntry>();
  size_ = size;
  mask_ = size - 1;
  shift_ = 64 - __builtin_ctzll(size);
  count_ = 0;
  for (size_t i = 0; i < old_size; ++i) {
    // A line that fell out of both stacks is as good as never seen.
    if ((old[i].slot[0] | old[i].slot[1]) == 0) continue;
    size_t home = Home(old[i].key - 1);
    while (entries_[home].key != 0) home = (home + 1) & mask_;
    entries_[home] = old[i];
    ++count_;
  }
}

LineEntry* LineTable::Insert(uint64_t line, size_t index) {
  if (TooFull(count_ + 1, size_)) {
    Rehash(size_ * 2);
    index = Home(line);
    while (entries_[index].key != 0) index = (index + 1) & mask_;
  }
  ++count_;
  entries_[index].key = line + 1;
  return &entries_[index];
}

void LineTable::Reserve(size_t lines) {
  size_t size = size_;
  while (TooFull(count_ + lines, size)) size *= 2;
  if (size != size_) Rehash(size);
}

}  // namespace perfvec::compute
