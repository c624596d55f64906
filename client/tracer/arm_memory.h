// Pieces of micro-operations that touch memory, as gem5's macromem.cc and
// its load and store templates build them. Private to the decoder.
#ifndef PERFVEC_CLIENT_TRACER_ARM_MEMORY_H_
#define PERFVEC_CLIENT_TRACER_ARM_MEMORY_H_

#include <initializer_list>

#include "client/tracer/arm_decoder.h"
#include "client/tracer/arm_rules.h"

namespace perfvec::tracer {

inline trace::Register X(uint32_t n) {
  return {kIntegerRegister, static_cast<uint16_t>(n)};
}
inline trace::Register XOrStackPointer(uint32_t n) {
  return X(n == 31 ? kStackPointer : n);
}
inline trace::Register V(uint32_t n) {
  return {kVectorRegister, static_cast<uint16_t>(n)};
}
inline trace::Register Misc(uint16_t n) { return {kMiscRegister, n}; }

// Adds an operation. Micro-operations of a cracked instruction carry
// trace::kMicroOp in `flags`.
trace::StaticInstruction* AddOp(int op_class, uint32_t flags,
                                std::initializer_list<trace::Register> sources,
                                std::initializer_list<trace::Register> dests,
                                MacroOp* op);

// Adds a load or store of `bytes` at `offset` from the instruction's first.
trace::StaticInstruction* AddAccess(
    bool store, uint32_t flags, uint32_t bytes, int32_t offset,
    std::initializer_list<trace::Register> sources,
    std::initializer_list<trace::Register> dests, MacroOp* op);

// The addition of a write-back or of an address: source > destination.
void AddAddition(trace::Register source, trace::Register destination,
                 MacroOp* op);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_ARM_MEMORY_H_
