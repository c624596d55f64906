#include "client/tracer/arm_decoder.h"

#include "client/tracer/arm_rules.h"

namespace perfvec::tracer {

MacroOp DecodeArm(uint32_t word) {
  MacroOp op;
  if (DecodeArmMemory(word, &op) || DecodeArmVectorMemory(word, &op)) return op;
  MicroOp micro_op;
  op.name = ArmRules::Get().Match(word, &micro_op.instruction);
  op.micro_ops.push_back(micro_op);
  return op;
}

}  // namespace perfvec::tracer
