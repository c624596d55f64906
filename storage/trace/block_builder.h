// Builds InstructionBlocks one instruction at a time, holding each distinct
// StaticInstruction once per block.
//
//   BlockBuilder builder;
//   builder.Append(instruction, address, taken);
//   if (builder.full()) InstructionBlock block = builder.Take();
//
// One thread. Loops make the last successor of an instruction its next one
// nearly always, so that is looked at before the hash table.
#ifndef PERFVEC_STORAGE_TRACE_BLOCK_BUILDER_H_
#define PERFVEC_STORAGE_TRACE_BLOCK_BUILDER_H_

#include <cstdint>
#include <vector>

#include "storage/trace/instruction.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::trace {

class BlockBuilder {
 public:
  explicit BlockBuilder(uint32_t capacity = kMaxChunkInstructions);

  // Must not be called while full(). `address` is 0 for an instruction
  // without one.
  void Append(const StaticInstruction& instruction, uint64_t address,
              bool taken);

  bool full() const { return block_.size() == capacity_; }
  size_t size() const { return block_.size(); }
  // The block so far; the builder goes on behind it.
  InstructionBlock Take();

 private:
  uint32_t Find(const StaticInstruction& instruction);
  void Grow();

  const uint32_t capacity_;
  InstructionBlock block_;
  std::vector<uint32_t> successor_;  // last successor of each static, +1
  std::vector<uint32_t> slots_;      // open addressing; index + 1, 0 empty
  uint32_t previous_ = 0;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_BLOCK_BUILDER_H_
