#include "storage/trace/block_builder.h"

#include <algorithm>
#include <utility>

namespace perfvec::trace {
namespace {

constexpr size_t kInitialSlots = 4096;

uint64_t Mix(uint64_t h, uint64_t value) {
  h = (h ^ value) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 29);
}

// Micro-operations of one instruction share its pc, and differ in flags,
// operation or registers.
uint64_t Hash(const StaticInstruction& s) {
  uint64_t h = Mix(s.pc, s.flags | uint64_t{s.access_size} << 32);
  h = Mix(h, uint64_t(uint16_t(s.op_class)) | uint64_t{s.source_count} << 16 |
                 uint64_t{s.destination_count} << 24 |
                 uint64_t{s.sources[0].index} << 32 |
                 uint64_t{s.destinations[0].index} << 48);
  return Mix(h, uint64_t{s.sources[1].index} |
                    uint64_t{s.sources[2].index} << 16 |
                    uint64_t{s.destinations[1].index} << 32);
}

}  // namespace

BlockBuilder::BlockBuilder(uint32_t capacity)
    : capacity_(capacity), slots_(kInitialSlots) {
  Take();
}

InstructionBlock BlockBuilder::Take() {
  InstructionBlock done = std::move(block_);
  block_ = InstructionBlock();
  block_.first_instruction = done.first_instruction + done.size();
  const size_t expected = std::min<size_t>(capacity_, kMaxChunkInstructions);
  block_.static_index.reserve(expected);
  block_.address.reserve(expected);
  block_.taken.reserve(expected);
  successor_.clear();
  std::fill(slots_.begin(), slots_.end(), 0);
  return done;
}

void BlockBuilder::Append(const StaticInstruction& instruction,
                          uint64_t address, bool taken) {
  uint32_t index;
  if (block_.size() == 0) {
    index = Find(instruction);
  } else {
    const uint32_t expected = successor_[previous_];
    if (expected != 0 && block_.statics[expected - 1] == instruction) {
      index = expected - 1;
    } else {
      index = Find(instruction);
      successor_[previous_] = index + 1;
    }
  }
  previous_ = index;
  block_.static_index.push_back(index);
  block_.address.push_back(address);
  block_.taken.push_back(taken);
}

uint32_t BlockBuilder::Find(const StaticInstruction& instruction) {
  const size_t mask = slots_.size() - 1;
  size_t slot = Hash(instruction) & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    if (block_.statics[slots_[slot] - 1] == instruction) {
      return slots_[slot] - 1;
    }
  }
  block_.statics.push_back(instruction);
  successor_.push_back(0);
  slots_[slot] = block_.statics.size();
  if (block_.statics.size() * 2 > slots_.size()) Grow();
  return block_.statics.size() - 1;
}

void BlockBuilder::Grow() {
  slots_.assign(slots_.size() * 2, 0);
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < block_.statics.size(); ++i) {
    size_t slot = Hash(block_.statics[i]) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = i + 1;
  }
}

}  // namespace perfvec::trace
