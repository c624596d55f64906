#include "worker/features/recency_slots.h"

#include <algorithm>
#include <utility>

namespace perfvec::compute {
namespace {

constexpr uint32_t kSlotsPerLine = 448;
constexpr uint32_t kMinLines = 64;
// Compaction visits every live line and comes after kSlack - 1 times as many
// accesses.
constexpr uint64_t kSlack = 4;

constexpr uint64_t LaterWords(int word) {
  uint64_t fields = 0;
  for (int w = word + 1; w <= 7; ++w) fields |= uint64_t{1} << (9 * (w - 1));
  return fields;
}

constexpr size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

uint32_t LinesFor(uint32_t live) {
  const size_t lines = kSlack * live / kSlotsPerLine + 1;
  return static_cast<uint32_t>(std::max<size_t>(kMinLines, RoundUp(lines, 32)));
}

}  // namespace

const uint64_t RecencySlots::kLaterWords[8] = {0,
                                               LaterWords(1),
                                               LaterWords(2),
                                               LaterWords(3),
                                               LaterWords(4),
                                               LaterWords(5),
                                               LaterWords(6),
                                               LaterWords(7)};

#define PERFVEC_EIGHT(x) x, x, x, x, x, x, x, x
#define PERFVEC_THIRTY_TWO(x) \
  PERFVEC_EIGHT(x), PERFVEC_EIGHT(x), PERFVEC_EIGHT(x), PERFVEC_EIGHT(x)
const uint16_t RecencySlots::kLater16[64] = {PERFVEC_THIRTY_TWO(0),
                                             PERFVEC_THIRTY_TWO(1)};
const uint32_t RecencySlots::kLater32[64] = {PERFVEC_THIRTY_TWO(0),
                                             PERFVEC_THIRTY_TWO(1)};
#undef PERFVEC_THIRTY_TWO
#undef PERFVEC_EIGHT

RecencySlots::RecencySlots() { Allocate(kMinLines); }

void RecencySlots::Allocate(uint32_t lines) {
  const size_t words_bytes = size_t{64} * lines;
  const size_t line_bytes = RoundUp(sizeof(uint16_t) * lines, 64);
  const size_t group_bytes = RoundUp(sizeof(uint32_t) * (lines / 32), 128);
  const size_t absolute_bytes = sizeof(uint32_t) * (lines / 1024 + 1);
  memory_ = LargeBuffer();  // before the next, which may be as large
  memory_ =
      LargeBuffer(words_bytes + line_bytes + group_bytes + absolute_bytes);
  char* p = memory_.data<char>();
  words_ = reinterpret_cast<uint64_t*>(p);
  line_ = reinterpret_cast<uint16_t*>(p + words_bytes);
  group_ = reinterpret_cast<uint32_t*>(p + words_bytes + line_bytes);
  absolute_ =
      reinterpret_cast<uint32_t*>(p + words_bytes + line_bytes + group_bytes);
  last_ = lines * 512 - 1;
  groups_in_use_ = std::min<int>(32, RoundUp(lines / 32, 8));
}

void RecencySlots::OpenWord(uint32_t slot) {
  // All that lives stands before `slot`, so each new count is what is left of
  // the total after the levels above it.
  if ((slot & 0x7ffff) == 64) absolute_[slot >> 19] = live_;
  uint32_t rest = live_ - absolute_[slot >> 19];
  if ((slot & 0x3fff) == 64) group_[slot >> 14] = rest;
  rest -= group_[slot >> 14];
  if ((slot & 0x1ff) == 64) line_[slot >> 9] = rest;
  rest -= line_[slot >> 9];
  uint64_t& counts = words_[(slot >> 9) << 3];
  const int shift = 9 * (((slot >> 6) & 7) - 1);
  counts = (counts & ((uint64_t{1} << shift) - 1)) | (uint64_t{rest} << shift);
}

uint32_t RecencySlots::AppendToNextWord() {
  uint32_t slot = tail_;
  if ((slot & 511) == 0) slot += 64;  // word 0 of a line holds its counts
  OpenWord(slot);
  words_[slot >> 6] |= 1;
  ++live_;
  tail_ = slot;
  return slot;
}

bool RecencySlots::GrowIfDense() {
  const uint32_t lines = (last_ + 1) / 512;
  if (uint64_t{live_} * 2 < uint64_t{lines} * kSlotsPerLine) return false;
  const LargeBuffer old = std::move(memory_);
  const uint64_t* words = words_;
  const uint16_t* line = line_;
  const uint32_t* group = group_;
  const uint32_t* absolute = absolute_;
  Allocate(LinesFor(live_));
  std::copy_n(words, size_t{8} * lines, words_);
  std::copy_n(line, lines, line_);
  std::copy_n(group, lines / 32, group_);
  std::copy_n(absolute, lines / 1024 + 1, absolute_);
  return true;
}

void RecencySlots::Compact(uint32_t dropped) {
  const uint32_t kept = live_ - dropped;
  Allocate(LinesFor(kept));
  live_ = 0;
  tail_ = 63;
  while (live_ + 64 <= kept) {
    ++tail_;
    if ((tail_ & 511) == 0) tail_ += 64;
    OpenWord(tail_);
    words_[tail_ >> 6] = ~uint64_t{0};
    live_ += 64;
    tail_ += 63;
  }
  while (live_ < kept) Append();
}

}  // namespace perfvec::compute
