// One A64 instruction word to the micro-operations that gem5 21.2 makes of
// it.
//
//   const MacroOp op = DecodeArm(0xa9be7bfd);  // stp x29, x30, [sp, #-32]!
//   // op.micro_ops: an addition, two stores, an addition
//
// Pure functions of the word; any thread. The pc of the instructions is 0:
// who knows where the word stands fills it in.
#ifndef PERFVEC_CLIENT_TRACER_ARM_DECODER_H_
#define PERFVEC_CLIENT_TRACER_ARM_DECODER_H_

#include <cstdint>
#include <vector>

#include "storage/trace/instruction.h"

namespace perfvec::tracer {

inline constexpr int32_t kNoAccess = -1;

struct MicroOp {
  trace::StaticInstruction instruction;
  // Of its access, in bytes from the first byte that the whole instruction
  // accesses; kNoAccess without one.
  int32_t access_offset = kNoAccess;
};

// How the address of an instruction that accesses memory is learned.
enum class Access : uint8_t {
  kNone,
  kTold,    // QEMU tells it whenever the instruction completes
  kMaybe,   // QEMU tells it if the access happens (store-exclusive)
  kHidden,  // QEMU does not tell it: base register and `hidden` do
};

// base + (extended index << shift) + offset; with a predicate only if it has a
// lane that is active.
struct HiddenAddress {
  uint8_t base = 31;   // register; 31 is the stack pointer
  int8_t index = -1;   // register, or none
  uint8_t extend = 3;  // as encoded: 2 uxtw, 3 lsl, 6 sxtw, 7 sxtx
  uint8_t shift = 0;
  int8_t predicate = -1;       // SVE: governing predicate register
  bool pc_relative = false;    // base is the pc
  bool align_to_line = false;  // DC ZVA: the 64-byte block around it
  int64_t offset = 0;
};

struct MacroOp {
  const char* name = nullptr;  // of the rule; nullptr: not known
  std::vector<MicroOp> micro_ops;
  Access access = Access::kNone;
  HiddenAddress hidden;

  bool known() const { return name != nullptr; }
};

// An instruction that no rule knows becomes one operation of class
// No_OpClass without registers, and known() is false.
MacroOp DecodeArm(uint32_t word);

// The half of DecodeArm for loads, stores, prefetches and what else touches
// memory: false if the word is none of those or not known.
bool DecodeArmMemory(uint32_t word, MacroOp* op);
bool DecodeArmVectorMemory(uint32_t word, MacroOp* op);
bool DecodeArmSveMemory(uint32_t word, MacroOp* op);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_ARM_DECODER_H_
