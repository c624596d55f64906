// The integer registers within one translated block, as far as they can be
// known (where it began, and what simple instructions did to them since), and
// SVE's predicates across blocks. Enough to find the addresses that QEMU does
// not tell.
//
//   RegisterFile registers;
//   registers.Set(words);                    // at the start of the block
//   registers.Step(pc, instruction_word);    // for each before the one asked
//   std::optional<uint64_t> address = registers.Address(hidden, pc);
//
// One thread. A register of which nothing certain is known stays unknown.
#ifndef PERFVEC_CLIENT_TRACER_REGISTER_FILE_H_
#define PERFVEC_CLIENT_TRACER_REGISTER_FILE_H_

#include <array>
#include <cstdint>
#include <optional>

#include "client/tracer/arm_decoder.h"

namespace perfvec::tracer {

// Bytes of an SVE vector under gem5's default, and set so in QEMU.
inline constexpr uint64_t kVectorBytes = 16;

class RegisterFile {
 public:
  // Sets the integer registers; predicates stay as they are.
  void Set(const uint64_t* x0_to_sp);
  // Nothing is known.
  void Clear();

  // Whether it is an instruction of SVE: only these change predicates, so
  // that these are known if every block with such a one goes through Step().
  static bool UsesPredicates(uint32_t word);

  void Step(uint64_t pc, uint32_t word, const MacroOp& op);

  // The first byte that `hidden` touches; nullopt if that is not known.
  // *active becomes false if the instruction touches nothing.
  std::optional<uint64_t> Address(const HiddenAddress& hidden, uint64_t pc,
                                  bool* active) const;

 private:
  using Value = std::optional<uint64_t>;
  Value Read(uint32_t n, bool stack_pointer, bool wide) const;
  void Write(uint32_t n, bool stack_pointer, bool wide, Value value);
  static Value Extend(Value value, uint32_t extend, uint32_t shift);
  bool StepKnown(uint64_t pc, uint32_t word);
  bool StepSve(uint32_t word);

  std::array<Value, 32> x_;  // 31: the stack pointer
  // Of the predicates: the bytes of a vector in whose elements they are true,
  // which begin with the first.
  std::array<Value, 16> active_bytes_;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_REGISTER_FILE_H_
