#include "client/tracer/register_file.h"

#include <algorithm>

#include "client/tracer/arm_rules.h"

namespace perfvec::tracer {

void RegisterFile::Set(const uint64_t* x0_to_sp) {
  for (int i = 0; i < 32; ++i) x_[i] = x0_to_sp[i];
}

void RegisterFile::Clear() {
  x_.fill(std::nullopt);
  active_bytes_.fill(std::nullopt);
}

bool RegisterFile::UsesPredicates(uint32_t word) {
  return (word & 0x1e000000) == 0x04000000;
}

RegisterFile::Value RegisterFile::Read(uint32_t n, bool stack_pointer,
                                       bool wide) const {
  if (n == 31 && !stack_pointer) return 0;
  if (!x_[n].has_value()) return std::nullopt;
  return wide ? *x_[n] : static_cast<uint32_t>(*x_[n]);
}

void RegisterFile::Write(uint32_t n, bool stack_pointer, bool wide,
                         Value value) {
  if (n == 31 && !stack_pointer) return;
  if (value.has_value() && !wide) value = static_cast<uint32_t>(*value);
  x_[n] = value;
}

RegisterFile::Value RegisterFile::Extend(Value value, uint32_t extend,
                                         uint32_t shift) {
  if (!value.has_value()) return value;
  uint64_t v = *value;
  switch (extend & 3) {
    case 0:
      v = extend & 4 ? static_cast<int8_t>(v) : static_cast<uint8_t>(v);
      break;
    case 1:
      v = extend & 4 ? static_cast<int16_t>(v) : static_cast<uint16_t>(v);
      break;
    case 2:
      v = extend & 4 ? static_cast<int32_t>(v) : static_cast<uint32_t>(v);
      break;
    default:
      break;
  }
  return v << shift;
}

// Instructions whose result follows from known registers. False: another.
bool RegisterFile::StepKnown(uint64_t pc, uint32_t word) {
  const uint32_t d = Bits(word, 4, 0), n = Bits(word, 9, 5);
  const uint32_t m = Bits(word, 20, 16);
  const bool wide = Bits(word, 31, 31), subtract = Bits(word, 30, 30);
  const bool flags = Bits(word, 29, 29);
  auto sum = [&](Value a, Value b) -> Value {
    if (!a || !b) return std::nullopt;
    return subtract ? *a - *b : *a + *b;
  };
  if ((word & 0x1f800000) == 0x11000000) {  // ADD, SUB immediate
    const uint64_t value = uint64_t{Bits(word, 21, 10)}
                           << (Bits(word, 22, 22) ? 12 : 0);
    Write(d, !flags, wide, sum(Read(n, true, wide), value));
    return true;
  }
  if ((word & 0x1fe00000) == 0x0b200000) {  // extended register
    Write(d, !flags, wide,
          sum(Read(n, true, wide),
              Extend(Read(m, false, wide), Bits(word, 15, 13),
                     Bits(word, 12, 10))));
    return true;
  }
  const bool left = Bits(word, 23, 22) == 0 && Bits(word, 21, 21) == 0;
  if ((word & 0x1f200000) == 0x0b000000 && left) {  // shifted left
    Value b = Read(m, false, wide);
    if (b) b = *b << Bits(word, 15, 10);
    Write(d, false, wide, sum(Read(n, false, wide), b));
    return true;
  }
  if ((word & 0x7fe0ffe0) == 0x2a0003e0) {  // MOV register
    Write(d, false, wide, Read(m, false, wide));
    return true;
  }
  if ((word & 0x7f800000) == 0x52800000) {  // MOVZ
    Write(d, false, wide,
          uint64_t{Bits(word, 20, 5)} << 16 * Bits(word, 22, 21));
    return true;
  }
  if ((word & 0x7f800000) == 0x12800000) {  // MOVN
    Write(d, false, wide,
          ~(uint64_t{Bits(word, 20, 5)} << 16 * Bits(word, 22, 21)));
    return true;
  }
  if ((word & 0x1f000000) == 0x10000000) {  // ADR, ADRP
    const int64_t offset = SignedBits(word, 23, 5) * 4 + Bits(word, 30, 29);
    Write(d, false, true,
          wide ? (pc & ~uint64_t{4095}) + offset * 4096 : pc + offset);
    return true;
  }
  // AND with a mask of high bits, as aligns a pointer: imms and immr say how
  // many ones there are and where they end.
  if ((word & 0xffc00000) == 0x92400000) {
    const uint32_t ones = Bits(word, 15, 10) + 1, turn = Bits(word, 21, 16);
    Value value = Read(n, false, true);
    if (value && ones < 64) {
      const uint64_t mask = (uint64_t{1} << ones) - 1;
      *value &= turn == 0 ? mask : mask >> turn | mask << (64 - turn);
    }
    Write(d, true, true, value);
    return true;
  }
  return StepSve(word);
}

// Counts of vectors' elements, and the predicates that loops make of them.
bool RegisterFile::StepSve(uint32_t word) {
  constexpr uint32_t kAll = 31;  // of the patterns
  const uint32_t d = Bits(word, 4, 0), n = Bits(word, 9, 5);
  const uint32_t m = Bits(word, 20, 16), size = Bits(word, 23, 22);
  const uint64_t lanes = kVectorBytes >> size;
  if ((word & 0xff20e400) == 0x25200400) {  // WHILELE, -LO, -LS, -LT
    const bool wide = Bits(word, 12, 12), or_equal = Bits(word, 4, 4);
    Value a = Read(n, false, wide), b = Read(m, false, wide);
    Value count;
    if (a && b) {
      if (!Bits(word, 11, 11)) {  // signed: the same order, unsigned
        const uint64_t half = wide ? uint64_t{1} << 63 : uint64_t{1} << 31;
        *a ^= half;
        *b ^= half;
      }
      const bool any = or_equal ? *a <= *b : *a < *b;
      count = any ? std::min(*b - *a, lanes) : 0;
      if (any && or_equal) count = std::min(*count + 1, lanes);
      *count <<= size;
    }
    active_bytes_[word & 15] = count;
    return true;
  }
  if ((word & 0xff3efc10) == 0x2518e000) {  // PTRUE, PTRUES
    Value count;
    if (n == kAll) count = lanes;
    if (n >= 1 && n <= 8) count = n <= lanes ? n : 0;  // VL1 to VL8
    if (count) *count <<= size;
    active_bytes_[word & 15] = count;
    return true;
  }
  if ((word & 0xfffffff0) == 0x2518e400) {  // PFALSE
    active_bytes_[word & 15] = 0;
    return true;
  }
  if ((word & 0xff30fc00) == 0x0420e000 && n == kAll) {  // CNTB, -H, -W, -D
    Write(d, false, true, lanes * (Bits(word, 19, 16) + 1));
    return true;
  }
  if ((word & 0xff30f800) == 0x0430e000 && n == kAll) {  // INCB, DECB, ...
    const uint64_t count = lanes * (Bits(word, 19, 16) + 1);
    Value value = Read(d, false, true);
    if (value) *value += Bits(word, 10, 10) ? -count : count;
    Write(d, false, true, value);
    return true;
  }
  const int64_t factor = SignedBits(word, 10, 5);
  if ((word & 0xffa0f800) == 0x04205000) {  // ADDVL, ADDPL
    const int64_t unit = Bits(word, 22, 22) ? kVectorBytes / 8 : kVectorBytes;
    Value value = Read(m, true, true);
    if (value) *value += factor * unit;
    Write(d, true, true, value);
    return true;
  }
  if ((word & 0xfffff800) == 0x04bf5000) {  // RDVL
    Write(d, false, true, factor * static_cast<int64_t>(kVectorBytes));
    return true;
  }
  return false;
}

void RegisterFile::Step(uint64_t pc, uint32_t word, const MacroOp& op) {
  if (StepKnown(pc, word)) return;
  // A write-back has a known distance; all else that is written is unknown.
  Value base_after;
  const uint32_t n = Bits(word, 9, 5);
  bool writes_back = false;
  if ((word & 0x3a000000) == 0x28000000 && Bits(word, 23, 23)) {
    const int scale =
        Bits(word, 26, 26) ? 2 + Bits(word, 31, 30) : 2 + Bits(word, 31, 31);
    writes_back = true;
    base_after = Read(n, true, true);
    if (base_after) *base_after += SignedBits(word, 21, 15) * (1 << scale);
  } else if ((word & 0x3b200400) == 0x38000400) {
    writes_back = true;
    base_after = Read(n, true, true);
    if (base_after) *base_after += SignedBits(word, 20, 12);
  }
  for (const MicroOp& micro_op : op.micro_ops) {
    const trace::StaticInstruction& instruction = micro_op.instruction;
    for (int i = 0; i < instruction.destination_count; ++i) {
      const trace::Register& r = instruction.destinations[i];
      if (r.register_class == kPredicateRegister &&
          r.index < active_bytes_.size()) {
        active_bytes_[r.index] = std::nullopt;
      }
      if (r.register_class != kIntegerRegister) continue;
      if (r.index < 31) x_[r.index] = std::nullopt;
      if (r.index == kStackPointer) x_[31] = std::nullopt;
    }
  }
  if (!op.known()) Clear();
  if (writes_back) x_[n] = base_after;
}

std::optional<uint64_t> RegisterFile::Address(const HiddenAddress& hidden,
                                              uint64_t pc, bool* active) const {
  *active = true;
  Value base = hidden.pc_relative ? Value(pc) : x_[hidden.base];
  if (hidden.align_to_line && hidden.base == 31) base = 0;  // xzr
  if (!base) return std::nullopt;
  uint64_t address = *base + hidden.offset;
  if (hidden.index >= 0) {
    const Value index =
        Extend(Read(hidden.index, false, true), hidden.extend, hidden.shift);
    if (!index) return std::nullopt;
    address += *index;
  }
  if (hidden.predicate >= 0) {
    const Value bytes = active_bytes_[hidden.predicate];
    if (!bytes) return std::nullopt;
    *active = *bytes > 0;
  }
  if (hidden.align_to_line) address &= ~uint64_t{63};
  return address;
}

}  // namespace perfvec::tracer
