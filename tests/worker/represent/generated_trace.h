// Instructions made as they are asked for: a loop of 200 instructions, a third
// of them loads and stores over a bounded number of data lines, with branches
// that go either way. For long runs that must not be stored.
#ifndef PERFVEC_TESTS_WORKER_REPRESENT_GENERATED_TRACE_H_
#define PERFVEC_TESTS_WORKER_REPRESENT_GENERATED_TRACE_H_

#include <cstdint>
#include <vector>

#include "storage/trace/instruction.h"

namespace perfvec::compute {

class GeneratedTrace {
 public:
  GeneratedTrace(uint64_t seed, uint64_t data_lines)
      : state_(seed), data_lines_(data_lines) {
    for (uint32_t i = 0; i < kStatics; ++i) {
      trace::StaticInstruction s;
      s.pc = 0x400000 + 4 * i;
      s.op_class = 1;
      if (i % 6 == 0) {
        s.op_class = trace::kLoadOpClass;
        s.flags = trace::kHasAddress;
      } else if (i % 6 == 3) {
        s.op_class = trace::kStoreOpClass;
        s.flags = trace::kHasAddress | trace::kHasStoreQueueIndex;
      } else if (i % 20 == 19) {
        s.flags = trace::kConditionalBranch | trace::kDirectBranch;
      }
      if ((s.flags & trace::kHasAddress) != 0) s.access_size = 8;
      s.source_count = 2;
      s.sources[0] = {0, static_cast<uint16_t>(i % 31)};
      s.sources[1] = {0, static_cast<uint16_t>(i % 7)};
      s.destination_count = 1;
      s.destinations[0] = {0, static_cast<uint16_t>((i + 3) % 31)};
      statics_.push_back(s);
    }
  }

  // The next `count` instructions, in place of what `block` held.
  void Next(size_t count, trace::InstructionBlock* block) {
    block->first_instruction = position_;
    block->statics = statics_;
    block->static_index.resize(count);
    block->address.assign(count, 0);
    block->taken.assign(count, 0);
    for (size_t i = 0; i < count; ++i, ++position_) {
      const uint32_t index = static_cast<uint32_t>(position_ % kStatics);
      const uint32_t flags = statics_[index].flags;
      block->static_index[i] = index;
      if ((flags & trace::kHasAddress) != 0) {
        block->address[i] = 0x10000000 + 64 * (Random() % data_lines_);
      } else if ((flags & trace::kConditionalBranch) != 0) {
        block->taken[i] = Random() % 4 == 0;
      }
    }
  }

 private:
  static constexpr uint32_t kStatics = 200;

  uint64_t Random() {  // xorshift64
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

  uint64_t state_;
  const uint64_t data_lines_;
  uint64_t position_ = 0;
  std::vector<trace::StaticInstruction> statics_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_TESTS_WORKER_REPRESENT_GENERATED_TRACE_H_
