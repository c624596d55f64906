#include "client/tracer/arm_decoder.h"

#include "client/tracer/arm_rules.h"

namespace perfvec::tracer {

MacroOp DecodeArm(uint32_t word) {
  MacroOp op;
  if (DecodeArmMemory(word, &op) || DecodeArmVectorMemory(word, &op) ||
      DecodeArmSveMemory(word, &op)) {
    return op;
  }
  MicroOp micro_op;
  // SVE has no floating point of 8 bits: what stands in its place is SVE2. (By
  // element, half precision has one of the two bits of the size.)
  if ((word & 0xffc00000) != 0x65000000 && (word & 0xffe00000) != 0x64000000) {
    op.name = ArmRules::Get().Match(word, &micro_op.instruction);
  }
  op.micro_ops.push_back(micro_op);
  return op;
}

}  // namespace perfvec::tracer
